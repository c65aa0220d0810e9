/** The confirmed publisher in RabbitMQ, and the confirmed sending that the subscriber hands over by. */
import type { ChannelModel, ConfirmChannel, Options } from 'amqplib'
import { atDeadline, withDeadline } from '../deadline.ts'
import type { Logger } from '../log.ts'
import { type AmqpAddress, keepConnected } from './connection.ts'
import { encodeJob, type Publisher, type PublishResult } from './queue.ts'
import { jobProperties, provideQueues, sendQueue } from './topology.ts'

export interface RabbitOptions {
  amqp: AmqpAddress
  /** What the names of the queues begin with. */
  queuePrefix: string
  logger: Logger
}

/** Milliseconds until a publish without a confirm counts as unknown. */
const CONFIRM_TIMEOUT = 2000

/** Milliseconds that the broker has to say how much is in a queue. */
const ASK_TIMEOUT = 1000

/** Publishes without a confirm yet, after which further ones fail at once instead of piling up in memory. */
const MAX_IN_FLIGHT = 1000

/** Publishes jobs to the send queue. Resolves once connected; rejects within 5 s with the reason why not. */
export async function connectPublisher(options: RabbitOptions): Promise<Publisher> {
  const { amqp, queuePrefix, logger } = options
  const connection = await keepConnected({
    amqp,
    name: `${queuePrefix} publisher`,
    logger,
    async setUp(model, fail, again) {
      const channel = await openChannel(model, fail)
      await provideQueues(model, channel, { prefix: queuePrefix, delays: [], again })
      return { channel, send: confirmedSender(channel, fail) }
    },
  })
  const queue = sendQueue(queuePrefix)
  return {
    ready: () => connection.accepting(),
    async publish(job) {
      const session = connection.session()
      if (!session || !connection.accepting()) return 'failed'
      return session.send(queue, encodeJob(job), jobProperties(job, 1))
    },
    async depth() {
      const session = connection.session()
      if (!session) throw new Error('RabbitMQ is not connected')
      const asked = session.channel.checkQueue(queue)
      return (await withDeadline(asked, ASK_TIMEOUT, 'RabbitMQ did not answer')).messageCount
    },
    close: () => connection.close(),
  }
}

/** A channel whose loss is the loss of the whole connection. */
export async function openChannel(
  model: ChannelModel,
  fail: (error: Error) => void,
): Promise<ConfirmChannel> {
  const channel = await model.createConfirmChannel()
  channel.on('error', fail)
  channel.on('close', () => fail(new Error('channel closed')))
  return channel
}

type Send = (queue: string, body: Buffer, properties: Options.Publish) => Promise<PublishResult>

/** A message that no queue took calls `fail`: what is set up anew declares the queue that is missing. */
export function confirmedSender(channel: ConfirmChannel, fail: (error: Error) => void): Send {
  const returned = new Map<string, number>()
  let inFlight = 0
  // The broker also confirms what it could not route; the return comes just before that confirm.
  // Counted, since the same message may be on its way twice.
  channel.on('return', ({ properties: { messageId } }) => {
    returned.set(messageId, (returned.get(messageId) ?? 0) + 1)
  })
  const takeReturn = (messageId: string): boolean => {
    const count = returned.get(messageId) ?? 0
    if (count > 1) returned.set(messageId, count - 1)
    else returned.delete(messageId)
    return count > 0
  }

  return (queue, body, properties) =>
    new Promise((resolve) => {
      if (inFlight >= MAX_IN_FLIGHT) return resolve('failed')
      inFlight++
      const timer = atDeadline(CONFIRM_TIMEOUT, () => resolve('unknown'))
      const onConfirm = (error: Error | null) => {
        clearTimeout(timer)
        inFlight--
        const unroutable = takeReturn(properties.messageId as string)
        if (error) return resolve(error.message === NACKED ? 'failed' : 'unknown')
        resolve(unroutable ? 'failed' : 'done')
        if (unroutable) fail(new Error(`there is no queue ${queue}`))
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
