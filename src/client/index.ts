/** The person's side of a verification, for any page and any framework: what to show, and what can be done. */
import { solve } from './puzzle.ts'
import { load, save } from './storage.ts'
import { type Answer, createTransport, PATIENCE, type Status, waitOf } from './transport.ts'
import type {
  Verification,
  VerificationError,
  VerificationOptions,
  VerificationState,
} from './types.ts'

export type {
  Delivery,
  DeliveryFailure,
  Verification,
  VerificationError,
  VerificationErrorCode,
  VerificationOptions,
  VerificationState,
} from './types.ts'

type Facts = Omit<VerificationState, 'id' | 'expiresIn' | 'resendIn' | 'checkIn'>

/** Milliseconds between two tries of a send whose connection was lost, and until it is given up. */
const PAUSES = [500, 1000, 2000, 4000, 6000]
const PERSISTENCE = 15_000

/** Milliseconds between two questions for the status where the server does not tell by itself. */
const POLL = 2000

/** Milliseconds between two looks at the clock, and how many there are between them when the page has slept. */
const TICK = 250
const SLEPT = 3000

/** Puzzles that are solved for one send. */
const MOST_PUZZLES = 3

const BLANK: Facts = {
  status: 'idle',
  phone: undefined,
  codeLength: 6,
  checksLeft: undefined,
  delivery: undefined,
  reason: undefined,
  code: undefined,
  error: undefined,
  proof: undefined,
  purpose: undefined,
}

/**
 * A verification, ready to `send`; or the one that a reload has interrupted, of the same tab, `baseUrl` and `purpose`.
 * A send in flight is then repeated with its idempotency key, so there is one SMS.
 */
