/** The queue inside one process, for the embedded mode: the same course of a job, without the broker's durability. */
import {
  type Deliver,
  type Job,
  type Publisher,
  type Retry,
  retryDelays,
  type Subscriber,
} from './queue.ts'

export interface MemoryQueue extends Publisher {
  /** Hands jobs to `deliver`, at most `concurrency` at once. */
  subscribe(deliver: Deliver): Subscriber
}

export function createMemoryQueue(retry: Retry, concurrency: number): MemoryQueue {
  const delays = retryDelays(retry)
  const waiting: { job: Job; attempt: number }[] = []
  const timers = new Set<NodeJS.Timeout>()
  const inHand = new Set<Promise<void>>()
  let deliver: Deliver | undefined
  let closed = false

  function add(job: Job, attempt: number): void {
    waiting.push({ job, attempt })
    // Not in this turn: publishing must not wait for the delivery.
    setImmediate(next)
  }

  function next(): void {
    while (deliver && !closed && inHand.size < concurrency) {
      const delivery = waiting.shift()
      if (!delivery) return
      const work = settle(deliver, delivery.job, delivery.attempt).finally(() => {
        inHand.delete(work)
        next()
      })
      inHand.add(work)
    }
  }

  async function settle(handler: Deliver, job: Job, attempt: number): Promise<void> {
    const disposition = await handler(job, attempt)
    if (disposition.next !== 'retry' || closed) return
    const seconds = delays[Math.min(disposition.step, delays.length) - 1] as number
    const timer = setTimeout(() => {
      timers.delete(timer)
      add(job, disposition.attempt)
    }, seconds * 1000)
    timers.add(timer)
  }

  async function close(): Promise<void> {
    closed = true
    for (const timer of timers) clearTimeout(timer)
    await Promise.all(inHand)
  }

  return {
    ready: () => !closed,
    async publish(job) {
      if (closed) return 'failed'
      add(job, 1)
      return 'done'
    },
    depth: async () => waiting.length,
    subscribe(handler) {
      deliver = handler
      next()
      return { ready: () => !closed, close }
    },
    close,
  }
}
