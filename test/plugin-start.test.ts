import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { smsVerify } from '../src/plugin.ts'
import { startAppProcess } from './app-process.ts'
import {
  AMQP_URL,
  build,
  connected,
  newPhone,
  newQueuePrefix,
  REDIS_URL,
  UNLIMITED,
} from './helper.ts'
import { startProxy } from './proxy.ts'

// Nothing listens there: it is not in the ephemeral range, and needs rights to be listened at.
const NOWHERE = '127.0.0.1:1'

test('A part that is down at the start is named with the real error within 5 s, and nothing is left open.', async (t) => {
  const silent = await startSilentServer(t)
  const cases: [name: string, options: object, message: RegExp][] = [
    ['Redis down', { redis: `redis://${NOWHERE}` }, /^cannot connect to Redis: .*ECONNREFUSED/],
    ['RabbitMQ down', { amqp: `amqp://${NOWHERE}` }, /^cannot connect to RabbitMQ: .*ECONNREFUSED/],
    [
      'both RabbitMQ nodes down',
      { amqp: [`amqp://${NOWHERE}`, `amqp://user:hunter2@${NOWHERE}`] },
      /^cannot connect to RabbitMQ: .*ECONNREFUSED/,
    ],
    [
      'a Redis that is silent',
      { redis: `redis://:hunter2@${silent}` },
      /^cannot connect to Redis: /,
    ],
    [
      'a RabbitMQ that is silent',
      { amqp: `amqp://u:hunter2@${silent}` },
      /^cannot connect to RabbitMQ: /,
    ],
    [
      'a wrong password for RabbitMQ',
      { amqp: AMQP_URL.replace(/\/\/.*@|\/\//, '//nobody:hunter2@') },
      /^cannot connect to RabbitMQ: .*ACCESS.REFUSED/,
    ],
  ]
  const process = startAppProcess(
    t,
    cases.map(([, options]) => ({ ...connected(), ...options })),
  )
  for (const [i, started] of (await process.started).entries()) {
    const [name, , message] = cases[i] ?? assert.fail()
    assert.match(started.message ?? 'it started', message, name)
    assert.ok(started.ms < 5000, `${name}: ${started.ms} ms`)
    assert.equal(started.shown?.includes('hunter2'), false, `${name}: ${started.shown}`)
  }
  const { closed, ended } = await process.close()
  for (const [i, { message }] of closed.entries()) assert.equal(message, undefined, cases[i]?.[0])
  assert.equal(ended, true)
})

test('An app closes in good order and leaves nothing open, whatever it has lost before.', async (t) => {
  const cases = [
    'nothing',
    ...['Redis', 'RabbitMQ', 'both'],
    ...['the answers of Redis', 'the answers of RabbitMQ'],
  ]
  const parts = await Promise.all(
    cases.map(async (lost) => {
      const redis = await startProxy(t, REDIS_URL)
      const amqp = await startProxy(t, AMQP_URL)
      const options = connected({ redis: redis.url, amqp: amqp.url })
      return { lost, redis, amqp, options }
    }),
  )
  const process = startAppProcess(
    t,
    parts.map(({ options }) => options),
  )
  for (const { message } of await process.started) assert.equal(message, undefined)
  for (const { lost, redis, amqp } of parts) {
    redis.refuse = lost === 'Redis' || lost === 'both'
    amqp.refuse = lost === 'RabbitMQ' || lost === 'both'
    for (const proxy of [redis, amqp]) if (proxy.refuse) proxy.cut()
    redis.mute = lost === 'the answers of Redis'
    amqp.mute = lost === 'the answers of RabbitMQ'
  }
  // Long enough for it to have noticed, and to be between two tries.
  await sleep(300)
  const { closed, ended } = await process.close()
  for (const [i, lost] of cases.entries()) {
    const { message, ms = Number.NaN } = closed[i] ?? {}
    assert.equal(message, undefined, `without ${lost}`)
    assert.ok(ms < 5000, `without ${lost}: ${ms} ms`)
  }
  assert.equal(ended, true)
})

test('The host’s own Redis client is used where there is one, and stays open.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const client = new Redis(REDIS_URL, { keyPrefix: `${queuePrefix}:` })
  const app = Fastify()
  t.after(async () => {
    await app.close()
    await client.quit()
  })
  await app.register(fastifyRedis, { client })
  const { redis: _, ...options } = connected({ queuePrefix })
  await app.register(smsVerify, options)
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  assert.ok((await keysOf(client, queuePrefix)).length > 0)
  await app.smsVerify.erase(phone)
  assert.deepEqual(await keysOf(client, queuePrefix), [])
  await app.close()
  assert.equal(client.status, 'ready')
  assert.equal(await client.ping(), 'PONG')
})

test('A Redis client given as the option is used as it is, and stays open.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const client = new Redis(REDIS_URL, { keyPrefix: `${queuePrefix}:` })
  t.after(() => client.quit())
  const app = await build(t, connected({ queuePrefix, redis: client as never }))
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  assert.ok((await keysOf(client, queuePrefix)).length > 0)
  await app.smsVerify.erase(phone)
  await app.close()
  assert.equal(client.status, 'ready')
})

