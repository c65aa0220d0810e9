/** What the queues are called, what they are declared with, and what a message on them carries. */
import type { ConfirmChannel, Options } from 'amqplib'
import type { Job } from './queue.ts'

export const sendQueue = (prefix: string) => `${prefix}.send`
export const deadQueue = (prefix: string) => `${prefix}.dead`
export const retryQueue = (prefix: string, seconds: number) => `${prefix}.retry.${seconds}s`

/** Headers: which attempt a message is for, and why a dead one is dead. */
export const ATTEMPT = 'x-attempt'
export const REASON = 'x-reason'

/** Milliseconds that a dead letter is kept. */
export const DEAD_TTL = 24 * 60 * 60 * 1000

/**
 * Declares the queues, the dead one first: dead-lettering at least once holds a message back while its target is missing.
 * A queue's arguments can never change, so other ones need another prefix.
 */
export async function declareQueues(
  channel: ConfirmChannel,
  prefix: string,
  delays: number[],
): Promise<void> {
  const quorum = (args: object) => ({
    durable: true,
    arguments: { 'x-queue-type': 'quorum', ...args },
  })
  // Without reject-publish RabbitMQ falls back to dead-lettering at most once (rabbitmq.com/docs/quorum-queues).
  const deadLetterTo = (queue: string) => ({
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    'x-dead-letter-strategy': 'at-least-once',
  })
  await channel.assertQueue(deadQueue(prefix), quorum({ 'x-message-ttl': DEAD_TTL }))
  await channel.assertQueue(
    sendQueue(prefix),
    quorum({ ...deadLetterTo(deadQueue(prefix)), 'x-delivery-limit': 20 }),
  )
  for (const seconds of delays) {
    await channel.assertQueue(
      retryQueue(prefix, seconds),
      quorum({ ...deadLetterTo(sendQueue(prefix)), 'x-message-ttl': Math.round(seconds * 1000) }),
    )
  }
}

export const jobProperties = ({ id, version }: Job, attempt: number): Options.Publish => ({
  messageId: `${id}:${version}:${attempt}`,
  contentType: 'application/json',
  headers: { [ATTEMPT]: attempt },
})
