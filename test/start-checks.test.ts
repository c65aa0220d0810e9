import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Fastify, { type FastifyServerOptions } from 'fastify'
import { Redis } from 'ioredis'
import { startConsumer } from '../src/consumer.ts'
import { smsVerify } from '../src/plugin.ts'
import { warnOfPlaintext } from '../src/start-checks.ts'
import {
  AMQP_URL,
  build,
  connected,
  createLog,
  embedded,
  newQueuePrefix,
  recordingProvider,
  SECRET,
} from './helper.ts'
import { startRedis } from './services.ts'

const startWith = async (trustProxy: FastifyServerOptions['trustProxy'], options = embedded()) => {
  const app = Fastify({ trustProxy } as FastifyServerOptions)
  await app.register(smsVerify, options)
  await app.close()
}

test('A trustProxy with which the limits by IP do not hold is refused at the start.', async () => {
  for (const trustProxy of [true, 1, 2]) {
    await assert.rejects(startWith(trustProxy as boolean), {
      code: 'SMS_VERIFY_INVALID_OPTIONS',
      message: new RegExp(`^smsVerify: Fastify's trustProxy: expected .*; got ${trustProxy}, `),
    })
  }
  const firstHop = (_address: string, hop: number) => hop === 0
  for (const trustProxy of [false, '10.0.0.0/8', ['10.0.0.0/8', '192.0.2.1'], firstHop]) {
    await startWith(trustProxy)
  }
  // Without the routes it is the host who says what the address is.
  await startWith(true, embedded({ routes: false }))
})

test('In a scope too the trustProxy of the server is what counts.', async () => {
  const app = Fastify({ trustProxy: true })
  app.register(async (scope) => {
    await scope.register(smsVerify, embedded())
  })
  await assert.rejects(async () => app.ready(), /trustProxy/)
})

async function evicting(t: TestContext) {
  const redis = await startRedis({
    args: ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'],
  })
  t.after(() => redis.stop())
  return redis
}

test('A Redis that evicts is refused at the start, by a URL and by a client, of both halves.', async (t) => {
  const { url } = await evicting(t)
  const refusal = {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message:
      'redis: expected a server with maxmemory-policy noeviction, got allkeys-lru, which forgets limits',
  }
  const client = new Redis(url, { autoResendUnfulfilledCommands: false })
  t.after(() => client.disconnect())
  for (const redis of [url, client as never]) {
    const options = connected({ redis, queuePrefix: newQueuePrefix() })
    await assert.rejects(build(t, options), refusal)
    const { logger } = createLog()
    const provider = recordingProvider()
    await assert.rejects(
      startConsumer({ redis, amqp: AMQP_URL, secret: SECRET, provider, logger }),
      refusal,
    )
  }
  await client.config('SET', 'maxmemory-policy', 'noeviction')
  await build(t, connected({ redis: url, queuePrefix: newQueuePrefix() }))
})

test('A Redis that may not be asked what it evicts is warned about.', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  const admin = new Redis(redis.url)
  t.after(() => admin.disconnect())
  await admin.acl('SETUSER', 'default', '-info')
  const events: string[] = []
  const logger = {
    level: 'warn',
    stream: { write: (line: string) => events.push(JSON.parse(line).event) },
  }
  const url = Object.assign(new URL(redis.url), { search: '?enableReadyCheck=false' }).href
  await build(t, connected({ redis: url, queuePrefix: newQueuePrefix() }), { logger })
  assert.deepEqual(events, ['redis.policy'])
})

test('In production a plain URL to another machine is warned about.', (t) => {
  const { NODE_ENV } = process.env
  t.after(() => {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = NODE_ENV
  })
  const warned = (addresses: Parameters<typeof warnOfPlaintext>[0]) => {
    const { logger, lines } = createLog()
    warnOfPlaintext(addresses, logger)
    return lines.map(({ event, option }) => `${event} ${option}`)
  }
  const plain = { redis: 'redis://:hush@cache.example', amqp: ['amqps://a', 'amqp://b.example'] }
  process.env.NODE_ENV = 'development'
  assert.deepEqual(warned(plain), [])
  process.env.NODE_ENV = 'production'
  assert.deepEqual(warned(plain), ['options.plaintext redis', 'options.plaintext amqp'])
  assert.deepEqual(warned({ redis: 'rediss://cache.example', amqp: 'amqps://a' }), [])
  assert.deepEqual(
    warned({ redis: 'redis://localhost', amqp: ['amqp://127.0.0.1', 'amqp://[::1]'] }),
    [],
  )
  assert.deepEqual(warned({ redis: { host: 'cache.example' } }), [])
})
