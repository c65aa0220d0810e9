/**
 * The worker half's rules: what is done with one job.
 *
 * claim → provider → complete. Each job ends in exactly one of sent, expired, superseded, dead, state-lost and unknown,
 * and each end is one log line.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './log.ts'
import { maskPhone } from './phone.ts'
import type { Outcome, SmsMessage, SmsProvider } from './providers/provider.ts'
import type { Disposition, Handler, Job, Retry } from './queue/queue.ts'
import { openCode, openPhone } from './sealed.ts'
import { deliveryKey, type Secrets } from './secrets.ts'
import type { AttemptResult, ClaimVerdict, CompleteRequest, DeliveryStore } from './store/store.ts'
import { composeText, type TextOptions } from './text.ts'

export interface DeliveryOptions extends TextOptions {
  store: DeliveryStore
  secrets: Secrets
  provider: SmsProvider
  retry: Retry
  /** What to do when an SMS may or may not have been sent: send it again, or let it be. */
  delivery: 'at-least-once' | 'at-most-once'
  /** Seconds. */
  minRemaining: number
  logger: Logger
}

/** Milliseconds that one call to a provider may take. */
const PROVIDER_TIMEOUT = 10_000

/** A claim keeps others away for longer than the call can take. */
const LEASE = PROVIDER_TIMEOUT + 2000

/** How often, and every how many milliseconds, the store is asked to record a result. */
const RECORD_TRIES = 4
const RECORD_PAUSE = 300

/** A first step of the retry queues is also where a job waits that nothing can be said about yet. */
const LATER = 1

/** What is logged as `sms.…` and counted: the ends of jobs, and what happens on the way. */
const EVENTS = [
  'sent',
  'dead',
  'expired',
  'superseded',
  'state_lost',
  'unknown',
  'unreadable',
  'retry',
  'duplicate',
  'busy',
  'unsealable',
  'store_failed',
  'unrecorded',
] as const

type DeliveryEvent = (typeof EVENTS)[number]

/** How often each has happened since the start. */
export type Counts = Record<DeliveryEvent, number>

export interface Delivery extends Handler {
  counts: Readonly<Counts>
}

