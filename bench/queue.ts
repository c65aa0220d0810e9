/** Queues as the rows need them beside ours. */
import { connect } from 'amqplib'
import { encodeJob } from '../src/queue/queue.ts'
import { jobProperties } from '../src/queue/topology.ts'
import { nextPhone } from './load.ts'
import type { Running } from './world.ts'

/** So many sends by this program, sooner than by HTTP. */
export async function fill(web: Running, jobs: number): Promise<void> {
  for (let left = jobs; left > 0; left -= AT_ONCE) {
    await web.ask('fill', { phones: Array.from({ length: Math.min(left, AT_ONCE) }, nextPhone) })
  }
}

/** No question should take long. */
const AT_ONCE = 5000

/** Publishes without a confirm yet. */
const WINDOW = 1000

/** Nobody's job: a consumer finds nothing in the store for it. */
const JOB = { id: 'NdsvqT-I4G6YKoJsbwfkTNz-', version: 1 }

/** Puts so many messages like ours into a queue, which is a plain quorum queue where it is not there yet. */
export async function publishMany(amqp: string, queue: string, count: number): Promise<void> {
  const connection = await connect(amqp, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  if (queue.endsWith('.floor')) {
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  }
  for (let left = count; left > 0; left -= WINDOW) {
    for (let i = 0; i < Math.min(left, WINDOW); i++) {
      channel.publish('', queue, encodeJob(JOB), { persistent: true, ...jobProperties(JOB, 1) })
    }
    await channel.waitForConfirms()
  }
  await connection.close()
}

export async function emptyQueues(amqp: string, ...queues: string[]): Promise<void> {
  const connection = await connect(amqp, { noDelay: true })
  const channel = await connection.createChannel()
  for (const queue of queues) await channel.purgeQueue(queue)
  await connection.close()
}

/** Those that a row has put anything into. */
export async function deleteQueues(amqp: string, prefixes: string[]): Promise<void> {
  const connection = await connect(amqp, { noDelay: true })
  const channel = await connection.createChannel()
  for (const prefix of prefixes) {
    for (const queue of [`${prefix}.send`, `${prefix}.floor`]) await channel.deleteQueue(queue)
  }
  await connection.close()
}

/** Bytes of body, properties and headers of the message at the head of a queue. */
export async function messageSize(amqp: string, queue: string): Promise<number> {
  const connection = await connect(amqp)
  const channel = await connection.createChannel()
  const message = await channel.get(queue, { noAck: true })
  await connection.close()
  if (!message) throw new Error(`${queue}: expected a message`)
  const { messageId, contentType, headers = {} } = message.properties
  const texts = [messageId, contentType, ...Object.keys(headers)] as string[]
  // A number is 8 bytes at most, as the timestamp is; the delivery mode is one.
  const numbers = 8 * (Object.keys(headers).length + 1) + 1
  return texts.reduce((sum, text) => sum + text.length + 1, message.content.length + numbers)
}
