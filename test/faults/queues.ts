/** The runner's own view of the queues: a connection for each question, since the broker is what the faults hit. */
import { type ConfirmChannel, connect, type GetMessage } from 'amqplib'
import { RETRY, retryDelays } from '../../src/queue/queue.ts'

export interface Broker {
  prefix: string
  /** Messages that wait in the send and the retry queues; undefined while the broker does not tell. */
  waiting(): Promise<number | undefined>
  /** Consumers of the send queue; undefined while the broker does not tell. */
  consumers(): Promise<number | undefined>
  /** Takes everything out of the dead queue. */
  takeDead(): Promise<GetMessage[]>
  /** Puts messages of any form into the send queue, confirmed. */
  put(bodies: { body: Buffer; headers?: Record<string, unknown> }[]): Promise<void>
  /** Deletes all queues; answers how many messages were lost with them. */
  deleteQueues(): Promise<number>
  /** Runs on a channel of its own. */
  use<T>(run: (channel: ConfirmChannel) => Promise<T>): Promise<T>
}

export function openBroker(urls: string[], prefix: string): Broker {
  const onward = retryDelays(RETRY).map((seconds) => `${prefix}.retry.${seconds}s`)

  async function use<T>(run: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    let failure: unknown
    for (const url of urls) {
      const connection = await connect(url, { timeout: 3000 }).catch((error) => {
        failure = error
      })
      if (!connection) continue
      connection.on('error', () => {})
      try {
        const channel = await connection.createConfirmChannel()
        channel.on('error', () => {})
        return await run(channel)
      } finally {
        await connection.close().catch(() => {})
      }
    }
    throw failure
  }

  return {
    prefix,
    use,
    waiting: () =>
      use(async (channel) => {
        let sum = 0
        for (const queue of [`${prefix}.send`, ...onward]) {
          sum += (await channel.checkQueue(queue)).messageCount
        }
        return sum
      }).catch(() => undefined),
    consumers: () =>
      use(async (channel) => (await channel.checkQueue(`${prefix}.send`)).consumerCount).catch(
        () => undefined,
      ),
    takeDead: () =>
      use(async (channel) => {
        const taken: GetMessage[] = []
        for (;;) {
          const message = await channel.get(`${prefix}.dead`, { noAck: true })
          if (!message) return taken
          taken.push(message)
        }
      }),
    put: (messages) =>
      use(async (channel) => {
        for (const { body, headers = {} } of messages) {
          channel.publish('', `${prefix}.send`, body, { persistent: true, headers })
        }
        await channel.waitForConfirms()
      }),
    deleteQueues: () =>
      use(async (channel) => {
        let lost = 0
        // Those that dead-letter into another one before that one: RabbitMQ 3.10 does not bear a target that goes first.
        for (const queue of [...onward, `${prefix}.send`, `${prefix}.dead`]) {
          lost += (await channel.deleteQueue(queue)).messageCount
        }
        return lost
      }),
  }
}
