/** Waiting for what comes by itself. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until it is so, at most `ms`. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  ms = 10_000,
): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(10)
  }
}
