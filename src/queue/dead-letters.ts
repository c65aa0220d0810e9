/** The dead letters in RabbitMQ: looking through them, taking some up again, and throwing all away. */
import type { GetMessage, Options } from 'amqplib'
import { keepConnected } from './connection.ts'
import { confirmedSender, openChannel, type RabbitOptions } from './publisher.ts'
import { decodeAttempt, decodeJob, type Job } from './queue.ts'
import { ATTEMPT, DEAD_TTL, deadQueue, jobProperties, REASON, sendQueue } from './topology.ts'

export interface DeadLetter {
  /** What was to be sent, and the last attempt at it. Undefined in a message that is not a job. */
  about: { job: Job; attempt: number } | undefined
  reason: string
  diedAt: Date
}

export interface DeadLetters {
  /**
   * Goes through all that are there now, one after the other. True from `replay` moves the letter to the send queue as
   * one more attempt; any other stays for the rest of its 24 hours.
   */
  each(replay: (letter: DeadLetter) => Promise<boolean>): Promise<void>
  /** Throws all away, and says how many. */
  purge(): Promise<number>
  close(): Promise<void>
}

export async function openDeadLetters(options: RabbitOptions): Promise<DeadLetters> {
  const { amqp, queuePrefix, logger } = options
  const queue = deadQueue(queuePrefix)
  const connection = await keepConnected({
    amqp,
    name: `${queuePrefix} dead letters`,
    logger,
    async setUp(model, fail) {
      const channel = await openChannel(model, fail)
      // Not declared: an operator who has misspelt the prefix must not read that there are none.
      await channel.checkQueue(queue)
      return { channel, send: confirmedSender(channel, fail) }
    },
  })

  function session() {
    const open = connection.session()
    if (open) return open
    throw new Error('lost RabbitMQ; what was not moved yet is still among the dead letters')
  }

  return {
    async each(replay) {
      const { messageCount } = await session().channel.checkQueue(queue)
      for (let left = messageCount; left > 0; left--) {
        const { channel, send } = session()
        const message = await channel.get(queue)
        if (!message) return
        const letter = read(message, queuePrefix)
        const { about } = letter
        const again = await replay(letter)
        // Put back by a copy, since each return to the queue counts as a delivery, of which RabbitMQ 4 allows 20.
        const [to, properties] =
          again && about
            ? [sendQueue(queuePrefix), jobProperties(about.job, about.attempt + 1)]
            : [queue, kept(message, letter)]
        const result = await send(to, message.content, properties)
        if (result !== 'done') {
          throw new Error('RabbitMQ did not confirm; what was not moved yet is still there')
        }
        channel.ack(message)
      }
    },
    purge: async () => (await session().channel.purgeQueue(queue)).messageCount,
    close: () => connection.close(),
  }
}

function read({ content, properties }: GetMessage, queuePrefix: string): DeadLetter {
  const { headers = {}, timestamp } = properties
  const job = decodeJob(content)
  const attempt = decodeAttempt(headers[ATTEMPT])
  // Without a reason of ours the broker has given it up: https://www.rabbitmq.com/docs/dlx#effects
  const death = headers['x-death']?.find((each) => each.queue === sendQueue(queuePrefix))
  return {
    about: job && attempt ? { job, attempt } : undefined,
    reason: String(headers[REASON] ?? death?.reason ?? 'unknown'),
    diedAt: new Date((death?.time.value ?? timestamp ?? Math.floor(Date.now() / 1000)) * 1000),
  }
}

/** Of a copy of a dead letter, which lives no longer than the letter would have. */
function kept({ properties }: GetMessage, { diedAt }: DeadLetter): Options.Publish {
  const { messageId, contentType, headers } = properties
  const timestamp = diedAt.getTime() / 1000
  const left = diedAt.getTime() + DEAD_TTL - Date.now()
  const expiration = Math.min(Math.max(left, 1), DEAD_TTL)
  return { messageId, contentType, headers, timestamp, expiration }
}
