/**
 * Which providers are well: a circuit breaker for each provider and country, shared by all consumers through the store.
 *
 * This process keeps a copy, which is a second or two old at most. Nothing waits for it but a probe, and the first message after
 * the start or a while without any: an SMS is never held up or refused because of a breaker, only offered to another provider
 * first.
 */
import type { ProviderAlert } from './hooks.ts'
import type { Logger } from './log.ts'
import { BREAKER, type BreakerOptions } from './providers/chain.ts'
import type { OutcomeClass } from './providers/provider.ts'
import type {
  DeliveryStore,
  HealthReport,
  HealthRules,
  HealthSignal,
  MessageState,
  OpenBreaker,
  ProviderStore,
} from './store/store.ts'

export interface ProviderHealth {
  /** Notes how one call has ended. */
  noteCall(provider: string, country: string, outcome: OutcomeClass): void
  note(report: HealthReport): void
  /** Whether to ask this provider in its turn: its breaker is closed, or this message is the one that tries. */
  admits(provider: string, country: string): Promise<boolean>
  /** Reports what is left to be reported. */
  close(): Promise<void>
}

/** Milliseconds between two reports, and until what others have noticed is known here. */
const INTERVAL = 1000

/** A probe keeps others away for longer than a call can take. */
const PROBE_LEASE = 12_000

const MINUTE = 60_000

/**
 * Receipts take their time, and codes that nobody enters are a sign of it only where hardly any is. For both a vendor that
 * answers is no proof of health, so the pauses are long.
 */
const RULES: Omit<HealthRules, 'calls'> = {
  receipts: { window: 5 * MINUTE, least: 20, share: 0.5, unsettled: 0, pause: MINUTE },
  codes: { window: 15 * MINUTE, least: 50, share: 0.9, unsettled: 2 * MINUTE, pause: 10 * MINUTE },
  account: { pause: MINUTE },
}

function rulesOf({ share, least, window, pause }: BreakerOptions): HealthRules {
  const calls = { window: window * 1000, least, share, unsettled: 0, pause: pause * 1000 }
  return { calls, ...RULES }
}

/** What a call says about the provider; nothing where it is about the number. */
const WELL = { good: 1, bad: 0 }
const BADLY = { good: 0, bad: 1 }
const CALLS: Partial<Record<OutcomeClass, Pick<HealthReport, 'good' | 'bad'>>> = {
  ok: WELL,
  duplicate: WELL,
  retry: BADLY,
  ambiguous: BADLY,
  permanent_request: BADLY,
}

export interface ProviderHealthOptions {
  /** Health is shared by the consumers of one queue. */
  queue: string
  store: ProviderStore & Partial<Pick<DeliveryStore, 'probe'>>
  /** `false`: all are always asked in their turn, and what is wrong is only told. */
  breaker: BreakerOptions | false
  onAlert: (alert: ProviderAlert) => void
  logger: Logger
}

export function createProviderHealth(options: ProviderHealthOptions): ProviderHealth {
  const { queue, store, breaker, onAlert, logger } = options
  const rules = rulesOf(breaker || BREAKER)
  let open = new Map<string, OpenBreaker & { seen: number }>()
  let waiting = new Map<string, HealthReport>()
  let reporting: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  /** When what is known here was found out. */
  let knownAt = Number.NEGATIVE_INFINITY
  let closed = false
  const keyOf = (provider: string, country: string) => `${provider} ${country}`

  function note(report: HealthReport): void {
    const key = `${report.signal} ${keyOf(report.provider, report.country)}`
    const { signal, good, bad } = report
    const before = waiting.get(key)
    if (before) {
      before.good += good
      before.bad += bad
    } else waiting.set(key, { ...report })
    const isProbed = open.has(keyOf(report.provider, report.country))
    // How the calls of the healthy end well can wait; what else there is to say of calls the others should know now.
    if (signal === 'account' || (signal === 'calls' && (bad > 0 || isProbed))) void reportSoon()
    else reportLater()
  }

  function reportLater(): void {
    if (!closed) timer ??= setTimeout(reportSoon, INTERVAL).unref()
  }

  /** One report at a time: what comes up meanwhile goes into the next one. */
  function reportSoon(): Promise<void> {
    reporting ??= report().finally(() => {
      reporting = undefined
      if (waiting.size > 0 && !closed) void reportSoon()
    })
    return reporting
  }

  async function report(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    // What came up in this turn of the event loop goes along.
    await Promise.resolve()
    const reports = [...waiting.values()]
    waiting = new Map()
    try {
      const verdict = await store.reportHealth(queue, reports, rules)
      knownAt = performance.now()
      open = new Map(
        verdict.open.map((breaker) => [
          keyOf(breaker.provider, breaker.country),
          { ...breaker, seen: knownAt },
        ]),
      )
      for (const change of verdict.changed) tell(change)
    } catch {
      // What is known here still holds, and the store's outage is told elsewhere. Counts that are lost do no harm.
    }
    // While somebody is out, others may find before us that he is back.
    if (open.size > 0) reportLater()
  }

  function tell({
    provider,
    country,
    cause,
  }: {
    provider: string
    country: string
    cause?: HealthReport['signal']
  }) {
    const about = { provider, country }
    if (!cause)
      return logger.info({ event: 'provider.closed', ...about }, 'a provider is asked again')
    logger.error({ event: 'provider.open', ...about, cause }, OPENED[cause])
    onAlert({ kind: 'provider', ...about, cause })
  }

  return {
    note,
    noteCall(provider, country, outcome) {
      if (outcome === 'account') note({ provider, country, signal: 'account', good: 0, bad: 0 })
      const said = CALLS[outcome]
      if (said) note({ provider, country, signal: 'calls', ...said })
    },

    async admits(provider, country) {
      // After the start, or when there was nothing to do for a while.
      if (performance.now() - knownAt > INTERVAL * 2) await reportSoon()
      const found = breaker && open.get(keyOf(provider, country))
      if (!found) return true
      if (performance.now() < found.seen + found.wait) return false
      return (
        store.probe?.({ queue, provider, country, lease: PROBE_LEASE }).catch(() => false) ?? false
      )
    },

    async close() {
      closed = true
      clearTimeout(timer)
      await reporting
      if (waiting.size > 0) await reportSoon()
    },
  }
}

/** What a receipt says about the provider: nothing where it is about the number. */
export function noteState(
  health: Pick<ProviderHealth, 'note'>,
  provider: string,
  country: string,
  { state, reason = 'provider' }: MessageState,
): void {
  const about = { provider, country, signal: 'receipts' } as const
  if (state === 'delivered') health.note({ ...about, good: 1, bad: 0 })
  else if (reason === 'provider') health.note({ ...about, good: 0, bad: 1 })
}

const OPENED: Record<HealthSignal | 'account', string> = {
  account: 'a provider refuses our account: look at its credentials, balance and rights',
  calls: 'a provider fails too often, others are asked first',
  receipts: 'a provider does not deliver, others are asked first',
  codes: 'hardly a code of a provider is entered, others are asked first',
}
