/** The store in memory, for one process. What it does stands in store.ts; scripts.ts does the same, with reasons. */
import type * as contract from './store.ts'

/** Expired rows that nobody asks for are swept out this often, in milliseconds. */
const SWEEP_INTERVAL = 60_000

interface Verification {
  phone: string
  purpose: string
  version: number
  key: string
  status: contract.Status | 'cancelled'
  /** What came of the checks, by nonce. All versions share it. */
  checks: Map<string, contract.CheckVerdict>
  spent: { at: number; ip: string }[]
  proof: string | undefined
  /** How far the sending of the current version is. */
  delivery: {
    attempt: number
    holder: string
    lease: number
    again: boolean
    result?: contract.AttemptResult
  }
  expires: number
}

interface Code {
  mac: string
  /** Undefined when it cannot be sent any more. */
  code: string | undefined
  sealedPhone: string
  /** Puts back what was before. Undefined when it is too late for that. */
  undo: (() => void) | undefined
  expires: number
}

interface Send {
  id: string
  at: number
  /** When it is forgotten. */
  until: number
}

interface Phone {
  sends: Send[]
  failures: number
  /** Unverified sends in a row. */
  sent: number
  /** No send before. */
  next: number
  /** Never while there are failures: time must not clear them (NIST SP 800-63B-4, 3.2.2). */
  expires: number
}

interface Proof {
  redeemed: Extract<contract.RedeemVerdict, { verdict: 'redeemed' }>
  by: string | undefined
  expires: number
}

interface Units {
  times: number[]
  /** When a share was last told, by percent. */
  told: Map<number, number>
  expires: number
}

const GONE = { verdict: 'gone' } as const
const FRESH: Phone = { sends: [], failures: 0, sent: 0, next: 0, expires: 0 }
const CLEAR = { failures: 0, sent: 0, next: 0 }
const UNCLAIMED = { attempt: 0, holder: '', lease: 0, again: false }

