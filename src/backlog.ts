/**
 * Back-pressure: how long a job queued now would wait for a consumer. What could only be sent when most of its code's
 * life is over is better refused, while the person is still looking.
 *
 * A queue cannot be asked how old its messages are, and at the head they are not as old as the newest will be. So the
 * wait is worked out: what is in the queue, divided by the pace of all consumers together.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './log.ts'
import { MIN_REMAINING, type Publisher } from './queue/queue.ts'
import type { VerificationStore } from './store/store.ts'

export interface Backlog {
  /** Whether a job queued now would wait for too long, as far as is known. */
  tooLong(): boolean
  /** One more has been queued. */
  add(): void
  close(): void
}

export interface BacklogOptions {
  publisher: Pick<Publisher, 'depth'>
  store: Pick<VerificationStore, 'progress'>
  /** What the names of the queues begin with. */
  queue: string
  /** Longest wait, in milliseconds. */
  longest: number
  logger: Logger
}

/** Milliseconds between two looks, while there are sends or something is in the queue. */
const INTERVAL = 1000

/** The pace is that of the best SPAN of the last WINDOW: a pause, as in a deployment, does not make the consumers slow. */
const SPAN = 10_000
const WINDOW = 30_000

/** Half of the time in which a code can be sent. */
export const longestWait = (ttl: number): number =>
  (ttl - Math.min(MIN_REMAINING * 1000, ttl / 2)) / 2

export function createBacklog(options: BacklogOptions): Backlog {
  const { publisher, store, queue, longest, logger } = options
  const stop = new AbortController()
  const estimate = createEstimate()
  let asked = false
  let refused = false
  let behind = false

  const wait = () => estimate.wait(performance.now())

  async function look(): Promise<void> {
    const [depth, done] = await Promise.all([publisher.depth(), store.progress(queue, 0)])
    estimate.update({ at: performance.now(), depth, done })
  }

  /** Not at each change: between two looks sends may be refused and taken in turn. */
  function tell(): void {
    const [before, wasRefused] = [behind, refused]
    refused = false
    behind = wasRefused || wait() > (behind ? longest / 2 : longest)
    if (behind === before) return
    const seconds = Math.round(wait() / 1000)
    const about = { queue, depth: estimate.depth(), wait: seconds, longest: longest / 1000 }
    if (behind) logger.warn({ event: 'queue.slow', ...about }, 'consumers are behind: no sends')
    else logger.info({ event: 'queue.recovered', ...about }, 'consumers keep up: sends again')
  }

  async function watch(): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(INTERVAL, undefined, { ref: false, signal: stop.signal }).catch(() => {})
      if (!asked && estimate.depth() === 0) continue
      asked = false
      // With RabbitMQ or Redis down nothing is known; and no send gets through anyway.
      await look().catch(() => estimate.clear())
      tell()
    }
  }

  void watch()
  return {
    tooLong() {
      asked = true
      const isTooLong = wait() > longest
      refused ||= isTooLong
      return isTooLong
    },
    add: () => estimate.add(),
    close: () => stop.abort(),
  }
}

/** What is seen at a time: what is in the queue, and what the consumers have done in all. */
interface Look {
  at: number
  depth: number
  done: number
}

export function createEstimate() {
  /** Since the queue was last empty, the oldest first. */
  let looks: Look[] = []
  let depth = 0
  let pace = 0
  let movedAt = 0

  function update(look: Look): void {
    const last = looks.at(-1)
    // A sum that has shrunk is a new one.
    if (last && look.done < last.done) clear()
    if (look.done !== last?.done) movedAt = look.at
    looks = [...looks.filter(({ at }) => at > look.at - WINDOW), look]
    // Consumers that found nothing to do were not slow.
    if (look.depth === 0) clear()
    depth = look.depth
    pace = paceOf(looks)
  }

  function clear(): void {
    looks = []
    depth = 0
    pace = 0
  }

  return {
    update,
    clear,
    depth: () => depth,
    /** One more has been queued since. */
    add() {
      if (depth > 0) depth++
    },
    /** Milliseconds that a job queued at that time would wait; 0 where nothing is known. */
    wait(at: number): number {
      if (depth === 0) return 0
      // Where nothing moves, the next in turn has been waiting for that long.
      return pace > 0 ? depth / pace : at - movedAt
    },
  }
}

/** Jobs in a millisecond over the best SPAN; 0 when none of them is over, or nothing was done in it. */
function paceOf(looks: Look[]): number {
  const paces = looks.flatMap((from, i) => {
    const to = looks.slice(i).find(({ at }) => at - from.at >= SPAN)
    return to ? [(to.done - from.done) / (to.at - from.at)] : []
  })
  return Math.max(0, ...paces)
}
