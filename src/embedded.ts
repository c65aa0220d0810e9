/** The embedded mode: both halves in one process, state in memory. For a first try, development and small tools. */
import { createDelivery } from './delivery.ts'
import type { SafeHooks } from './hooks.ts'
import type { Logger } from './log.ts'
import { CODE_LENGTH, NAME, PURPOSES, policyOf, type SmsVerifyOptions } from './options.ts'
import { withProgress } from './progress.ts'
import { createProviderHealth } from './provider-health.ts'
import { asChain } from './providers/chain.ts'
import { consoleProvider } from './providers/console.ts'
import { createMemoryQueue } from './queue/memory.ts'
import { MIN_REMAINING, type Publisher, QUEUE_PREFIX, RETRY } from './queue/queue.ts'
import { createSecrets } from './secrets.ts'
import { warnOfTexts } from './start-checks.ts'
import { createMemoryStore } from './store/memory.ts'
import type { Store } from './store/store.ts'
import { createComposer } from './text.ts'

const CONCURRENCY = 64

export function startEmbedded(
  options: SmsVerifyOptions,
  hooks: Pick<SafeHooks, 'onAlert'>,
  logger: Logger,
): { store: Store; publisher: Publisher } {
  const {
    provider = consoleProvider(),
    purposes = PURPOSES,
    code,
    queuePrefix: queue = QUEUE_PREFIX,
  } = options
  const composer = createComposer(NAME, {
    ...options,
    purposes,
    codeLength: code?.length ?? CODE_LENGTH,
  })
  const chain = asChain(provider)
  warnOfTexts(composer, { ...options, providers: chain.providers }, logger)
  const store = createMemoryStore()
  const { breaker } = chain
  const health = createProviderHealth({ queue, store, breaker, onAlert: hooks.onAlert, logger })
  const jobs = createMemoryQueue(RETRY, CONCURRENCY)
  const delivery = createDelivery({
    queue,
    store,
    secrets: createSecrets(options.secret),
    chain,
    health,
    retry: RETRY,
    delivery: 'at-least-once',
    receipts: (options.receipts ?? []).length > 0,
    // Never more than half of a short-lived code's life.
    minRemaining: Math.min(MIN_REMAINING, policyOf(options).ttl / 2000),
    compose: composer.compose,
    logger,
  })
  jobs.subscribe(withProgress(delivery, store, queue).deliver)
  const close = async () => {
    await jobs.close()
    await health.close()
  }
  return { store, publisher: { ...jobs, close } }
}
