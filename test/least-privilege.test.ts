/** The users of docs/least-privilege.md are enough, and can do no more than it says. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import {
  build,
  codeOf,
  consume,
  createLog,
  newPhone,
  post,
  recordingProvider,
  SECRET,
  UNLIMITED,
  until,
} from './helper.ts'
import { type RabbitMQ, startRabbitMQ } from './services/rabbitmq.ts'
import { type Service, startRedis } from './services.ts'
import { createUsers } from './users.ts'

let rabbitmq: RabbitMQ
let redis: Service
let users: Awaited<ReturnType<typeof createUsers>>

before(async () => {
  ;[rabbitmq, redis] = await Promise.all([startRabbitMQ(), startRedis()])
  users = await createUsers({ redis, rabbitmq })
})

after(() => Promise.all([rabbitmq?.stop(), redis?.stop()]))

test('a code goes all the way, with a retry and a dead letter', async (t) => {
  const provider = recordingProvider(({ attempt, phone }) => {
    if (phone.endsWith('0')) return { class: 'permanent_recipient' }
    return { class: attempt < 2 ? 'retry' : 'ok' }
  })
  const { logger } = createLog()
  await consume(t, {
    ...users.consumer,
    queuePrefix: 'sms-verify',
    provider,
    logger,
  })
  const app = await build(t, {
    secret: SECRET,
    countries: ['CN'],
    ...users.web,
    limits: { ...UNLIMITED, cooldown: [60], total: { max: 100, window: 3600, share: 0.5 } },
  })
  const phone = `${newPhone().slice(0, -1)}1`
  const { body } = await post(app, '/sms/send', { phone }, { 'idempotency-key': 'a-key' })
  await until('it is sent', () => provider.messages.length === 2)
  const code = await codeOf(provider, body.id)
  assert.equal(
    (await post(app, '/sms/verify', { id: body.id, code: '000000' })).status,
    code === '000000' ? 200 : 422,
  )
  const { body: verified } = await post(app, '/sms/verify', { id: body.id, code })
  await app.smsVerify.redeem(verified.proof as string)
  await app.smsVerify.conversion('CN')
  await app.smsVerify.erase(phone)

  const dead = await app.smsVerify.send({ phone: `${newPhone().slice(0, -1)}0` })
  await until('it is dead', async () => (await app.smsVerify.status(dead.id)).status === 'failed')
  assert.equal(await app.smsVerify.cancel(dead.id), true)
})

test('the web server can read no queue and delete none, the consumer not even look into the dead ones', async () => {
  const refused = async (
    user: 'web' | 'consumer',
    act: (channel: Awaited<ReturnType<typeof open>>['channel']) => Promise<unknown>,
  ) => {
    const { connection, channel } = await open(user)
    await assert.rejects(act(channel), /403|ACCESS_REFUSED/)
    await connection.close()
  }
  await refused('web', (channel) => channel.get('sms-verify.dead'))
  await refused('web', (channel) => channel.assertQueue('another'))
  await refused('web', (channel) => channel.assertExchange('another', 'direct'))
  await refused('consumer', (channel) => channel.get('sms-verify.dead'))
  await refused('consumer', (channel) => channel.assertQueue('another'))
})

async function open(user: 'web' | 'consumer') {
  const connection = await connect(users[user].amqp)
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  return { connection, channel }
}

test('in Redis neither can read other keys or run other commands', async () => {
  for (const user of ['web', 'consumer'] as const) {
    const client = new Redis(users[user].redis, { disableClientInfo: true })
    await assert.rejects(client.get('other'), /NOPERM/)
    await assert.rejects(client.keys('*'), /NOPERM/)
    await assert.rejects(client.flushall(), /NOPERM/)
    await assert.rejects(client.config('GET', 'maxmemory'), /NOPERM/)
    client.disconnect()
  }
})
