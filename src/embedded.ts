/** The embedded mode: both halves in one process, state in memory. For a first try, development and small tools. */
import { createDelivery } from './delivery.ts'
import type { Logger } from './log.ts'
import { policyOf, type SmsVerifyOptions } from './options.ts'
import { withProgress } from './progress.ts'
import { consoleProvider } from './providers/console.ts'
import { createMemoryQueue } from './queue/memory.ts'
import { MIN_REMAINING, type Publisher, QUEUE_PREFIX, RETRY } from './queue/queue.ts'
import { createSecrets } from './secrets.ts'
import { createMemoryStore } from './store/memory.ts'
import type { Store } from './store/store.ts'

const CONCURRENCY = 64

export function startEmbedded(
  options: SmsVerifyOptions,
  logger: Logger,
): { store: Store; publisher: Publisher } {
  const { provider = consoleProvider(), brand } = options
  const store = createMemoryStore()
  const queue = createMemoryQueue(RETRY, CONCURRENCY)
  const delivery = createDelivery({
    store,
    secrets: createSecrets(options.secret),
    provider,
    retry: RETRY,
    delivery: 'at-least-once',
    // Never more than half of a short-lived code's life.
    minRemaining: Math.min(MIN_REMAINING, policyOf(options).ttl / 2000),
    brand,
    logger,
  })
  queue.subscribe(withProgress(delivery, store, options.queuePrefix ?? QUEUE_PREFIX).deliver)
  return { store, publisher: queue }
}
