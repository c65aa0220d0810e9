/** The users of docs/least-privilege.md are enough, and can do no more than it says. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
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

const PAGE = readFileSync('docs/least-privilege.md', 'utf8')

let rabbitmq: RabbitMQ
let redis: Service

before(async () => {
  ;[rabbitmq, redis] = await Promise.all([startRabbitMQ(), startRedis()])
  for (const line of commands('rabbitmqctl')) await rabbitmq.control(...line)
  const admin = new Redis(redis.url)
  for (const [, ...words] of commands('redis-cli'))
    await admin.acl(...(words as ['SETUSER', string]))
  admin.disconnect()
})

after(() => Promise.all([rabbitmq?.stop(), redis?.stop()]))

/** The commands of the page, as the page has them. */
function commands(program: string): string[][] {
  const lines = PAGE.replaceAll('\\\n', ' ').split('\n')
  return lines
    .filter((line) => line.startsWith(`${program} `))
    .map((line) =>
      [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? ''),
    )
    .map(([, ...words]) => words)
}

const as = (url: string, username: string) =>
  Object.assign(new URL(url), { username, password: 'change-me' }).href

test('a code goes all the way, with a retry and a dead letter', async (t) => {
  const provider = recordingProvider(({ attempt, phone }) => {
    if (phone.endsWith('0')) return { class: 'permanent_recipient' }
    return { class: attempt < 2 ? 'retry' : 'ok' }
  })
  const { logger } = createLog()
  await consume(t, {
    amqp: as(rabbitmq.url, 'sms-consumer'),
    redis: as(redis.url, 'sms-consumer'),
    queuePrefix: 'sms-verify',
    provider,
    logger,
  })
  const app = await build(t, {
    secret: SECRET,
    countries: ['CN'],
    amqp: as(rabbitmq.url, 'sms-web'),
    redis: as(redis.url, 'sms-web'),
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
    user: string,
    act: (channel: Awaited<ReturnType<typeof open>>['channel']) => Promise<unknown>,
  ) => {
    const { connection, channel } = await open(user)
    await assert.rejects(act(channel), /403|ACCESS_REFUSED/)
    await connection.close()
  }
  await refused('sms-web', (channel) => channel.get('sms-verify.dead'))
  await refused('sms-web', (channel) => channel.assertQueue('another'))
  await refused('sms-web', (channel) => channel.assertExchange('another', 'direct'))
  await refused('sms-consumer', (channel) => channel.get('sms-verify.dead'))
  await refused('sms-consumer', (channel) => channel.assertQueue('another'))
})

async function open(user: string) {
  const connection = await connect(as(rabbitmq.url, user))
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  return { connection, channel }
}

test('in Redis neither can read other keys or run other commands', async () => {
  for (const user of ['sms-web', 'sms-consumer']) {
    const client = new Redis(as(redis.url, user), { disableClientInfo: true })
    await assert.rejects(client.get('other'), /NOPERM/)
    await assert.rejects(client.keys('*'), /NOPERM/)
    await assert.rejects(client.flushall(), /NOPERM/)
    await assert.rejects(client.config('GET', 'maxmemory'), /NOPERM/)
    client.disconnect()
  }
})
