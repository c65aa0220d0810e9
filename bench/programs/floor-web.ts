/**
 * What the parts themselves cost: `POST /sms/send` is one Lua script and one confirmed publish, `/sms/verify` one script. The answers
 * have as many fields as ours.
 */
import { createHash } from 'node:crypto'
import { connect } from 'amqplib'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { WRONG_CODE } from './answers.ts'
import { ready, settings } from './program.ts'

const redis = new Redis(settings.redis, { enableAutoPipelining: true })
const script = "return redis.call('SET', KEYS[1], ARGV[1], 'EX', 300)"
const sha = createHash('sha1').update(script).digest('hex')
await redis.script('LOAD', script)

const connection = await connect(settings.amqp, { noDelay: true })
const channel = await connection.createConfirmChannel()
const queue = `${settings.queuePrefix}.floor`
await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })

const app = Fastify()
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
  return reply.code(422).send(WRONG_CODE)
})
await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