export function createVerification(options: VerificationOptions = {}): Verification {
  const { baseUrl = '/sms', purpose, locale } = options
  const place = `sms-verify ${baseUrl} ${purpose ?? ''}`
  const listeners = new Set<(state: VerificationState) => void>()
  const closing = new AbortController()
  const ask = createTransport({
    baseUrl,
    fetch: options.fetch ?? ((...args) => fetch(...args)),
    signal: closing.signal,
  })

  const saved = load(place)
  let { id, key } = saved
  let facts: Facts = BLANK
  // Moments on the clock of the page, which nobody can set. It may stand still in sleep; then the server is asked.
  let expiresAt: number | undefined
  let resendAt: number | undefined = id && !key ? undefined : 0
  let checkAt = 0
  let state = snapshot()

  /** Of sends and resets: the answer to an earlier one is not for us. */
  let turn = 0
  let ticking: ReturnType<typeof setInterval> | undefined
  let ticked: number[] = []
  let polling: ReturnType<typeof setTimeout> | undefined
  let asking = false
  let source: EventSource | undefined
  /** The server tells at once: a stream that says nothing is held back by something on the way. */
  let heard = false
  /** While there is a code to wait for. */
  let watching: AbortController | undefined

  for (const event of ['visibilitychange', 'pageshow', 'online']) {
    globalThis.addEventListener?.(event, refresh, { signal: closing.signal })
  }
  if (id || key) {
    const { phone, codeLength = BLANK.codeLength } = saved
    facts = { ...BLANK, phone, codeLength }
    if (key) dispatch()
    else {
      set({ status: 'waiting' })
      refresh()
    }
  }

  return {
    get state() {
      return state
    },

    subscribe(listener) {
      listeners.add(listener)
      tell(listener)
      return () => listeners.delete(listener)
    },

    async send(phone) {
      const same = phone === facts.phone
      if (same && (facts.status === 'sending' || state.resendIn !== 0)) return state
      // The same key as long as it is not known what became of the send: its SMS may be on the way.
      key = (same && !id && key) || newKey()
      forget()
      resendAt = 0
      facts = { ...BLANK, phone }
      return dispatch()
    },

    async resend() {
      if (!/waiting|failed/.test(facts.status) || state.resendIn !== 0) return state
      key = (!id && key) || newKey()
      return dispatch()
    },

    verify,

    reset() {
      turn++
      forget()
      key = undefined
      resendAt = 0
      set(BLANK)
    },

    close() {
      turn++
      closing.abort()
      clearInterval(ticking)
      unwatch()
    },
  }

  /** Sends to `facts.phone`, inside the verification `id` if there is one. */
  async function dispatch(): Promise<VerificationState> {
    const mine = ++turn
    const { phone } = facts
    const news = { error: undefined, delivery: undefined, reason: undefined, code: undefined }
    // Another verification has checks of its own.
    const checksLeft = id ? facts.checksLeft : undefined
    set({ ...news, checksLeft, status: 'sending' })
    const { askedAt, body, error, unsure } = await deliver({ phone, purpose, locale, id }, mine)
    if (mine !== turn) return state
    // A resend that may have been carried out needs no repeat: its verification is known, and the newest code counts.
    if (!unsure || id) key = undefined
    if (error) {
      resendAt = waitOf(error) || (id ? resendAt : 0)
      return fail(error)
    }
    id = body.id
    learnTimes(body, askedAt)
    const { codeLength } = body
    return set({ status: 'waiting', codeLength, delivery: 'queued', error: undefined })
  }

  /** Repeats a send until there is an answer, and solves what the answer asks for. */
  async function deliver(body: object, mine: number): Promise<Answer> {
    const isWanted = () => mine === turn
    let solution: string | undefined
    let lost = 0
    let solved = 0
    let until = performance.now() + PERSISTENCE
    for (;;) {
      const left = Math.ceil(until - performance.now())
      const answer = await ask('/send', { ...body, solution }, key, Math.min(PATIENCE, left))
      const { challenge, error } = answer
      if (!isWanted()) return answer
      if (challenge && solved++ < MOST_PUZZLES) {
        solution = await solve(challenge.puzzle, challenge.bits, isWanted)
        // There is a connection.
        until = performance.now() + PERSISTENCE
      } else if (error?.code === 'SMS_VERIFY_UNREACHABLE') {
        const ms = PAUSES[lost++] ?? PERSISTENCE
        if (closing.signal.aborted || performance.now() + ms >= until) return answer
        set({ error })
        await pause(ms, closing.signal)
      } else return answer
      if (!isWanted()) return answer
    }
  }

  // Not repeated when its answer is lost: a check that was counted would be counted twice.
  async function verify(text: string): Promise<VerificationState> {
    if (facts.status !== 'waiting' || state.checkIn > 0) return state
    // Full-width digits, too, as Chinese keyboards write them.
    const code = text.normalize('NFKC').replace(/\D/g, '')
    if (code.length !== facts.codeLength) return fail({ code: 'SMS_VERIFY_INVALID_REQUEST' })
    const mine = turn
    set({ status: 'checking', code, error: undefined })
    const { body, error } = await ask('/verify', { id, code })
    if (mine !== turn) return state
    if (error) {
      checkAt = waitOf(error)
      return fail(error)
    }
    forget()
    return set({ status: 'verified', proof: body.proof, purpose: body.purpose })
  }

  /** Asks for the status. */
  async function refresh(): Promise<void> {
    clearTimeout(polling)
    // A page in the background asks when it is looked at again.
    if (!watching || asking || globalThis.document?.hidden) return
    const mine = turn
    asking = true
    const { askedAt, body, error } = await ask(`/${id}`)
    asking = false
    if (mine === turn && watching) {
      if (body) learn(body, askedAt)
      else if (error?.code === 'SMS_VERIFY_GONE') end()
    }
    // Again where nobody tells, or where there was no answer.
    const told = mine === turn && !error && (heard || isFinal())
    const wait = error && 'retryAfter' in error ? error.retryAfter * 1000 : POLL
    if (watching && !told) poll(wait)
  }

  function poll(ms: number): void {
    clearTimeout(polling)
    polling = setTimeout(refresh, ms)
  }

  function isFinal(): boolean {
    return /delivered|failed/.test(facts.delivery ?? '')
  }

  function learn(news: Status, askedAt: number): void {
    const { status, reason, checksLeft } = news
    learnTimes(news, askedAt)
    // A proof that was lost on its way is lost: only another verification helps.
    if (status === 'expired' || status === 'verified') end()
    else set({ delivery: status, reason, checksLeft })
    // The browser would open it again for ever: the server ends it, too.
    if (isFinal()) source?.close()
  }

  function learnTimes(told: { expiresIn: number; resendIn: number }, askedAt: number): void {
    // What is off by a second only stays: whole seconds would make the countdown jump.
    const near = (old: number | undefined, moment: number) =>
      old !== undefined && Math.abs(old - moment) <= 1000 ? old : moment
    // From before the question and from after the answer: neither promises too much.
    expiresAt = near(expiresAt, askedAt + told.expiresIn * 1000)
    resendAt = near(resendAt, performance.now() + told.resendIn * 1000)
  }

  /** The code is dead. A check that is on the way says itself what it came to. */
  function end(): void {
    if (facts.status === 'waiting') fail({ code: 'SMS_VERIFY_GONE' })
  }

  function fail(error: VerificationError): VerificationState {
    const { code } = error
    const checksLeft = 'checksLeft' in error ? error.checksLeft : facts.checksLeft
    const isOver = code === 'SMS_VERIFY_GONE' || checksLeft === 0 || state.expiresIn === 0
    if (isOver) forget()
    set({ status: id ? 'waiting' : 'failed', error, checksLeft })
    // Whether it was carried out, the status tells.
    if (code === 'SMS_VERIFY_UNREACHABLE') refresh()
    return state
  }

  function forget(): void {
    id = expiresAt = undefined
  }

  function set(change: Partial<Facts>): VerificationState {
    facts = { ...facts, ...change }
    const { status, phone, codeLength } = facts
    const isSending = status === 'sending'
    const isLive = /waiting|checking/.test(status)
    // A key that was given up on stays in memory: after a reload nobody has pressed anything.
    const keep = (isSending || isLive) && {
      id,
      phone,
      codeLength,
      key: isSending ? key : undefined,
    }
    save(place, keep)
    publish()
    if (!isLive) unwatch()
    else if (!watching && !closing.signal.aborted) watch()
    return state
  }

  function publish(): void {
    const next = snapshot()
    const names = Object.keys(next) as (keyof VerificationState)[]
    if (names.some((name) => state[name] !== next[name])) {
      state = next
      for (const listener of listeners) tell(listener)
    }
    if (!(state.expiresIn || state.resendIn || state.checkIn) || closing.signal.aborted) {
      clearInterval(ticking)
      ticking = undefined
    } else if (!ticking) {
      ticked = clocks()
      ticking = setInterval(tick, TICK)
    }
  }

  function tell(listener: (state: VerificationState) => void): void {
    try {
      listener(state)
    } catch (error) {
      // Reported as any other of the page, and no reason to stop here.
      queueMicrotask(() => {
        throw error
      })
    }
  }

  function snapshot(): VerificationState {
    return {
      ...facts,
      id,
      expiresIn: secondsTo(expiresAt),
      resendIn: secondsTo(resendAt),
      checkIn: secondsTo(checkAt),
    }
  }

  function tick(): void {
    const before = ticked
    ticked = clocks()
    publish()
    if (state.expiresIn === 0) end()
    if (ticked.every((at, i) => Math.abs(at - (before[i] as number)) <= SLEPT)) return
    // No question answers how long a wait is left, but the next press does: the server says it again.
    checkAt = 0
    if (!watching) resendAt = 0
    publish()
    refresh()
  }

  function watch(): void {
    watching = new AbortController()
    readSms(watching.signal)
    heard = false
    poll(POLL)
    try {
      source = new EventSource(`${baseUrl}/${id}/events`)
    } catch {
      // There is no such thing, or not at such an address.
      refresh()
      return
    }
    source.addEventListener('status', ({ data }) => {
      heard = true
      clearTimeout(polling)
      learn(JSON.parse(data), performance.now())
    })
    // It connects again by itself, unless there is no such route.
    source.onerror = () => {
      heard = false
      refresh()
    }
  }

  function unwatch(): void {
    watching?.abort()
    source?.close()
    clearTimeout(polling)
    watching = source = undefined
  }

  /** Takes the code from the SMS where the browser can (WebOTP), and checks it. */
  async function readSms(signal: AbortSignal): Promise<void> {
    if (!('OTPCredential' in globalThis)) return
    const wanted = { otp: { transport: ['sms'] }, signal } as CredentialRequestOptions
    const read = await navigator.credentials.get(wanted).catch(() => null)
    const { code } = (read ?? {}) as { code?: string }
    if (code && !signal.aborted) verify(code)
  }
}

function secondsTo(moment: number): number
function secondsTo(moment: number | undefined): number | undefined
function secondsTo(moment: number | undefined): number | undefined {
  return moment === undefined
    ? undefined
    : Math.max(0, Math.ceil((moment - performance.now()) / 1000))
}

/** The second one, which people set, only hints at a sleep: one of the two has gone on in it. */
const clocks = (): number[] => [performance.now(), Date.now()]

/** After so many milliseconds, as soon as there is a network again, or when it is not wanted any more. */
function pause(ms: number, unwanted: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const ended = new AbortController()
    const { signal } = ended
    const end = () => {
      clearTimeout(timer)
      ended.abort()
      resolve()
    }
    const timer = setTimeout(end, ms)
    globalThis.addEventListener?.('online', end, { signal })
    unwanted.addEventListener('abort', end, { signal })
  })
}

/** `randomUUID` exists only on https and localhost. */
const newKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join('-')
