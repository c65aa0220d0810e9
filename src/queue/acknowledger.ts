/** Acknowledges deliveries, several by one frame where they allow it. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Channel, ConsumeMessage } from 'amqplib'

export interface Acknowledger {
  /** In the order of delivery. */
  taken(message: ConsumeMessage): void
  /** Resolves when it is written, or when the channel it came by is lost. */
  settled(message: ConsumeMessage): Promise<void>
}

/**
 * What is settled in one turn of the event loop is acknowledged together. All up to the oldest delivery that is still in hand
 * go as one, which the broker writes down as one; the others one by one, so that they need not wait for it.
 */
export function acknowledger(channel: Channel, isLost: () => boolean): Acknowledger {
  /** In the order of delivery, with whether they are settled. */
  const inHand = new Map<ConsumeMessage, boolean>()
  let settled: ConsumeMessage[] = []
  let turn: Promise<void> | undefined

  async function acknowledge(): Promise<void> {
    await nextTurn()
    const behind = settled
    settled = []
    turn = undefined
    // Only on the channel they came by: on another one the tags are other messages'.
    if (isLost()) return
    let last: ConsumeMessage | undefined
    for (const [message, isSettled] of inHand) {
      if (!isSettled) break
      inHand.delete(message)
      last = message
    }
    if (last) channel.ack(last, true)
    for (const message of behind) if (inHand.delete(message)) channel.ack(message)
  }

  return {
    taken: (message) => void inHand.set(message, false),
    settled(message) {
      inHand.set(message, true)
      settled.push(message)
      turn ??= acknowledge()
      return turn
    },
  }
}
