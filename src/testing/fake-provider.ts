/** A provider that sends nothing and does what the number, or a test, asks of it. */
import { hash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome, SendOptions, SmsMessage, SmsProvider } from '../providers/provider.ts'
import { type Receipt, type ReceiptSource, vendorOf } from '../receipts/receipt.ts'
import { createFakeReceipts, type OnReceipt } from './fake-receipts.ts'
import { createInbox } from './inbox.ts'
import { ACTS, type Act, type ActName, magicAct } from './magic.ts'

export interface FakeOptions {
  /** Stands in logs and, up to a colon, in the path of the receipts. @default 'fake' */
  name?: string
  /** Whether it answers `duplicate` to a key that it has accepted before, and sends no second SMS. @default false */
  idempotent?: boolean
  /** Seconds that every answer takes, unless the act says otherwise. @default 0 */
  latency?: number
  /** Calls that fail although nobody asked for it. @default none */
  failures?: {
    /** Of all calls, from 0 to 1. */
    share: number
    /** Another seed, other calls: a number, a version and an attempt meet with the same under the same seed. @default 1 */
    seed?: number
    /** What happens to them, in equal parts. @default each class that is no success, `arrives-ambiguous` and `throws` */
    acts?: (ActName | Act)[]
  }
  /** Called with each SMS that arrives at a phone. */
  onSms?: (message: SmsMessage) => void
  /**
   * Called with each receipt, and awaited where that comes before the answer. Without it, `receipts` can be pulled. That it
   * fails is a warning of the process.
   */
  onReceipt?: OnReceipt
}

export interface FakeCall {
  message: SmsMessage
  /** What it came to, as an act puts it. */
  answer: NonNullable<Act['answer']>
}

export interface FakeProvider extends SmsProvider {
  /** Every call of `send`, in order. */
  readonly calls: readonly FakeCall[]
  /** Every SMS that arrived at a phone, in order; where the fake is idempotent, no key twice. */
  readonly sent: readonly SmsMessage[]
  /**
   * The code of the newest SMS to this number (E.164) that was not read before. Waits for one if there is none; rejects after
   * `seconds`, 10 by default.
   */
  codeTo(phone: string, seconds?: number): Promise<string>
  /** What becomes of the next calls, one after the other, whatever their numbers. */
  next(...acts: (ActName | Act)[]): void
  /** What becomes of every call from now on, whatever its number; without an argument, what the numbers ask for. */
  always(act?: ActName | Act): void
  /** Refuses every connection: `retry`, until `up()`. */
  down(): void
  up(): void
  /** Reports this, whatever was sent: an unknown message, a state out of order. */
  report(receipt: Receipt): Promise<void>
  /** Where its receipts come from, for the plugin. */
  readonly receipts: ReceiptSource
  /** Ids of the messages whose code was entered, as the host has confirmed them to `receipts`. */
  readonly confirmed: readonly string[]
  /** Forgets calls, SMS, receipts and script. */
  reset(): void
}

/**
 * Makes a provider for tests: nothing is ever sent. What a test scripts goes before what the number asks for, and that before
 * `failures`. Throws with `NODE_ENV=production`, where people would wait for their codes.
 */
