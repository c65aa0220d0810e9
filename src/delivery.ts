/**
 * The worker half's rules: what is done with one job.
 *
 * claim → provider → complete. Each job ends in exactly one of sent, expired, superseded, dead, state-lost and unknown,
 * and each end is one log line.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createDispatch, type Dispatched, longestDispatch } from './dispatch.ts'
import type { Logger } from './log.ts'
import { maskPhone } from './mask.ts'
import { noteState, type ProviderHealth } from './provider-health.ts'
import type { ProviderChain } from './providers/chain.ts'
import type { Outcome, SmsMessage } from './providers/provider.ts'
import type { Disposition, Handler, Job, Retry } from './queue/queue.ts'
import { messageName } from './receipts/receipt.ts'
import { openCode } from './sealed.ts'
import { deliveryKey, newNonce, type Secrets } from './secrets.ts'
import type {
  AttemptResult,
  ClaimVerdict,
  CompleteRequest,
  CompleteVerdict,
  Completion,
  DeliveryStore,
  FailureReason,
} from './store/store.ts'
import type { Composer } from './text.ts'

export interface DeliveryOptions {
  /** What the names of its queues begin with. */
  queue: string
  store: DeliveryStore
  secrets: Secrets
  chain: ProviderChain
  health: ProviderHealth
  retry: Retry
  /** What to do when an SMS may or may not have been sent: send it again, or let it be. */
  delivery: 'at-least-once' | 'at-most-once'
  /** Whether receipts come in, so that it has to be noted by what name a vendor knows an SMS. */
  receipts: boolean
  /** Seconds. */
  minRemaining: number
  compose: Composer['compose']
  logger: Logger
}

