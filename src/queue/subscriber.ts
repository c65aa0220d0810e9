/** The subscriber in RabbitMQ, which confirms before it acknowledges. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumeMessage, MessageProperties, Options } from 'amqplib'
import { withDeadline } from '../deadline.ts'
import { acknowledger } from './acknowledger.ts'
import { keepConnected } from './connection.ts'
import { confirmedSender, openChannel, type RabbitOptions } from './publisher.ts'
import {
  type Disposition,
  decodeAttempt,
  decodeJob,
  type Handler,
  type Job,
  type Retry,
  retryDelays,
  type Subscriber,
} from './queue.ts'
import {
  ATTEMPT,
  deadQueue,
  jobProperties,
  provideQueues,
  REASON,
  retryQueue,
  sendQueue,
} from './topology.ts'

export interface SubscriberOptions extends RabbitOptions {
  retry: Retry
  /** How many deliveries are in hand at once; the broker holds the rest. */
  concurrency: number
}

/** Milliseconds between tries to hand a delivery over. */
const HAND_OVER_PAUSE = 500

/** Milliseconds that `close` waits for the broker to stop delivering; a silent one would be missed much later. */
const CANCEL_TIMEOUT = 1000

/** Milliseconds that `close` waits for deliveries in hand; longer than a slow provider and a slow store may take. */
const DRAIN_TIMEOUT = 20_000

/**
 * Delivers jobs from the send queue. A delivery is acknowledged only after what follows from it, a retry or a dead
 * letter, was confirmed; so a crash at any point repeats a delivery and never loses one.
 */
export async function connectSubscriber(
  options: SubscriberOptions,
  handler: Handler,
): Promise<Subscriber> {
  const { amqp, queuePrefix, logger, retry, concurrency } = options
  const delays = retryDelays(retry)
  let inHand = 0
  let closing = false
  const onIdle: (() => void)[] = []

  // A connection of its own: during an alarm the broker stops reading from connections that publish, and a connection
  // that only consumes goes on getting deliveries and acknowledging them.
  const handOver = await keepConnected({
    amqp,
    name: `${queuePrefix} hand-over`,
    logger,
    async setUp(model, fail, again) {
      const channel = await openChannel(model, fail)
      await provideQueues(model, channel, { prefix: queuePrefix, delays, again })
      return confirmedSender(channel, fail)
    },
  })

  async function settle(message: ConsumeMessage, isLost: () => boolean): Promise<boolean> {
    const { content, properties: received } = message
    const job = decodeJob(content)
    const attempt = decodeAttempt(received.headers?.[ATTEMPT])
    const disposition =
      job && attempt ? await handler.deliver(job, attempt) : handler.unreadable(content.length)
    if (disposition.next === 'ack') return true

    const [queue, properties] = onward(received, job, disposition)
    while (!isLost()) {
      // What is written during an alarm is taken after it, every further copy too.
      const send = handOver.accepting() ? handOver.session() : undefined
      const result = await send?.(queue, content, properties)
      if (result === 'done') return true
      await sleep(HAND_OVER_PAUSE)
    }
    return false
  }

  function onward(
    { messageId, contentType, headers }: MessageProperties,
    job: Job | undefined,
    disposition: Exclude<Disposition, { next: 'ack' }>,
  ): [queue: string, properties: Options.Publish] {
    if (disposition.next === 'retry' && job) {
      const delay = delays[Math.min(disposition.step, delays.length) - 1] as number
      return [retryQueue(queuePrefix, delay), jobProperties(job, disposition.attempt)]
    }
    const reason = disposition.next === 'dead' ? disposition.reason : disposition.next
    return [
      deadQueue(queuePrefix),
      { messageId, contentType, headers: { [ATTEMPT]: headers?.[ATTEMPT], [REASON]: reason } },
    ]
  }

  const consuming = await keepConnected({
    amqp,
    name: `${queuePrefix} consumer`,
    logger,
    async setUp(model, fail, again) {
      const channel = await openChannel(model, fail)
      await provideQueues(model, channel, { prefix: queuePrefix, delays, again })
      await channel.prefetch(concurrency)
      let lost = false
      channel.on('close', () => {
        lost = true
      })
      const acknowledgements = acknowledger(channel, () => lost)
      const { consumerTag } = await channel.consume(sendQueue(queuePrefix), (message) => {
        if (!message) return fail(new Error('the broker cancelled the consumer'))
        if (closing) return // Not acknowledged: the broker gives it to somebody else.
        void take(message)
      })
      return { stop: () => channel.cancel(consumerTag) }

      async function take(message: ConsumeMessage): Promise<void> {
        const { deliveryTag } = message.fields
        acknowledgements.taken(deliveryTag)
        inHand++
        try {
          if (await settle(message, () => lost)) await acknowledgements.settled(deliveryTag)
        } catch (error) {
          fail(error as Error)
        } finally {
          if (--inHand === 0) for (const resolve of onIdle.splice(0)) resolve()
        }
      }
    },
  }).catch(async (error) => {
    await handOver.close()
    throw error
  })

  return {
    ready: () => consuming.session() !== undefined && handOver.accepting(),
    async close() {
      closing = true
      const cancelled = consuming.session()?.stop()
      await withDeadline(Promise.resolve(cancelled), CANCEL_TIMEOUT, 'not done').catch(() => {})
      const idle = new Promise<void>((resolve) => {
        if (inHand === 0) resolve()
        else onIdle.push(resolve)
      })
      await withDeadline(idle, DRAIN_TIMEOUT, 'not done').catch(() => {})
      await Promise.all([consuming.close(), handOver.close()])
    },
  }
}
