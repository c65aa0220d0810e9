/**
 * Watches verifications for the pages that wait for them, whichever process accepted the send.
 *
 * It asks the store again and again, in place of pub/sub: an outage needs no catching up, a Redis Cluster no further
 * connections, and the user of the web half no further rights.
 */
import { unavailable } from './errors.ts'
import type { StatusResult } from './verification.ts'

/** Is given what the store says, changed or not; `gone` when there is nothing more to come. */
export type Listener = (news: StatusResult | 'gone') => void

export interface Watcher {
  /**
   * Calls the listener again and again from now on, until the function that it returns is called. While the store cannot be
   * asked it says nothing. Throws `SMS_VERIFY_UNAVAILABLE` when there are too many listeners, or after `close`.
   */
  watch(id: string, listener: Listener): () => void
  /** Tells every listener that there is nothing more to come. */
  close(): void
}

/** Milliseconds between two questions about one verification, so that a page knows within a second what its consumer knows. */
const PACE = 400

/** What was `sent` so many times in a row, only a receipt or the person changes: then this pace is enough. */
const SETTLED = 25
const SLOW_PACE = 2000

/**
 * Listeners at a time. A question takes Redis some 35 µs: so many at the full pace are a tenth of what it can do, and at
 * the slow one a fiftieth. Who is refused asks for the status instead, as often as he likes to.
 */
export const MAX_LISTENERS = 1000

/** Of one verification: a person has few pages open, and nobody can take all the room with a single `id`. */
export const MAX_LISTENERS_OF_ONE = 20

interface Watched {
  listeners: Set<Listener>
  /** How many times in a row the answer was `sent`. */
  sent: number
  timer: NodeJS.Timeout | undefined
}

/** `ask` rejects when it cannot be known now. */
export function createWatcher(ask: (id: string) => Promise<StatusResult | 'gone'>): Watcher {
  const all = new Map<string, Watched>()
  let count = 0
  let closed = false

  function askSoon(id: string, watched: Watched): void {
    clearTimeout(watched.timer)
    const pace = watched.sent < SETTLED ? PACE : SLOW_PACE
    watched.timer = setTimeout(look, pace, id, watched).unref()
  }

  async function look(id: string, watched: Watched): Promise<void> {
    // Who comes while it is asked has asked by himself, and later.
    const listeners = [...watched.listeners]
    const news = await ask(id).catch(() => undefined)
    if (news) {
      watched.sent = news !== 'gone' && news.status === 'sent' ? watched.sent + 1 : 0
      for (const listener of listeners) if (watched.listeners.has(listener)) listener(news)
    }
    if (watched.listeners.size > 0) askSoon(id, watched)
  }

  function stop(id: string, watched: Watched, listener: Listener): void {
    if (!watched.listeners.delete(listener)) return
    count--
    if (watched.listeners.size > 0) return
    clearTimeout(watched.timer)
    all.delete(id)
  }

  return {
    watch(id, listener) {
      const watched: Watched = all.get(id) ?? { listeners: new Set(), sent: 0, timer: undefined }
      const { listeners } = watched
      if (closed || count >= MAX_LISTENERS || listeners.size >= MAX_LISTENERS_OF_ONE) {
        throw unavailable(closed ? 'the app is closing' : 'too many watch')
      }
      all.set(id, watched)
      listeners.add(listener)
      count++
      // Who comes now may have had a new code sent.
      watched.sent = 0
      askSoon(id, watched)
      return () => stop(id, watched, listener)
    },
    close() {
      closed = true
      const listeners = [...all.values()].flatMap((watched) => [...watched.listeners])
      for (const listener of listeners) listener('gone')
    },
  }
}
