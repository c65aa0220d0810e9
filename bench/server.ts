/** One server under load, as a process of its own: ours, or the floor that does only what the parts themselves cost. */
import { createHash } from 'node:crypto'
import { connect } from 'amqplib'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { smsVerify } from '../src/plugin.ts'

export type Role = 'ours' | 'floor'

const [role, redisUrl = '', amqpUrl = '', queuePrefix = ''] = process.argv.slice(2)

/** All protections on, with numbers that a load from one address does not exhaust. */
const PLENTY = [{ max: 1e9, window: 3600 }]

async function ours(app: FastifyInstance): Promise<void> {
  await app.register(smsVerify, {
    secret: 'a secret for measuring, of more than thirty-two bytes',
    countries: ['CN'],
    redis: redisUrl,
    amqp: amqpUrl,
    queuePrefix,
    limits: {
      ip: PLENTY,
      prefix: PLENTY,
      country: PLENTY,
      total: PLENTY,
      failedChecksPerIp: PLENTY,
    },
  })
}

/** `POST /sms/send`: one Lua script and one confirmed persistent publish. `POST /sms/verify`: one Lua script. */
async function floor(app: FastifyInstance): Promise<void> {
  const redis = new Redis(redisUrl, { enableAutoPipelining: true })
  const script = "return redis.call('SET', KEYS[1], ARGV[1], 'EX', 300)"
  const sha = createHash('sha1').update(script).digest('hex')
  await redis.script('LOAD', script)
  const connection = await connect(amqpUrl, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  const queue = `${queuePrefix}.floor`
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })

  app.post<{ Body: { phone: string } }>('/sms/send', async ({ body: { phone } }, reply) => {
    await redis.evalsha(sha, 1, `floor:${phone}`, phone)
    await new Promise<void>((resolve, reject) => {
      const content = Buffer.from(JSON.stringify({ v: 1, id: phone, version: 1 }))
      channel.publish('', queue, content, { persistent: true }, (error) =>
        error ? reject(error) : resolve(),
      )
    })
    return reply.code(202).send({ id: phone, expiresIn: 300, resendIn: 60, codeLength: 6 })
  })
  app.post<{ Body: { id: string } }>('/sms/verify', async ({ body: { id } }, reply) => {
    await redis.evalsha(sha, 1, `floor:${id}`, id)
    return reply.code(422).send({ checksLeft: 4 })
  })
}

const app = Fastify({ logger: { level: 'error' } })
await (role === 'ours' ? ours(app) : floor(app))
await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ url: app.listeningOrigin })
// The parent ends it; whatever becomes of the parent, it does not stay behind.
process.on('disconnect', () => process.exit())
