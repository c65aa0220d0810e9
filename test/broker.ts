/** A test's own view of RabbitMQ: what stands in the queues, and messages of any form to put there. */
import type { TestContext } from 'node:test'
import { type ConfirmChannel, connect, type GetMessage } from 'amqplib'
import { AMQP_URL } from './helper.ts'

export interface Broker {
  channel: ConfirmChannel
  /** Messages that wait in a queue. */
  depth(queue: string): Promise<number>
  /** Takes all messages out of a queue. */
  drain(queue: string): Promise<GetMessage[]>
  /** Puts a message of any form into a queue, confirmed. */
  put(queue: string, body: string | Buffer, headers?: Record<string, unknown>): Promise<void>
}

export async function openBroker(t: TestContext): Promise<Broker> {
  const connection = await connect(AMQP_URL)
  t.after(() => connection.close())
  const channel = await connection.createConfirmChannel()
  return {
    channel,
    depth: async (queue) => (await channel.checkQueue(queue)).messageCount,
    async drain(queue) {
      const messages: GetMessage[] = []
      for (;;) {
        const message = await channel.get(queue, { noAck: true })
        if (!message) return messages
        messages.push(message)
      }
    },
    put: (queue, body, headers = {}) =>
      new Promise((resolve, reject) => {
        channel.publish('', queue, Buffer.from(body), { persistent: true, headers }, (error) =>
          error ? reject(error) : resolve(),
        )
      }),
  }
}
