/** How a verification stands as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
import { Readable } from 'node:stream'
import type { StatusResult } from './verification.ts'
import type { Watcher } from './watcher.ts'

/** Milliseconds that a browser waits before it connects again. */
const RETRY = 2000

/** Milliseconds between two comments: less than the 30 s and more after which proxies cut what is silent. */
const HEARTBEAT = 15_000

const FINAL: ReadonlySet<StatusResult['status']> = new Set([
  'verified',
  'delivered',
  'failed',
  'expired',
])

/**
 * An event at once and one at each change, until a final status, or until there is nothing more to come. Destroying it ends
 * the watch. Throws what `watch` does.
 */
export function statusStream(id: string, first: StatusResult, watcher: Watcher): Readable {
  const opening = `retry: ${RETRY}\n\n${eventOf(first)}`
  if (FINAL.has(first.status)) return Readable.from([opening])

  let last = first
  const stop = watcher.watch(id, (news) => {
    if (news === 'gone') return end()
    const before = last
    last = news
    if (changed(before, news)) stream.push(eventOf(news))
    if (FINAL.has(news.status)) end()
  })
  const heartbeat = setInterval(() => stream.push(':\n\n'), HEARTBEAT).unref()
  const stream = new Readable({
    read() {},
    destroy(error, done) {
      release()
      done(error)
    },
  })
  stream.push(opening)
  return stream

  function end(): void {
    // Not left to `destroy`, which waits for a client that does not read.
    release()
    stream.push(null)
  }

  function release(): void {
    stop()
    clearInterval(heartbeat)
  }
}

const eventOf = (status: StatusResult): string =>
  `event: status\ndata: ${JSON.stringify(status)}\n\n`

/** Not by the time that passes: but a life that has grown is that of a new code, whose sending began anew. */
const changed = (before: StatusResult, now: StatusResult): boolean =>
  now.status !== before.status ||
  now.reason !== before.reason ||
  now.checksLeft !== before.checksLeft ||
  now.expiresIn > before.expiresIn