/** A claim keeps others away for so many milliseconds more than the calls to providers can take. */
const LEASE_SPARE = 2000

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
  'held',
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
  const { store, secrets, chain, health, receipts, retry, minRemaining, compose, logger } = options
  const dispatch = createDispatch({ queue: options.queue, chain, health, store })
  const atLeastOnce = options.delivery === 'at-least-once'
  // After a crash nobody knows which of several was asked, and none knows another one's keys.
  const again = atLeastOnce || (chain.providers.length === 1 && chain.providers[0]?.idempotent)
  const lease = longestDispatch(chain) + LEASE_SPARE
  /** A single provider without receipts needs no memory of who sent. */
  const notesSender = receipts || chain.providers.length > 1
  const counts = Object.fromEntries(EVENTS.map((event) => [event, 0])) as Counts
  type Claimed = Extract<ClaimVerdict, { verdict: 'send' }>

  return { deliver, unreadable, counts }

  function unreadable(size: number): Disposition {
    tell('error', 'unreadable', { size }, 'a message that is not a job')
    return { next: 'dead', reason: 'unreadable' }
  }

  async function deliver(job: Job, attempt: number): Promise<Disposition> {
    const { id, version } = job
    const about = { id, version, attempt }
    const holder = newNonce()
    let claim: ClaimVerdict
    try {
      claim = await store.claim({
        id,
        version,
        attempt,
        holder,
        maxAttempt: retry.max + 1,
        minRemaining: minRemaining * 1000,
        lease,
        again: again === true,
      })
    } catch (error) {
      const failure = { ...about, error: messageOf(error) }
      tell('error', 'store_failed', failure, 'cannot ask the store, later')
      return { next: 'retry', attempt, step: LATER }
    }

    switch (claim.verdict) {
      case 'send':
        return send(job, attempt, holder, claim)
      case 'arrived':
        tell('info', 'sent', about, 'nobody had said so, but it has arrived')
        return ACK
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
    const { id, version } = job
    let message: SmsMessage | undefined
    let outcome: Dispatched
    try {
      message = open(job, attempt, claim)
      outcome = await dispatch(message, claim.previous)
    } catch (error) {
      // Sealed with a secret we do not have: another consumer may, or this one after its restart with the new list.
      const failure = { id, version, attempt, error: messageOf(error) }
      tell('error', 'unsealable', failure, 'cannot open what is to be sent')
      outcome = { class: 'retry', code: 'unsealable', alert: true }
    }

    const result = resultOf(outcome, attempt)
    const reason = result === 'failed' ? (REASONS[outcome.class] ?? 'provider') : undefined
    const sender = senderOf(outcome)
    const noted = message && sender && noteSent(message, outcome)
    const recorded = await record({ id, version, attempt, holder, result, reason, ...sender })
    if (noted) await noted
    if (message && sender && result === 'sent') noteCode(message, sender.sentBy.provider)
    // Whoever has claimed the job since says what becomes of it, or has said it.
    if (recorded === 'taken') return ACK
    const [level, event, text] = REPORTS[result]
    const fields = {
      id,
      version,
      attempt,
      provider: outcome.provider?.name ?? chain.name,
      phone: message && maskPhone(message.phone),
      again: claim.again,
      ms: Math.round(performance.now() - startedAt),
      outcome: outcome.class,
      code: outcome.code,
      messageId: outcome.messageId,
    }
    tell(outcome.alert ? 'error' : level, event, fields, text)
    return disposition(result, attempt, outcome.class)
  }

  /** Who sent it, or may have. */
  function senderOf({ class: name, provider, messageId }: Dispatched) {
    if (!notesSender || !provider || !MAY_HAVE_SENT.has(name)) return undefined
    const sentBy = { provider: provider.name, ...(receipts && messageId && { messageId }) }
    return { sentBy, unsure: name === 'ambiguous' }
  }

  /** Whether its code will be entered is open; until it is, it counts as one that is not. */
  function noteCode({ country }: SmsMessage, provider: string): void {
    health.note({ provider, country, signal: 'codes', good: 0, bad: 1 })
  }

  /** By what name the vendor will speak of it: its own id or, where it did not say one, our key. */
  async function noteSent(message: SmsMessage, { provider, messageId }: Dispatched): Promise<void> {
    if (!receipts || !provider) return
    const { id, version, attempt, country, key } = message
    const sent = { id, version, attempt, country, provider: provider.name }
    try {
      const state = await store.noteSent(messageName(provider.name, messageId ?? key), sent)
      // The receipt was faster.
      if (!state) return
      await store.receive(sent, state)
      noteState(health, provider.name, country, state)
    } catch (error) {
      const failure = { id, version, attempt, error: messageOf(error) }
      tell('error', 'unrecorded', failure, 'cannot note what receipts are about')
    }
  }

  /**
   * Tries more than once: a result that is not recorded counts as no answer, and the SMS may be sent a second time.
   * Undefined if the store could not be asked.
   */
  async function record(completion: CompleteRequest): Promise<CompleteVerdict | undefined> {
    const { id, version, attempt, result } = completion
    const about = { id, version, attempt, result }
    for (let left = RECORD_TRIES; left > 0; left--) {
      try {
        const recorded = await store.complete(completion)
        if (recorded === 'taken') tell('warn', 'unrecorded', about, 'another worker has it by now')
        return recorded
      } catch (error) {
        const failure = { id, version, attempt, result, error: messageOf(error) }
        const text = left > 1 ? 'cannot record the result yet' : 'cannot record the result'
        tell('error', 'unrecorded', failure, text)
      }
      if (left > 1) await sleep(RECORD_PAUSE)
    }
    return undefined
  }

  function open({ id, version }: Job, attempt: number, claim: Claimed): SmsMessage {
    const { code, phone, country, ttl, locales } = openCode(secrets, id, claim.code)
    const { purpose } = claim
    const minutes = Math.max(1, Math.floor(ttl / 60))
    return {
      phone,
      country,
      code,
      text: compose({ code, minutes, locales, country, purpose }),
      minutes,
      expiresIn: Math.floor(claim.expiresIn / 1000),
      purpose,
      locales,
      id,
      version,
      attempt,
      key: deliveryKey(id, version, claim.code),
    }
  }

  function resultOf(outcome: Dispatched, attempt: number): Completion {
    if (outcome.held) return 'held'
    const result = RESULTS[outcome.class]
    const repeatable = atLeastOnce || outcome.provider?.idempotent
    if (result === 'ambiguous' && !repeatable) return 'unknown'
    if (result !== 'ambiguous' && result !== 'retry') return result
    return attempt <= retry.max ? 'retry' : 'failed'
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

const MAY_HAVE_SENT = new Set<Outcome['class']>(['ok', 'duplicate', 'ambiguous'])

/** What the person is told of a failure that is about the number; all others are the provider's or ours. */
const REASONS: Partial<Record<Outcome['class'], FailureReason>> = {
  permanent_recipient: 'recipient',
  rate_recipient: 'rate',
  fraud_block: 'blocked',
}

const REPORTS: Record<Completion, [level: keyof Logger, event: DeliveryEvent, text: string]> = {
  sent: ['info', 'sent', 'the provider took the SMS'],
  retry: ['warn', 'retry', 'not sent yet, will be tried again'],
  held: ['info', 'held', 'all providers are at their rate, later'],
  failed: ['error', 'dead', 'not sent, given up'],
  unknown: ['warn', 'unknown', 'may have been sent, not tried again'],
}

function disposition(result: Completion, attempt: number, reason: string): Disposition {
  if (result === 'held') return { next: 'retry', attempt, step: LATER }
  if (result === 'retry') return { next: 'retry', attempt: attempt + 1, step: attempt }
  return result === 'failed' ? { next: 'dead', reason } : ACK
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
