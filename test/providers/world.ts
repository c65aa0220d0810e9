/** An app and a consumer on a real Redis and a real RabbitMQ, with everything that the consumer says. */
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { type ConsumerOptions, startConsumer } from '../../src/consumer.ts'
import { smsVerify } from '../../src/plugin.ts'
import { UNLIMITED } from '../unlimited.ts'

export interface Services {
  redis: string
  amqp: string
}

export interface Line {
  event?: string
  id?: string
  [field: string]: unknown
}

export type World = Awaited<ReturnType<typeof openWorld>>

const SECRET = 'a secret for tests of providers, of more than thirty-two bytes'

/** What the end of a job is called in the log. */
const ENDS = new Set(['sms.sent', 'sms.dead', 'sms.expired', 'sms.unknown', 'sms.superseded'])

export async function openWorld(
  { redis, amqp }: Services,
  options: Pick<ConsumerOptions, 'provider'> & Partial<ConsumerOptions>,
) {
  const queuePrefix = `providers-${randomBytes(4).toString('hex')}`
  const lines: Line[] = []
  const keep = (fields: object) => void lines.push({ at: performance.now(), ...fields })
  const logger = { debug: keep, info: keep, warn: keep, error: keep }
  const shared = { redis, amqp, secret: SECRET, queuePrefix }
  const consumer = await startConsumer({ ...shared, logger, ...options })
  const app = Fastify()
  await app.register(smsVerify, { ...shared, countries: ['CN'], limits: UNLIMITED })
  await app.ready()
  let numbers = 0
  const part = Math.floor(Math.random() * 1000)

  return {
    app,
    lines,
    queuePrefix,
    /** A number that no other send of this run has. */
    newPhone: () => `+86139${String(part).padStart(3, '0')}${String(numbers++).padStart(5, '0')}`,
    /** How each accepted job has ended, by verification. */
    ends: () =>
      lines.filter((line) => line.event !== undefined && ENDS.has(line.event)) as (Line & {
        id: string
        event: string
      })[],
    async [Symbol.asyncDispose]() {
      await app.close()
      await consumer.close()
    },
  }
}
