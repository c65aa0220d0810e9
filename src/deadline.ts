/** A promise with a deadline: nothing that we wait for may keep us waiting for ever. */

/**
 * Calls back after `ms` milliseconds, but only after what has arrived by then was read: a process that was held up finds
 * its timers and its sockets due at once, timers first, and would take its own delay for the peer's.
 */
export const atDeadline = (ms: number, callback: () => void): NodeJS.Timeout =>
  setTimeout(() => setImmediate(callback), ms)

/** What the promise comes to, or a rejection that says `message` after `ms` milliseconds. */
export function withDeadline<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = atDeadline(ms, () => reject(new Error(`${message} within ${ms} ms`)))
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