export function createMemoryStore({
  now = monotonic,
}: {
  now?: () => number
} = {}): contract.Store {
  const verifications = createTable<Verification>(now)
  const codes = createTable<Code>(now)
  const phones = createTable<Phone>(now)
  const proofs = createTable<Proof>(now)
  const units = createTable<Units>(now)
  let open = true

  return {
    ready: () => open,
    async close() {
      open = false
    },

    async spend(budgets) {
      const at = now()
      for (const [budget, limit] of budgets.entries()) {
        const wait = waitFor(limit, units.get(limit.key)?.times ?? [], at)
        if (wait > 0) return { verdict: 'wait', budget, wait }
      }
      return { verdict: 'spent', at, reached: budgets.flatMap((each, i) => spendOne(each, i, at)) }
    },

    async refund(budgets, at) {
      for (const { key } of budgets) {
        const times = units.get(key)?.times ?? []
        const unit = times.lastIndexOf(at)
        if (unit >= 0) times.splice(unit, 1)
      }
    },

    async issue(request, policy) {
      const { id, phone, key, resend, trusted, mac, code, sealedPhone } = request
      const { ttl, retention, cooldown, windows, slowWindow } = policy
      const at = now()
      const old = verifications.get(id)
      const live = codes.get(id)
      const accept = (verdict: 'issued' | 'repeated', is: Verification, expires: number) => ({
        verdict,
        version: is.version,
        status: is.status as contract.Status,
        expiresIn: expires - at,
        resendIn: waitForSend(phone, policy, trusted, at),
      })

      // No two requests have the same sealed code: this one ran before.
      if (old && live?.code === code) return accept('issued', old, live.expires)
      if (old?.phone === phone && key !== '' && old.key === key) {
        return live ? accept('repeated', old, live.expires) : GONE
      }
      if (request.repeatOnly) return { verdict: 'wait', wait: 0 }
      const purpose = request.purpose || (old?.purpose ?? '')
      const fits = resend ? live && old?.phone === phone && old.purpose === purpose : !old
      if (!fits) return GONE

      const number = phones.get(phone) ?? FRESH
      if (number.failures >= policy.disableAfter) return { verdict: 'disabled' }
      const keep = Math.max(ttl + retention, ...[slowWindow, ...windows].map((w) => w.window))
      const sends = number.sends.filter((send) => send.until > at)
      const waitToLive = resend ? 0 : waitForLive(sends, policy, at)
      const wait = Math.max(waitForSend(phone, policy, trusted, at), waitToLive)
      if (wait > 0) return { verdict: 'wait', wait }

      // No send for as long as the log reaches back: the cooldown grows from the start again.
      const sent = sends.length > 0 ? number.sent + 1 : 1
      const next = at + (cooldown[Math.min(sent, cooldown.length) - 1] ?? 0)
      const send = { id, at, until: at + keep }
      if (live) live.undo = undefined
      codes.set(id, { mac, code, sealedPhone, undo, expires: at + ttl })
      updatePhone(phone, { sends: [...sends, send], sent, next })
      const verification = verifications.set(id, {
        phone,
        purpose,
        version: (old?.version ?? 0) + 1,
        key,
        status: 'queued',
        checks: old?.checks ?? new Map(),
        spent: [...(old?.spent ?? []), ...(request.spent ? [request.spent] : [])],
        proof: undefined,
        delivery: UNCLAIMED,
        expires: at + ttl + retention,
      })
      return accept('issued', verification, at + ttl)

      function undo(): void {
        const { sends, next: current } = phones.get(phone) ?? FRESH
        updatePhone(phone, { sends: sends.filter((each) => each !== send) })
        // Cleared or sent to again meanwhile: then the cooldown is not ours any more.
        if (current === next) updatePhone(phone, { sent: number.sent, next: number.next })
        verifications.delete(id)
        codes.delete(id)
        if (old && live) {
          verifications.set(id, old)
          codes.set(id, live)
        }
      }
    },

    async retract({ id, version }) {
      if (verifications.get(id)?.version === version) codes.get(id)?.undo?.()
    },

    async check({ id, macs, nonce, proof }, policy) {
      const verification = verifications.get(id)
      const before = verification?.checks.get(nonce)
      if (before) return before

      const code = codes.get(id)
      if (!verification || !code) return GONE
      const { phone, purpose, checks, spent } = verification
      const { mac, sealedPhone } = code
      const number = phones.get(phone) ?? FRESH
      if (checks.size >= policy.checks || number.failures >= policy.disableAfter) return GONE

      if (macs.includes(mac)) {
        const at = now()
        verification.status = 'verified'
        verification.proof = proof
        verification.expires = at + policy.retention
        codes.delete(id)
        updatePhone(phone, CLEAR)
        const redeemed = { verdict: 'redeemed', id, purpose, sealedPhone, verifiedAt: at } as const
        proofs.set(proof, { redeemed, by: undefined, expires: at + policy.proofTtl })
        const verified = { verdict: 'verified', purpose, sealedPhone, spent } as const
        checks.set(nonce, verified)
        return verified
      }

      const failures = number.failures + 1
      updatePhone(phone, { failures })
      const wrong: contract.CheckVerdict = {
        verdict: 'wrong',
        checksLeft: policy.checks - checks.size - 1,
        ...(failures === policy.disableAfter && { disabledPhone: sealedPhone }),
      }
      checks.set(nonce, wrong)
      if (wrong.checksLeft <= 0) codes.delete(id)
      return wrong
    },

    async redeem({ proof, purpose, nonce }) {
      const row = proofs.get(proof)
      if (!row || (purpose !== '' && purpose !== row.redeemed.purpose)) return GONE
      row.by ??= nonce
      return row.by === nonce ? row.redeemed : GONE
    },

    async status(id, policy) {
      const verification = verifications.get(id)
      if (!verification || verification.status === 'cancelled') return GONE
      const { phone, status, checks } = verification
      const code = codes.get(id)
      const at = now()
      return {
        verdict: 'known',
        status: code || status === 'verified' || status === 'failed' ? status : 'expired',
        expiresIn: code ? code.expires - at : 0,
        resendIn: waitForSend(phone, policy, false, at),
        checksLeft: code ? policy.checks - checks.size : 0,
      }
    },

    async cancel(id) {
      const verification = verifications.get(id)
      if (verification && codes.get(id)) verification.status = 'cancelled'
      codes.delete(id)
      return verification?.status === 'cancelled'
    },

    async unlock(phone) {
      updatePhone(phone, CLEAR)
    },

    async erase(phone) {
      for (const { id } of phones.get(phone)?.sends ?? []) {
        proofs.delete(verifications.get(id)?.proof ?? '')
        verifications.delete(id)
        codes.delete(id)
      }
      phones.delete(phone)
    },

    async claim({ id, version, attempt, holder, minRemaining, lease, again }) {
      const verification = verifications.get(id)
      if (!verification || version > verification.version) return { verdict: 'unknown' }
      const { status, purpose, delivery } = verification
      const { result } = delivery
      if (version < verification.version || status === 'cancelled') return { verdict: 'superseded' }
      if (status === 'verified') return { verdict: 'done', result: 'sent' }
      if (attempt < delivery.attempt) return { verdict: 'duplicate' }
      if (result && (attempt === delivery.attempt || result !== 'retry')) {
        const here = result === 'unknown' && holder === delivery.holder
        return here ? { verdict: 'unanswered' } : { verdict: 'done', result }
      }

      const at = now()
      const mine = attempt === delivery.attempt && holder === delivery.holder
      const unanswered = delivery.attempt > 0 && !result && !mine
      // Looked at first: whoever holds the attempt may be sending the code right now.
      if (unanswered && delivery.lease > at) return { verdict: 'busy', wait: delivery.lease - at }

      const live = codes.get(id)
      const expiresIn = live ? live.expires - at : 0
      if (!live?.code || expiresIn < minRemaining) {
        // An earlier attempt may have arrived: what it brought goes on verifying.
        const tried = live && delivery.attempt > 0
        verification.status = tried ? 'failed' : 'expired'
        if (tried) settle(id)
        else codes.delete(id)
        return { verdict: 'expired' }
      }
      if (unanswered && !again) {
        verification.status = 'sent'
        verification.delivery = { ...delivery, attempt, holder, result: 'unknown' }
        settle(id)
        return { verdict: 'unanswered' }
      }
      const twice = mine ? delivery.again : unanswered
      verification.status = 'sending'
      verification.delivery = { attempt, holder, lease: at + lease, again: twice }
      live.undo = undefined
      const { code, sealedPhone } = live
      return { verdict: 'send', purpose, code, sealedPhone, expiresIn, again: twice }
    },

    async complete({ id, version, attempt, holder, result }) {
      const verification = verifications.get(id)
      if (!verification || verification.version !== version) return false
      const { delivery, status } = verification
      if (delivery.attempt !== attempt || delivery.holder !== holder) return false
      delivery.result = result
      if (status === 'sending') verification.status = AFTER[result]
      if (result !== 'retry') settle(id)
      return true
    },
  }

  /** Takes one unit. Answers the shares that are reached for the first time in a window. */
  function spendOne({ key, max, window }: contract.Budget, budget: number, at: number) {
    const row = units.get(key) ?? units.set(key, { times: [], told: new Map(), expires: 0 })
    row.expires = at + window
    row.times = row.times.filter((time) => time > at - window)
    const used = row.times.push(at)
    const reached = [80, 100].filter((percent) => {
      const told = row.told.get(percent) ?? -Infinity
      return used * 100 >= max * percent && at - told >= window
    })
    for (const percent of reached) row.told.set(percent, at)
    return reached.map((percent) => ({ budget, used, share: percent / 100 }))
  }

  /** Milliseconds until one more code may be sent to the number. */
  function waitForSend(phone: string, policy: contract.Policy, trusted: boolean, at: number) {
    const { failures, next, sends } = phones.get(phone) ?? FRESH
    const times = sends.map((send) => send.at)
    const slow = failures >= policy.slowAfter && !trusted ? [policy.slowWindow] : []
    const waits = [...slow, ...policy.windows].map((window) => waitFor(window, times, at))
    return Math.max(0, next - at, ...waits)
  }

  /** Milliseconds until one more verification of the number may be live. */
  function waitForLive(sends: Send[], { live }: contract.Policy, at: number): number {
    const ids = new Set(sends.map(({ id }) => id))
    const lives = [...ids].flatMap((id) => codes.get(id)?.expires ?? []).map((end) => end - at)
    return lives.sort((a, b) => a - b)[lives.length - live] ?? 0
  }

  function updatePhone(phone: string, changes: Partial<Phone>): void {
    const row = { ...(phones.get(phone) ?? FRESH), ...changes }
    phones.set(phone, {
      ...row,
      expires: row.failures > 0 ? Infinity : (row.sends.at(-1)?.until ?? 0),
    })
  }

  /** What could be sent is no longer needed; the MAC goes on verifying. */
  function settle(id: string): void {
    const code = codes.get(id)
    if (code) Object.assign(code, { code: undefined, undo: undefined })
  }
}

const AFTER = { sent: 'sent', retry: 'queued', failed: 'failed', unknown: 'sent' } as const

/** Milliseconds until the window has room. It is full for as long as the `max`-th time from the end is in it. */
function waitFor({ max, window }: contract.Window, times: number[], at: number): number {
  const blocker = times[times.length - max]
  return blocker === undefined ? 0 : Math.max(0, blocker + window - at)
}

/** A map whose rows are forgotten when they expire: when asked for, and swept out from time to time. */
function createTable<Row extends { expires: number }>(now: () => number) {
  const rows = new Map<string, Row>()
  let swept = now()

  return {
    get(key: string): Row | undefined {
      const row = rows.get(key)
      if (row && row.expires > now()) return row
      rows.delete(key)
      return undefined
    },
    set(key: string, row: Row): Row {
      const at = now()
      if (at - swept >= SWEEP_INTERVAL) {
        for (const [key, { expires }] of rows) if (expires <= at) rows.delete(key)
        swept = at
      }
      rows.set(key, row)
      return row
    },
    delete: (key: string): boolean => rows.delete(key),
  }
}

/** Whole milliseconds; unlike those of `Date.now`, never set back or forward. */
const monotonic = (): number => Math.floor(performance.timeOrigin + performance.now())
