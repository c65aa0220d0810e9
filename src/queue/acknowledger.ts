/** Acknowledges deliveries, several by one frame where they allow it. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Channel, ConsumeMessage } from 'amqplib'

export interface Acknowledger {
  /** In the order of delivery. */
  taken(tag: number): void
  /** Resolves when it is written, or when the channel it came by is lost. */
  settled(tag: number): Promise<void>
}

/**
 * What is settled in one turn of the event loop is acknowledged together. All up to the oldest delivery that is still in hand
 * go as one, which the broker writes down as one; the others one by one, so that they need not wait for it.
 */
export function acknowledger(channel: Channel, isLost: () => boolean): Acknowledger {
  /**
   * In the order of delivery, with whether they are settled. Tags only: what a map has let go of stays in its old tables, and those
   * of a map that lives long stay until a full garbage collection.
   */
  const inHand = new Map<number, boolean>()
  let settled: number[] = []
  let turn: Promise<void> | undefined

  async function acknowledge(): Promise<void> {
    await nextTurn()
    const behind = settled
    settled = []
    turn = undefined
    // Only on the channel they came by: on another one the tags are other messages'.
    if (isLost()) return
    let last: number | undefined
    for (const [tag, isSettled] of inHand) {
      if (!isSettled) break
      inHand.delete(tag)
      last = tag
    }
    if (last !== undefined) ack(last, true)
    for (const tag of behind) if (inHand.delete(tag)) ack(tag, false)
  }

  // amqplib looks at nothing else of a message.
  function ack(deliveryTag: number, andEarlier: boolean): void {
    channel.ack({ fields: { deliveryTag } } as ConsumeMessage, andEarlier)
  }

  return {
    taken: (tag) => void inHand.set(tag, false),
    settled(tag) {
      inHand.set(tag, true)
      settled.push(tag)
      turn ??= acknowledge()
      return turn
    },
  }
}