export function fakeProvider(options: FakeOptions = {}): FakeProvider {
  if (process.env.NODE_ENV === 'production') {
    throw new Error('fakeProvider: expected to be used in tests, got NODE_ENV=production')
  }
  const { name = 'fake', idempotent = false, latency = 0, failures, onSms, onReceipt } = options
  const chance = failures && chanceOf(failures)
  const inbox = createInbox()
  const receipts = createFakeReceipts(vendorOf(name), onReceipt)
  const calls: FakeCall[] = []
  const script: Act[] = []
  let standing: Act | undefined
  /** Message ids, by the key that was accepted. */
  const accepted = new Map<string, string>()
  const timers = new Set<NodeJS.Timeout>()
  // Redis knows a message by its id for an hour, so another run must not begin with the same ones.
  const run = randomBytes(6).toString('hex')
  let count = 0

  async function send(message: SmsMessage, { signal }: SendOptions): Promise<Outcome> {
    if (signal.aborted) return { class: 'retry', code: 'AbortError' }
    const act = actFor(message)
    const known = idempotent ? accepted.get(message.key) : undefined
    const { answer: asked = 'ok', seconds = latency, reported = 0 } = act
    const answer = known && asked === 'ok' ? 'duplicate' : asked
    calls.push({ message, answer })

    const messageId = known ?? `fake-${run}-${++count}`
    const states = known ? [] : take(act, message, messageId)
    const report = () => tell(states, messageId, message.key).catch(warn)
    if (reported === 'early') await report()
    const answered = answer === 'silence' ? await ended(signal) : await waited(seconds, signal)
    if (reported !== 'early' && states.length > 0) later(reported, report)

    if (!answered) return { class: 'ambiguous', code: 'AbortError' }
    if (answer === 'throws') throw new Error('the fake provider throws')
    // Against the contract, which is the point.
    if (answer === 'garbage' || answer === 'silence') return {} as Outcome
    const code = act.code === undefined ? {} : { code: act.code }
    return { class: answer, ...(SUCCESSES.has(answer) && { messageId }), ...code }
  }

  /** In the order of priority. */
  function actFor({ phone, version, attempt }: SmsMessage): Act {
    const act =
      script.shift() ?? standing ?? magicAct(phone) ?? chance?.(phone, version, attempt) ?? {}
    return act.first && attempt > 1 ? {} : act
  }

  /** Has it arrive, or not, and answers what is to be reported of it. */
  function take(act: Act, message: SmsMessage, messageId: string): readonly Receipt['state'][] {
    const success = SUCCESSES.has(act.answer ?? 'ok')
    const { arrives = success, receipts = arrives ? ['delivered'] : [] } = act
    if (success || arrives) accepted.set(message.key, messageId)
    if (arrives) {
      inbox.arrive(message)
      onSms?.(message)
    }
    return receipts
  }

  async function tell(states: readonly Receipt['state'][], messageId: string, key: string) {
    for (const state of states) {
      const reason = state === 'failed' ? { reason: 'recipient' as const } : {}
      await receipts.report({ messageId, key, state, ...reason })
    }
  }

  function later(seconds: number, what: () => unknown): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      what()
    }, seconds * 1000)
    timers.add(timer.unref())
  }

  return {
    name,
    idempotent,
    send,
    calls,
    sent: inbox.sent,
    async codeTo(phone, seconds = 10) {
      const sms = await inbox.read(phone, seconds)
      if (sms) return sms.code
      const about = calls.filter(({ message }) => message.phone === phone)
      const asked = about.map(({ answer }) => answer).join(', ') || 'none'
      throw new Error(
        `fakeProvider: codeTo: expected an unread SMS to the number within ${seconds} s, got none; calls for it: ${asked}`,
      )
    },
    next(...acts) {
      script.push(...acts.map(actOf))
    },
    always(act) {
      standing = act === undefined ? undefined : actOf(act)
    },
    down() {
      standing = { answer: 'retry', code: 'ECONNREFUSED' }
    },
    up() {
      standing = undefined
    },
    report: receipts.report,
    receipts: receipts.source,
    confirmed: receipts.confirmed,
    reset() {
      for (const timer of timers) clearTimeout(timer)
      timers.clear()
      for (const list of [calls, script]) list.length = 0
      standing = undefined
      accepted.clear()
      inbox.clear()
      receipts.clear()
    },
  }
}

/** Nobody waits for a receipt who could be told, and it must not end the process, or what the SMS came to. */
const warn = (error: unknown): void =>
  process.emitWarning(`fakeProvider: onReceipt: ${error instanceof Error ? error.message : error}`)

const SUCCESSES = new Set<FakeCall['answer']>(['ok', 'duplicate'])

/** Each class that is no success, an answer that got lost, and an error. */
const FAILURES: ActName[] = [
  'retry',
  'ambiguous',
  'arrives-ambiguous',
  'rate_recipient',
  'permanent_recipient',
  'permanent_request',
  'account',
  'fraud_block',
  'throws',
]

// By what the call is about and not by its turn, so that the order in which calls come changes nothing.
function chanceOf({ share, seed = 1, acts = FAILURES }: NonNullable<FakeOptions['failures']>) {
  if (!(share >= 0 && share <= 1)) {
    throw new TypeError(`fakeProvider: failures.share: expected a number from 0 to 1, got ${share}`)
  }
  const all = acts.map(actOf)
  return (phone: string, version: number, attempt: number): Act | undefined => {
    const dice = hash('sha256', `${seed} ${phone} ${version} ${attempt}`, 'buffer')
    if (dice.readUInt32BE(0) >= share * 2 ** 32) return undefined
    return all[dice.readUInt32BE(4) % all.length]
  }
}

function actOf(act: ActName | Act): Act {
  if (typeof act === 'object') return act
  if (Object.hasOwn(ACTS, act)) return ACTS[act]
  throw new TypeError(
    `fakeProvider: expected an act or one of ${Object.keys(ACTS).join(', ')}, got ${act}`,
  )
}

/** Whether the time has passed before the signal ended it. */
const waited = (seconds: number, signal: AbortSignal): Promise<boolean> =>
  seconds === 0 ? Promise.resolve(true) : sleep(seconds * 1000, true, { signal }).catch(() => false)

/** False once the signal has ended it. Until then it keeps the process alive, as an open connection does. */
const ended = (signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    const alive = setInterval(() => {}, 60_000)
    const end = () => {
      clearInterval(alive)
      resolve(false)
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
