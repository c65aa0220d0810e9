/** The queue in RabbitMQ: its topology, the confirmed publisher, and the subscriber that confirms before it acknowledges. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib'
import { withDeadline } from '../deadline.ts'
import type { Logger } from '../log.ts'
import { type AmqpAddress, keepConnected } from './connection.ts'
import {
  type Deliver,
  type Disposition,
  decodeAttempt,
  decodeJob,
  encodeJob,
  type Job,
  type Publisher,
  type PublishResult,
  type Retry,
  retryDelays,
  type Subscriber,
} from './queue.ts'

export interface RabbitOptions {
  amqp: AmqpAddress
  /** What the names of the queues begin with. */
  queuePrefix: string
  logger: Logger
}

export interface SubscriberOptions extends RabbitOptions {
  retry: Retry
  /** How many deliveries are in hand at once; the broker holds the rest. */
  concurrency: number
}

/** Milliseconds until a publish without a confirm counts as unknown. */
const CONFIRM_TIMEOUT = 2000

/** Publishes without a confirm yet, after which further ones fail at once instead of piling up in memory. */
const MAX_IN_FLIGHT = 1000

/** Milliseconds between tries to hand a delivery over. */
const HAND_OVER_PAUSE = 500

/** Milliseconds that `close` waits for deliveries in hand; longer than a provider may take. */
const DRAIN_TIMEOUT = 15_000

const DEAD_TTL = 24 * 60 * 60 * 1000

const sendQueue = (prefix: string) => `${prefix}.send`
const deadQueue = (prefix: string) => `${prefix}.dead`
const retryQueue = (prefix: string, seconds: number) => `${prefix}.retry.${seconds}s`

/** Publishes jobs to the send queue. Resolves once connected; rejects after 3 s with the reason why not. */
export async function connectPublisher(options: RabbitOptions): Promise<Publisher> {
  const { amqp, queuePrefix, logger } = options
  const connection = await keepConnected({
    amqp,
    name: `${queuePrefix} publisher`,
    logger,
    async setUp(model, fail) {
      const channel = await openChannel(model, fail)
      await declare(channel, queuePrefix, [])
      return confirmedSender(channel)
    },
  })
  return {
    ready: () => connection.accepting(),
    async publish(job) {
      const send = connection.session()
      if (!send || !connection.accepting()) return 'failed'
      return send(sendQueue(queuePrefix), encodeJob(job), jobProperties(job, 1))
    },
    close: () => connection.close(),
  }
}

/**
 * Delivers jobs from the send queue. A delivery is acknowledged only after what follows from it, a retry or a dead
 * letter, was confirmed; so a crash at any point repeats a delivery and never loses one.
 */
