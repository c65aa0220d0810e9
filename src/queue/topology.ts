/** What the queues are called, what they are declared with, and what a message on them carries. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelModel, ConfirmChannel, Options } from 'amqplib'
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
 * Milliseconds until a queue that somebody deleted is declared again. RabbitMQ cancels its consumers only some 30 ms after
 * it is gone (3.10.8); on a queue of its name that is there before that, they stay and never get a message again.
 */
const GONE_PAUSE = 1000

export interface Queues {
  /** What their names begin with. */
  prefix: string
  /** Of the retry queues, in seconds. */
  delays: number[]
  /** Whether they were there before. */
  again: boolean
}

/** Sees to it that the queues are there. */
export async function provideQueues(
  model: ChannelModel,
  channel: ConfirmChannel,
  { prefix, delays, again }: Queues,
): Promise<void> {
  const names = [deadQueue(prefix), sendQueue(prefix), ...delays.map((s) => retryQueue(prefix, s))]
  if (again && (await areThere(model, names))) return
  if (again) await sleep(GONE_PAUSE)
  await declareQueues(channel, prefix, delays)
}

async function areThere(model: ChannelModel, names: string[]): Promise<boolean> {
  // Of its own, for a queue that is not there closes it.
  const channel = await model.createChannel()
  channel.on('error', () => {})
  try {
    for (const name of names) await channel.checkQueue(name)
  } catch (error) {
    if ((error as { code?: number }).code === NOT_FOUND) return false
    throw error
  }
  await channel.close()
  return true
}

const NOT_FOUND = 404

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
  headers: headersOf(attempt),
})

/** One object for each attempt, of which there are few: amqplib makes it a prototype, which takes longer than to publish. */
const headersOf = (attempt: number): Options.Publish['headers'] => {
  headersByAttempt[attempt] ??= { [ATTEMPT]: attempt }
  return headersByAttempt[attempt]
}
const headersByAttempt: Options.Publish['headers'][] = []
