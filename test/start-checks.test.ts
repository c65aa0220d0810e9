import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Fastify, { type FastifyServerOptions } from 'fastify'
import { Redis } from 'ioredis'
import { startConsumer } from '../src/consumer.ts'
import { smsVerify } from '../src/plugin.ts'
import type { SmsProvider } from '../src/providers/provider.ts'
import { warnOfPlaintext, warnOfTexts } from '../src/start-checks.ts'
import { createComposer, type TextOptions } from '../src/text.ts'
import {
  AMQP_URL,
  build,
  connected,
  consume,
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
  const everybody = () => true
  await assert.rejects(startWith(everybody), /trustProxy: .* got a function that trusts anybody, /)
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

function warnings(options: TextOptions, text?: SmsProvider['text']): Record<string, unknown>[] {
  const { logger, lines } = createLog()
  const provider = { ...recordingProvider(), ...(text && { text }) }
  warnOfTexts(createComposer('test', options), { ...options, providers: [provider] }, logger)
  return lines.map(({ level, message, ...fields }) => ({ level, ...fields }))
}

test('The built-in texts need one SMS each, also with a brand, an origin and a hash.', () => {
  const all = { brand: 'Acme', origin: 'example.com', androidHash: 'FA+9qCX9VSu' }
  assert.deepEqual(warnings({}), [])
  assert.deepEqual(warnings({ brand: '某某公司' }), [])
  assert.deepEqual(warnings({ brand: '某某公司' }, 'mainland'), [])
  assert.deepEqual(
    warnings({ ...all, brand: 'Acme Inc.' }).map(({ locale }) => locale),
    ['zh'],
  )
  assert.deepEqual(warnings({ brand: 'Acme Inc.', origin: 'example.com' }), [])
})

test('A text that may need more than one SMS is warned about, with what it was counted as.', () => {
  const level = 'warn'
  const event = 'options.segments'
  const english = (length: number) => ({ en: { login: `{code}${'x'.repeat(length - 10)}` } })
  assert.deepEqual(warnings({ texts: english(160) }), [])
  const of = { level, event, locale: 'en', purpose: 'login' }
  assert.deepEqual(warnings({ texts: english(161) }), [
    { ...of, encoding: 'GSM-7', units: 161, segments: 2 },
  ])
  assert.deepEqual(warnings({ texts: english(70) }, 'mainland'), [])
  assert.deepEqual(warnings({ texts: english(71) }, 'mainland'), [
    { ...of, encoding: 'UCS-2', units: 71, segments: 2 },
  ])
  assert.deepEqual(warnings({ texts: { fr: `{code}${'ç'.repeat(61)}` } }), [
    { ...of, locale: 'fr', purpose: 'default', encoding: 'UCS-2', units: 71, segments: 2 },
  ])
})

test('A text that is too long for Android is warned about where there is a hash.', () => {
  const texts = { en: `{code}${'x'.repeat(117)}` }
  assert.deepEqual(warnings({ texts, androidHash: 'FA+9qCX9VSu' }), [])
  const longer = { en: `${texts.en}x` }
  assert.deepEqual(warnings({ texts: longer }), [])
  assert.deepEqual(warnings({ texts: longer, androidHash: 'FA+9qCX9VSu' }), [
    {
      level: 'warn',
      event: 'options.android',
      locale: 'en',
      purpose: 'default',
      bytes: 141,
      max: 140,
    },
  ])
})

test('What only a text would have is warned about where a template is sent.', () => {
  assert.deepEqual(
    warnings({ texts: { en: `{code}${'x'.repeat(200)}` }, origin: 'a.b' }, 'template'),
    [
      {
        level: 'warn',
        event: 'options.template',
        provider: 'recording',
        unused: ['texts', 'origin'],
      },
    ],
  )
  assert.deepEqual(warnings({}, 'template'), [])
})

test('Both halves that send warn at their start; the embedded one knows how long a code is.', async (t) => {
  const texts = { en: `{code}${'x'.repeat(153)}` }
  const { logger, lines } = createLog()
  const provider = recordingProvider()
  await consume(t, { queuePrefix: newQueuePrefix(), provider, logger, texts })
  const units = lines.filter(({ event }) => event === 'options.segments').map((line) => line.units)
  assert.deepEqual(units, [163])
  for (const [length, counted] of [
    [7, []],
    [8, [161]],
  ] as const) {
    const warned: unknown[] = []
    const write = (line: string) => {
      const { event, units } = JSON.parse(line)
      if (event === 'options.segments') warned.push(units)
    }
    const options = embedded({ texts, code: { length } })
    await build(t, options, { logger: { level: 'warn', stream: { write } } })
    assert.deepEqual(warned, counted)
  }
})
