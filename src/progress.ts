/** Tells the store how many deliveries are settled: the web half works out from it how far the consumers are behind. */
import type { Disposition, Handler } from './queue/queue.ts'
import type { DeliveryStore } from './store/store.ts'

/** Milliseconds. */
const INTERVAL = 1000

export function withProgress(
  handler: Handler,
  store: Pick<DeliveryStore, 'progress'>,
  queue: string,
): Handler {
  let settled = 0

  function report(): void {
    // Not tried again: a pace that is told too low for a moment does no harm.
    store.progress(queue, settled).catch(() => {})
    settled = 0
  }

  function count(disposition: Disposition, attempt?: number): Disposition {
    // What only comes again is not done.
    if (disposition.next === 'retry' && disposition.attempt === attempt) return disposition
    if (settled++ === 0) setTimeout(report, INTERVAL).unref()
    return disposition
  }

  return {
    deliver: async (job, attempt) => count(await handler.deliver(job, attempt), attempt),
    unreadable: (size) => count(handler.unreadable(size)),
  }
}