export async function connectSubscriber(
  options: SubscriberOptions,
  deliver: Deliver,
): Promise<Subscriber> {
  const { amqp, queuePrefix, logger, retry, concurrency } = options
  const delays = retryDelays(retry)
  const inHand = new Set<Promise<void>>()
  let closing = false

  // A connection of its own: during an alarm the broker stops reading from connections that publish, and a connection
  // that only consumes goes on getting deliveries and acknowledging them.
  const handOver = await keepConnected({
    amqp,
    name: `${queuePrefix} hand-over`,
    logger,
    async setUp(model, fail) {
      const channel = await openChannel(model, fail)
      await declare(channel, queuePrefix, delays)
      return confirmedSender(channel)
    },
  })

  async function settle(message: ConsumeMessage, isLost: () => boolean): Promise<boolean> {
    const job = decodeJob(message.content)
    const attempt = decodeAttempt(message.properties.headers?.[ATTEMPT])
    const readable = job !== undefined && attempt !== undefined
    if (!readable) {
      logger.error(
        { event: 'sms.unreadable', size: message.content.length },
        'a message that is not a job',
      )
    }
    const disposition: Disposition = readable
      ? await deliver(job, attempt, message.fields.redelivered)
      : { next: 'dead', reason: 'unreadable' }
    if (disposition.next === 'ack') return true

    const [queue, properties] = onward(message, job, disposition)
    while (!isLost()) {
      const result = await handOver.session()?.(queue, message.content, properties)
      if (result === 'done') return true
      await sleep(HAND_OVER_PAUSE)
    }
    return false
  }

  function onward(
    { properties }: ConsumeMessage,
    job: Job | undefined,
    disposition: Exclude<Disposition, { next: 'ack' }>,
  ): [queue: string, properties: Options.Publish] {
    if (disposition.next === 'retry' && job) {
      const delay = delays[Math.min(disposition.step, delays.length) - 1] as number
      return [retryQueue(queuePrefix, delay), jobProperties(job, disposition.attempt)]
    }
    const reason = disposition.next === 'dead' ? disposition.reason : 'unreadable'
    const { messageId, contentType, headers } = properties
    return [
      deadQueue(queuePrefix),
      { messageId, contentType, headers: { [ATTEMPT]: headers?.[ATTEMPT], [REASON]: reason } },
    ]
  }

  const consuming = await keepConnected({
    amqp,
    name: `${queuePrefix} consumer`,
    logger,
    async setUp(model, fail) {
      const channel = await openChannel(model, fail)
      await declare(channel, queuePrefix, delays)
      await channel.prefetch(concurrency)
      let lost = false
      channel.on('close', () => {
        lost = true
      })
      const { consumerTag } = await channel.consume(sendQueue(queuePrefix), (message) => {
        if (!message) return fail(new Error('the broker cancelled the consumer'))
        if (closing) return // Not acknowledged: the broker gives it to somebody else.
        const work = settle(message, () => lost)
          .then((settled) => {
            // Only on the channel it came by: on another one the tag is another message's.
            if (settled && !lost) channel.ack(message)
          })
          .catch((error: Error) => fail(error))
          .finally(() => inHand.delete(work))
        inHand.add(work)
      })
      return { stop: () => channel.cancel(consumerTag) }
    },
  }).catch(async (error) => {
    await handOver.close()
    throw error
  })

  return {
    ready: () => consuming.session() !== undefined && handOver.accepting(),
    async close() {
      closing = true
      await consuming
        .session()
        ?.stop()
        .catch(() => {})
      await withDeadline(Promise.all(inHand), DRAIN_TIMEOUT, 'not done').catch(() => {})
      await consuming.close()
      await handOver.close()
    },
  }
}

const ATTEMPT = 'x-attempt'
const REASON = 'x-reason'

async function openChannel(
  model: ChannelModel,
  fail: (error: Error) => void,
): Promise<ConfirmChannel> {
  const channel = await model.createConfirmChannel()
  channel.on('error', fail)
  channel.on('close', () => fail(new Error('channel closed')))
  return channel
}

/**
 * Declares the queues, the dead one first: dead-lettering at least once holds a message back while its target is missing.
 * A queue's arguments can never change, so other ones need another prefix.
 */
async function declare(channel: ConfirmChannel, prefix: string, delays: number[]): Promise<void> {
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

const jobProperties = ({ id, version }: Job, attempt: number): Options.Publish => ({
  messageId: `${id}:${version}:${attempt}`,
  contentType: 'application/json',
  headers: { [ATTEMPT]: attempt },
})

type Send = (queue: string, body: Buffer, properties: Options.Publish) => Promise<PublishResult>

function confirmedSender(channel: ConfirmChannel): Send {
  const returned = new Set<string>()
  let inFlight = 0
  // The broker also confirms what it could not route; the return comes just before that confirm.
  channel.on('return', ({ properties }) => returned.add(properties.messageId))

  return (queue, body, properties) =>
    new Promise((resolve) => {
      if (inFlight >= MAX_IN_FLIGHT) return resolve('failed')
      inFlight++
      const timer = setTimeout(() => resolve('unknown'), CONFIRM_TIMEOUT)
      const onConfirm = (error: Error | null) => {
        clearTimeout(timer)
        inFlight--
        const unroutable = returned.delete(properties.messageId as string)
        if (!error) return resolve(unroutable ? 'failed' : 'done')
        resolve(error.message === NACKED ? 'failed' : 'unknown')
      }
      try {
        const options = {
          persistent: true,
          mandatory: true,
          timestamp: epochSeconds(),
          ...properties,
        }
        channel.publish('', queue, body, options, onConfirm)
      } catch {
        // Only a closed channel throws, and then nothing was written.
        clearTimeout(timer)
        inFlight--
        resolve('failed')
      }
    })
}

/** What amqplib says when the broker refuses a message; all its other errors leave open what became of it. */
const NACKED = 'message nacked'

const epochSeconds = () => Math.floor(Date.now() / 1000)
