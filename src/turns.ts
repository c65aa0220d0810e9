/**
 * When a request is begun: once all that have come in are read, and only so many in a turn of the event loop. Else a burst of
 * requests would all be made ready before anything is heard from Redis and RabbitMQ, who have nothing to do meanwhile, and then
 * this process would have nothing to do while they are at work.
 */
export type Turn = () => Promise<void>

/** Sends and checks that are begun in one turn, where others have work to do for them. */
export const REQUESTS_IN_A_TURN = 8

/** Node's own, whatever clocks a test puts in its place later. */
const afterReading = setImmediate

/** At most `most` are begun in one turn, in the order that they came in. */
export function createTurns(most: number): Turn {
  const waiting: (() => void)[] = []

  function begin(): void {
    const now = waiting.splice(0, most)
    // After the next look at what has come in.
    if (waiting.length > 0) afterReading(begin)
    for (const go of now) go()
  }

  return () =>
    new Promise((resolve) => {
      if (waiting.push(resolve) === 1) afterReading(begin)
    })
}