test('The host can register @fastify/redis for itself, before us or after us.', async (t) => {
  for (const order of ['before', 'after']) {
    const queuePrefix = newQueuePrefix()
    const app = Fastify()
    t.after(async () => {
      await app.close()
    })
    const ownRedis = { url: REDIS_URL, connectionName: queuePrefix }
    if (order === 'before') await app.register(fastifyRedis, ownRedis)
    await app.register(smsVerify, connected({ queuePrefix }))
    assert.equal(app.hasDecorator('redis'), order === 'before')
    if (order === 'after') await app.register(fastifyRedis, ownRedis)
    assert.equal(await app.redis.client('GETNAME'), queuePrefix)
    await app.smsVerify.send({ phone: newPhone() })
  }
})

test('A client that runs commands again after a lost connection is warned about.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const warnings: string[] = []
  const write = (line: string) => warnings.push(JSON.parse(line).event)
  const logger = { level: 'warn', stream: { write } }
  for (const autoResendUnfulfilledCommands of [true, false]) {
    const client = new Redis(REDIS_URL, { autoResendUnfulfilledCommands })
    t.after(() => client.quit())
    await build(t, connected({ queuePrefix, redis: client as never }), { logger })
  }
  assert.deepEqual(warnings, ['redis.options'])
})

test('A host client under a namespace is not taken for ours: there has to be one without.', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(fastifyRedis, { url: REDIS_URL, namespace: 'cache' })
  const { redis: _, ...options } = connected()
  await assert.rejects(async () => app.register(smsVerify, options), {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: /^smsVerify: redis: expected .*@fastify\/redis registered before, got undefined$/,
  })
})

test('Redis and RabbitMQ can be given as options of their clients, and RabbitMQ as a list.', async (t) => {
  const redis = new URL(REDIS_URL)
  const amqp = new URL(AMQP_URL)
  const queuePrefix = newQueuePrefix()
  const app = await build(
    t,
    connected({
      queuePrefix,
      redis: {
        host: redis.hostname,
        port: Number(redis.port),
        ...(redis.password && { password: redis.password }),
        keyPrefix: `${queuePrefix}:`,
      },
      amqp: {
        hostname: amqp.hostname,
        port: Number(amqp.port || 5672),
        username: amqp.username || 'guest',
        password: amqp.password || 'guest',
      },
    }),
  )
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  const client = new Redis(REDIS_URL, { keyPrefix: `${queuePrefix}:` })
  t.after(() => client.quit())
  assert.ok((await keysOf(client, queuePrefix)).length > 0)
  await app.smsVerify.erase(phone)

  const listed = await build(t, connected({ amqp: [`amqp://${NOWHERE}`, AMQP_URL] }))
  await listed.smsVerify.send({ phone: newPhone() })
})

test('Two apps with one prefix share their queues and verifications.', async (t) => {
  const options = connected({ limits: { ...UNLIMITED, cooldown: [60] } })
  const [a, b] = [await build(t, options), await build(t, options)]
  const phone = newPhone()
  const { id } = await a.smsVerify.send({ phone })
  assert.equal((await b.smsVerify.status(id)).status, 'queued')
  await assert.rejects(b.smsVerify.send({ phone }), { code: 'SMS_VERIFY_TOO_MANY_REQUESTS' })
  assert.equal(await b.smsVerify.cancel(id), true)
  await assert.rejects(a.smsVerify.status(id), { code: 'SMS_VERIFY_GONE' })
})

/** The keys with a client's own prefix; the pattern is not prefixed by the client. */
const keysOf = (client: Redis, prefix: string): Promise<string[]> => client.keys(`${prefix}:*`)

/** A server that takes connections and never says anything. */
async function startSilentServer(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