export function createDelivery(options: DeliveryOptions): Delivery {
  const { store, secrets, provider, retry, delivery, minRemaining, logger } = options
  const again = delivery === 'at-least-once' || provider.idempotent === true
  const counts = Object.fromEntries(EVENTS.map((event) => [event, 0])) as Counts
  type Claimed = Extract<ClaimVerdict, { verdict: 'send' }>

  return { deliver, unreadable, counts }

  function unreadable(size: number): Disposition {
    tell('error', 'unreadable', { size }, 'a message that is not a job')
    return { next: 'dead', reason: 'unreadable' }
  }

  async function deliver(job: Job, attempt: number): Promise<Disposition> {
    const about = { ...job, attempt }
    const holder = randomUUID()
    let claim: ClaimVerdict
    try {
      const times = { minRemaining: minRemaining * 1000, lease: LEASE }
      claim = await store.claim({ ...about, ...times, holder, again })
    } catch (error) {
      const failure = { ...about, error: messageOf(error) }
      tell('error', 'store_failed', failure, 'cannot ask the store, later')
      return { next: 'retry', attempt, step: LATER }
    }

    switch (claim.verdict) {
      case 'send':
        return send(job, attempt, holder, claim)
      case 'done':
        tell(
          'info',
          'duplicate',
          { ...about, result: claim.result },
          'this attempt was made before',
        )
        // Whoever made it may have crashed before handing it over.
        return disposition(claim.result, attempt, 'redelivered')
      case 'duplicate':
        tell('info', 'duplicate', about, 'a later attempt was made before')
        return ACK
      case 'busy':
        tell('info', 'busy', about, 'another worker has it, later')
        return { next: 'retry', attempt, step: LATER }
      case 'expired':
        tell('warn', 'expired', about, 'too little of the code’s life is left, not sent')
        return ACK
      case 'superseded':
        tell('info', 'superseded', about, 'there is a newer code or it was cancelled, not sent')
        return ACK
      case 'unanswered':
        tell('warn', 'unknown', about, 'may have been sent before a crash, not sent again')
        return ACK
      case 'unknown':
        tell('warn', 'state_lost', about, 'the store does not know it, not sent')
        return ACK
    }
  }

  async function send(
    job: Job,
    attempt: number,
    holder: string,
    claim: Claimed,
  ): Promise<Disposition> {
    const startedAt = performance.now()
    const about = { ...job, attempt, provider: provider.name }
    let phone: string | undefined
    let outcome: Outcome
    try {
      const message = open(job, attempt, claim)
      phone = maskPhone(message.phone)
      outcome = await callProvider(message)
    } catch (error) {
      // Sealed with a secret we do not have: another consumer may, or this one after its restart with the new list.
      const failure = { ...about, error: messageOf(error) }
      tell('error', 'unsealable', failure, 'cannot open what is to be sent')
      outcome = { class: 'retry', code: 'unsealable', alert: true }
    }

    const result = resultOf(outcome, attempt)
    const recorded = await record({ ...job, attempt, holder, result })
    report(
      result,
      { ...about, phone, again: claim.again, ms: Math.round(performance.now() - startedAt) },
      outcome,
    )
    // Whoever holds the attempt now says what follows.
    return recorded === false ? ACK : disposition(result, attempt, outcome.class)
  }

  /**
   * Tries more than once: a result that is not recorded counts as no answer, and the SMS may be sent a second time. False
   * if it came too late; undefined if the store could not be asked.
   */
  async function record(completion: CompleteRequest): Promise<boolean | undefined> {
    const { holder, ...about } = completion
    for (let left = RECORD_TRIES; left > 0; left--) {
      try {
        const recorded = await store.complete(completion)
        if (!recorded) {
          tell('warn', 'unrecorded', about, 'the claim is not the current one')
        }
        return recorded
      } catch (error) {
        const failure = { ...about, error: messageOf(error) }
        const text = left > 1 ? 'cannot record the result yet' : 'cannot record the result'
        tell('error', 'unrecorded', failure, text)
      }
      if (left > 1) await sleep(RECORD_PAUSE)
    }
    return undefined
  }

  function open({ id, version }: Job, attempt: number, claim: Claimed): SmsMessage {
    const phone = openPhone(secrets, id, claim.sealedPhone)
    const { code, country, ttl, locale } = openCode(secrets, id, claim.code)
    const minutes = Math.max(1, Math.floor(ttl / 60))
    return {
      phone,
      country,
      code,
      text: composeText({ code, minutes, country, locale }, options),
      minutes,
      expiresIn: Math.floor(claim.expiresIn / 1000),
      purpose: claim.purpose,
      ...(locale && { locale }),
      id,
      version,
      attempt,
      key: deliveryKey(id, version, claim.code),
    }
  }

  /** The provider's outcome, in bounded time; what cannot be read or was thrown may have been sent. */
  async function callProvider(message: SmsMessage): Promise<Outcome> {
    const abort = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<Outcome>((resolve) => {
      timer = setTimeout(() => {
        resolve({ class: 'ambiguous', code: 'timeout' })
        abort.abort(new Error(`no answer within ${PROVIDER_TIMEOUT} ms`))
      }, PROVIDER_TIMEOUT)
    })
    try {
      const outcome = await Promise.race([
        provider.send(message, { signal: abort.signal }),
        timeout,
      ])
      if (Object.hasOwn(RESULTS, outcome?.class)) return outcome
      return { class: 'ambiguous', code: 'unreadable outcome', alert: true }
    } catch (error) {
      return { class: 'ambiguous', code: codeOf(error), alert: true }
    } finally {
      clearTimeout(timer)
    }
  }

  function resultOf(outcome: Outcome, attempt: number): AttemptResult {
    const result = RESULTS[outcome.class]
    if (result === 'ambiguous' && !again) return 'unknown'
    if (result !== 'ambiguous' && result !== 'retry') return result
    return attempt <= retry.max ? 'retry' : 'failed'
  }

  function report(result: AttemptResult, about: object, outcome: Outcome): void {
    const { class: outcomeClass, code, messageId, alert } = outcome
    const fields = { ...about, outcome: outcomeClass, code, messageId }
    const [level, event, text] = REPORTS[result]
    tell(alert ? 'error' : level, event, fields, text)
  }

  /** One line, and one more of its kind. */
  function tell(level: keyof Logger, event: DeliveryEvent, fields: object, text: string): void {
    counts[event]++
    logger[level]({ event: `sms.${event}`, ...fields }, text)
  }
}

const ACK: Disposition = { next: 'ack' }

const RESULTS: Record<Outcome['class'], AttemptResult | 'ambiguous'> = {
  ok: 'sent',
  duplicate: 'sent',
  retry: 'retry',
  ambiguous: 'ambiguous',
  rate_recipient: 'failed',
  permanent_recipient: 'failed',
  permanent_request: 'failed',
  account: 'failed',
  fraud_block: 'failed',
}

const REPORTS: Record<AttemptResult, [level: keyof Logger, event: DeliveryEvent, text: string]> = {
  sent: ['info', 'sent', 'the provider took the SMS'],
  retry: ['warn', 'retry', 'not sent yet, will be tried again'],
  failed: ['error', 'dead', 'not sent, given up'],
  unknown: ['warn', 'unknown', 'may have been sent, not tried again'],
}

function disposition(result: AttemptResult, attempt: number, reason: string): Disposition {
  if (result === 'retry') return { next: 'retry', attempt: attempt + 1, step: attempt }
  return result === 'failed' ? { next: 'dead', reason } : ACK
}

// Its code or name only: an error text may quote the request.
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'thrown'
  const { code } = (error.cause ?? error) as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
