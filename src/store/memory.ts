/** The store in memory, for one process. What it does stands in store.ts; scripts.ts does the same, with reasons. */
import { createMemoryBudgets } from './memory-budgets.ts'
import { createMemoryHealth } from './memory-health.ts'
import type * as contract from './store.ts'
import { RECEIPTS } from './store.ts'
import { createTable } from './table.ts'

const PROGRESS_TTL = 3_600_000

interface Verification {
  phone: string
  purpose: string
  /** What came of the checks, by nonce: all versions share them. */
  checks: Map<string, contract.CheckVerdict>
  proof: string
  /** Who sent last. */
  by: string
  current: Version
  expires: number
}

interface Version {
  number: number
  key: string
  status: contract.Status | 'cancelled'
  published: boolean
  spent: { at: number; ip: string }[]
  mac: string
  /** '' when it is not to be sent any more. */
  code: string
  sealedPhone: string
  attempt: number
  holder: string
  lease: number
  again: boolean
  result: contract.AttemptResult | 'arrived' | undefined
  reason: contract.FailureReason | undefined
  unsure: boolean
  /** The vendor's id of the SMS. */
  messageId: string | undefined
  receipt: contract.MessageState['state'] | undefined
  /** From the budgets of the purse. */
  taken: contract.Taken | undefined
  /** Puts back what was before. Undefined when it is too late for that. */
  undo: (() => void) | undefined
  /** No check after. */
  expires: number
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

interface Send {
  id: string
  at: number
  /** When it is forgotten. */
  until: number
}

interface Message {
  sent: contract.SentMessage | undefined
  state: contract.MessageState | undefined
  expires: number
}

interface Proof {
  redeemed: Extract<contract.RedeemVerdict, { verdict: 'redeemed' }>
  by: string | undefined
  expires: number
}

const GONE = { verdict: 'gone' } as const
const NEW_PHONE: Phone = { sends: [], failures: 0, sent: 0, next: 0, expires: 0 }
const AFTER = {
  ...{ sent: 'sent', retry: 'queued', held: 'queued', failed: 'failed', unknown: 'sent' },
} as const

export function createMemoryStore(options: { now?: () => number } = {}): contract.Store {
  const { now = monotonic } = options
  const verifications = createTable<Verification>(now)
  const phones = createTable<Phone>(now)
  const proofs = createTable<Proof>(now)
  const tokens = createTable<{ nonce: string; expires: number }>(now)
  const progress = createTable<{ done: number; expires: number }>(now)
  const messages = createTable<Message>(now)
  const { findRoom, take, noteVerified, ...outer } = createMemoryBudgets(now)
  let open = true

  return {
    ready: () => open,
    async close() {
      open = false
    },

    ...outer,
    ...createMemoryHealth(now),

    async issue(request, policy, purse) {
      const { id, phone, key, resend, trusted, soft, unsent, mac, code, sealedPhone } = request
      const at = now()
      const old = verifications.get(id)
      const live = old && isLive(old)
      const accept = (verdict: 'issued' | 'repeated', version: Version) => {
        const accepted = {
          verdict,
          version: version.number,
          status: version.status as contract.Status,
          published: version.published,
          expiresIn: version.expires - at,
          resendIn: waitForSend(phone, policy, trusted, at),
        }
        const { taken } = version
        return verdict === 'issued' && taken ? { taken, ...accepted } : accepted
      }

      // No two requests have the same sealed code: this one ran before.
      if (live && old.current.code === code) return accept('issued', old.current)
      if (old?.phone === phone && key !== '' && old.current.key === key) {
        return live ? accept('repeated', old.current) : GONE
      }
      const purpose = request.purpose || (old?.purpose ?? '')
      const fits = resend ? live && old.phone === phone && old.purpose === purpose : !old
      if (!fits) return GONE

      const before = phones.get(phone) ?? NEW_PHONE
      if (before.failures >= policy.disableAfter) return { verdict: 'disabled' }
      const sends = before.sends.filter(({ until }) => until > at)
      const waitToLive = resend ? 0 : waitForLive(sends, policy, at)
      const wait = Math.max(waitForSend(phone, policy, trusted, at, soft), waitToLive)
      if (wait > 0) return { verdict: 'wait', wait }
      if (request.dryRun) return { verdict: 'free' }
      const { full, over = [] } = purse ? findRoom(purse) : {}
      if (full) return { verdict: 'exhausted', ...full }
      const taken = purse && { over, ...take(purse.budgets) }
      const spent = purse && taken ? { at: taken.at, ip: purse.ip } : request.spent

      // No send for as long as the log reaches back: the cooldown grows from the start again.
      const sent = sends.length > 0 ? before.sent + 1 : 1
      const next = at + (policy.cooldown[Math.min(sent, policy.cooldown.length) - 1] ?? 0)
      const statusEnds = at + policy.ttl + policy.retention
      const windowEnds = [policy.slowWindow, ...policy.windows].map(({ window }) => at + window)
      const send = { id, at, until: Math.max(statusEnds, ...windowEnds) }
      updatePhone(phone, { sends: [...sends, send], sent, next })
      if (old) old.current.undo = undefined
      const current: Version = {
        number: (old?.current.number ?? 0) + 1,
        key,
        status: unsent ? 'sent' : 'queued',
        published: false,
        spent: [...(old?.current.spent ?? []), ...(spent ? [spent] : [])],
        mac,
        code,
        sealedPhone,
        attempt: 0,
        holder: '',
        lease: 0,
        again: false,
        result: undefined,
        reason: undefined,
        unsure: false,
        messageId: undefined,
        receipt: undefined,
        undo,
        taken,
        expires: at + policy.ttl,
      }
      const { checks = new Map(), proof = '', by = '' } = old ?? {}
      verifications.set(id, { phone, purpose, checks, proof, by, current, expires: statusEnds })
      return accept('issued', current)

      function undo(): void {
        const { sends, next: then } = phones.get(phone) ?? NEW_PHONE
        updatePhone(phone, { sends: sends.filter((each) => each !== send) })
        // Cleared or sent to again meanwhile: then the cooldown is not ours any more.
        if (then === next) updatePhone(phone, { sent: before.sent, next: before.next })
        if (old) verifications.set(id, old)
        else verifications.delete(id)
      }
    },

    async published({ id, version }) {
      const current = verifications.get(id)?.current
      if (current?.number === version) current.published = true
    },

    async retract({ id, version }) {
      const verification = verifications.get(id)
      if (!verification || verification.current.number !== version) return
      const { published, undo } = verification.current
      if (isLive(verification) && !published) undo?.()
    },

    async check({ id, macs, keyIds, nonce, proof }, policy, purse) {
      const verification = verifications.get(id)
      const earlier = verification?.checks.get(nonce)
      if (earlier) return earlier
      const room = purse && findRoom(purse)
      if (room?.full) return { verdict: 'exhausted', ...room.full }
      const told = room && room.over.length > 0 ? { over: room.over } : {}
      if (!verification || !isLive(verification)) return { ...GONE, ...told }
      const { phone, purpose, checks, by, current } = verification
      const { mac, sealedPhone, spent, messageId } = current
      const { failures } = phones.get(phone) ?? NEW_PHONE
      if (checks.size >= policy.checks) return { ...GONE, ...told }
      if (!canOpen(sealedPhone, keyIds)) return { verdict: 'foreign', ...told }
      if (failures >= policy.disableAfter) return { ...GONE, ...told }

      const at = now()
      if (macs.includes(mac)) {
        const sentBy = by ? { provider: by, ...(messageId && { messageId }) } : undefined
        const sealed = { sealedPhone, spent, ...told, ...(sentBy && { sentBy }) }
        const verified = { verdict: 'verified', purpose, ...sealed } as const
        noteVerified(purse?.budgets ?? [])
        checks.set(nonce, verified)
        end(current, 'verified')
        Object.assign(verification, { proof, expires: at + policy.retention })
        const redeemed = { verdict: 'redeemed', id, purpose, sealedPhone, verifiedAt: at } as const
        proofs.set(proof, { redeemed, by: undefined, expires: at + policy.proofTtl })
        updatePhone(phone, { failures: 0, sent: 0, next: 0 })
        return verified
      }

      take(purse?.budgets ?? [])
      updatePhone(phone, { failures: failures + 1 })
      const wrong: contract.CheckVerdict = {
        verdict: 'wrong',
        checksLeft: policy.checks - checks.size - 1,
        ...(failures + 1 === policy.disableAfter && { disabledPhone: sealedPhone }),
        ...told,
      }
      checks.set(nonce, wrong)
      if (wrong.checksLeft <= 0) end(current, current.status)
      return wrong
    },

    async redeem({ proof, purpose, keyIds, nonce }) {
      const row = proofs.get(proof)
      if (!row || (purpose !== '' && purpose !== row.redeemed.purpose)) return GONE
      if (row.by !== undefined && row.by !== nonce) return GONE
      if (!canOpen(row.redeemed.sealedPhone, keyIds)) return { verdict: 'foreign' }
      row.by = nonce
      return row.redeemed
    },

    async useOnce({ token, until, nonce }) {
      const used = tokens.get(token)
      if (used) return used.nonce === nonce
      if (until <= now()) return false
      tokens.set(token, { nonce, expires: until })
      return true
    },

    async progress(queue, more) {
      const { done } = progress.get(queue) ?? { done: 0 }
      if (more > 0) progress.set(queue, { done: done + more, expires: now() + PROGRESS_TTL })
      return done + more
    },

    async status(id, policy) {
      const verification = verifications.get(id)
      if (!verification) return GONE
      const { phone, checks, current } = verification
      const { expires, reason } = current
      if (current.status === 'cancelled') return GONE
      const live = isLive(verification)
      const lasting = current.status === 'verified' || current.status === 'failed'
      const status = live || lasting ? current.status : 'expired'
      const at = now()
      return {
        verdict: 'known',
        status,
        ...((status === 'failed' || status === 'expired') && reason && { reason }),
        expiresIn: live ? expires - at : 0,
        resendIn: waitForSend(phone, policy, false, at),
        checksLeft: live ? policy.checks - checks.size : 0,
      }
    },

    async cancel(id) {
      const verification = verifications.get(id)
      if (verification && isLive(verification)) end(verification.current, 'cancelled')
      return verification?.current.status === 'cancelled'
    },

    async unlock(phone) {
      updatePhone(phone, { failures: 0, sent: 0, next: 0 })
    },

    async erase(phone) {
      for (const { id } of phones.get(phone)?.sends ?? []) {
        proofs.delete(verifications.get(id)?.proof ?? '')
        verifications.delete(id)
      }
      phones.delete(phone)
    },

    async claim({ id, version, attempt, maxAttempt, holder, minRemaining, lease, again }) {
      const verification = verifications.get(id)
      if (!verification || version > verification.current.number) return { verdict: 'unknown' }
      const { purpose, by, current } = verification
      const { number, status, result, code, unsure, receipt } = current
      if (version < number || status === 'cancelled') return { verdict: 'superseded' }
      if (status === 'verified' || receipt === 'delivered') {
        const said = result === 'arrived' && holder !== current.holder
        if (said || current.attempt === 0 || result === 'sent' || result === 'unknown')
          return { verdict: 'done', result: 'sent' }
        Object.assign(current, { attempt, holder, result: 'arrived' })
        return { verdict: 'arrived' }
      }
      if (attempt < current.attempt) return { verdict: 'duplicate' }
      const over = result === 'sent' || result === 'unknown'
      if (result && (attempt === current.attempt || over)) {
        const here = result === 'unknown' && holder === current.holder
        return here
          ? { verdict: 'unanswered' }
          : { verdict: 'done', result: result as contract.AttemptResult }
      }

      if (attempt > maxAttempt) return { verdict: 'done', result: 'failed' }

      const at = now()
      const mine = attempt === current.attempt && holder === current.holder
      const unanswered = current.attempt > 0 && !result && !mine
      // Looked at first: whoever holds the attempt may be sending the code right now.
      if (unanswered && current.lease > at) return { verdict: 'busy', wait: current.lease - at }

      const live = isLive(verification)
      const expiresIn = current.expires - at
      if (!live || code === '' || expiresIn < minRemaining) {
        // An earlier attempt may have arrived: what it brought goes on verifying.
        if (live && current.attempt > 0) settle(current, 'failed')
        else end(current, 'expired')
        current.reason = 'late'
        return { verdict: 'expired' }
      }
      if (unanswered && !again) {
        settle(Object.assign(current, { attempt, holder, result: 'unknown' }), 'sent')
        return { verdict: 'unanswered' }
      }
      const twice = mine ? current.again : unanswered
      const claimed = { attempt, holder, lease: at + lease, again: twice, result: undefined }
      const sending = { status: 'sending', reason: undefined, receipt: undefined, undo: undefined }
      Object.assign(current, claimed, sending)
      const previous = by ? { provider: by, unsure } : undefined
      const about = { purpose, code, expiresIn, again: twice }
      return { verdict: 'send', ...about, ...(previous && { previous }) }
    },

    async complete({ id, version, attempt, holder, result, reason, sentBy, unsure }) {
      const verification = verifications.get(id)
      const current = verification?.current
      if (current?.number !== version || current.attempt < attempt) return 'gone'
      if (current.attempt > attempt || current.holder !== holder) return 'taken'
      if (result === 'held') Object.assign(current, { attempt: attempt - 1, result: 'retry' })
      else current.result = result
      if (sentBy) {
        Object.assign(verification as Verification, { by: sentBy.provider })
        current.messageId = sentBy.messageId ?? current.messageId
      }
      if (unsure) current.unsure = true
      if (current.receipt === 'failed' && result === 'retry') {
        const undone = { receipt: undefined, reason: undefined, unsure: false, status: 'sending' }
        Object.assign(current, undone)
      }
      if (current.status === 'sending') Object.assign(current, { status: AFTER[result], reason })
      if (result === 'sent' || result === 'unknown') settle(current, current.status)
      return 'recorded'
    },

    async noteReceipt(name, receipt) {
      const before = messages.get(name)
      const { sent, state = receipt } = before ?? {}
      messages.set(name, {
        sent,
        state,
        expires: now() + (sent ? RECEIPTS.keep : RECEIPTS.keepUnknown),
      })
      return { state, ...(sent && { sent }), repeated: before?.state !== undefined }
    },

    async noteSent(name, sent) {
      const state = messages.get(name)?.state
      messages.set(name, { sent, state, expires: now() + RECEIPTS.keep })
      return state
    },

    async receive({ id, version, attempt }, { state, reason }) {
      const current = verifications.get(id)?.current
      const over = current?.status === 'verified' || current?.status === 'cancelled'
      if (current?.number !== version || over) return 'stale'
      if (current.receipt) return 'repeated'
      if (state === 'failed') {
        if (attempt !== current.attempt) return 'stale'
        current.unsure = false
        if (current.result === 'retry') return 'recorded'
      }
      Object.assign(current, { receipt: state, status: state, reason })
      return 'recorded'
    },
  }

  function isLive({ current }: Verification): boolean {
    return current.expires > now()
  }

  function updatePhone(phone: string, changes: Partial<Phone>): void {
    const row = { ...(phones.get(phone) ?? NEW_PHONE), ...changes }
    const until = row.sends.at(-1)?.until ?? 0
    phones.set(phone, { ...row, expires: row.failures > 0 ? Infinity : until })
  }

  /** Milliseconds until one more code may be sent to the number. */
  function waitForSend(
    phone: string,
    policy: contract.Policy,
    trusted: boolean,
    at: number,
    soft = false,
  ): number {
    const { failures, next, sends } = phones.get(phone) ?? NEW_PHONE
    const times = sends.map((send) => send.at)
    const slow = failures >= policy.slowAfter && !trusted ? [policy.slowWindow] : []
    const windows = soft ? slow : [...slow, ...policy.windows]
    const waits = windows.map((window) => waitFor(window, times, at))
    return Math.max(0, soft ? 0 : next - at, ...waits)
  }

  /** Milliseconds until one more verification of the number may be live. */
  function waitForLive(sends: Send[], { live }: contract.Policy, at: number): number {
    const lives = [...new Set(sends.map(({ id }) => id))]
      .flatMap((id) => verifications.get(id)?.current.expires ?? [])
      .filter((expires) => expires > at)
      .sort((a, b) => a - b)
    return (lives[lives.length - live] ?? at) - at
  }
}

const canOpen = (sealed: string, keyIds: readonly string[]): boolean =>
  keyIds.some((keyId) => sealed.startsWith(keyId))

/** What could be sent is no longer needed; the MAC goes on verifying. */
function settle(version: Version, status: Version['status']): void {
  Object.assign(version, { code: '', undo: undefined, status })
}

/** The code is dead, before its time. */
function end(version: Version, status: Version['status']): void {
  settle(version, status)
  Object.assign(version, { mac: '', sealedPhone: '', expires: 0 })
}

/** Milliseconds until the window has room. It is full for as long as the `max`-th time from the end is in it. */
function waitFor({ max, window }: contract.Window, times: number[], at: number): number {
  const blocker = times[times.length - max]
  return blocker === undefined ? 0 : Math.max(0, blocker + window - at)
}

/** Whole milliseconds; unlike those of `Date.now`, never set back or forward. */
const monotonic = (): number => Math.floor(performance.timeOrigin + performance.now())
