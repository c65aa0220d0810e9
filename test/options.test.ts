import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import { startConsumer } from '../src/consumer.ts'
import { LIMITS } from '../src/limits.ts'
import { policyOf } from '../src/options.ts'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import {
  build,
  connected,
  consume,
  embedded,
  newPhone,
  newQueuePrefix,
  recordingProvider,
  SECRET,
  until,
} from './helper.ts'
import { CONSUMER_CASES, PLUGIN_CASES, RECEIPT_CASES, SECRETS } from './wrong-options.ts'

test('Each wrong option of the plugin is named, with what was expected and what was there.', async () => {
  for (const [option, value, expected, got] of PLUGIN_CASES) {
    const error = await refusal(withOption(embedded(), option, value))
    assert.equal(error.code, 'SMS_VERIFY_INVALID_OPTIONS', `${option}: ${inspect(value)}`)
    assert.ok(
      error.message.startsWith(`smsVerify: ${option}: expected ${expected}, got ${got}`),
      `${option}: ${inspect(value)}: ${error.message}`,
    )
  }
})

test('What is wrong in a source of receipts is named, and its token never shown.', async () => {
  for (const [option, receipts, expected, got] of RECEIPT_CASES) {
    const error = await refusal(withOption(embedded(), 'receipts', receipts))
    assert.equal(error.code, 'SMS_VERIFY_INVALID_OPTIONS', `${option}: ${inspect(receipts)}`)
    assert.ok(
      error.message.startsWith(`smsVerify: ${option}: expected ${expected}, got ${got}`),
      `${option}: ${inspect(receipts)}: ${error.message}`,
    )
  }
})

test('Each wrong option of the consumer is named, with what was expected and what was there.', async () => {
  for (const [option, value, expected, got] of CONSUMER_CASES) {
    const error = await consumerRefusal(withOption(consumerOptions(), option, value))
    assert.equal(error.code, 'SMS_VERIFY_INVALID_OPTIONS', `${option}: ${inspect(value)}`)
    assert.ok(
      error.message.startsWith(`startConsumer: ${option}: expected ${expected}, got ${got}`),
      `${option}: ${inspect(value)}: ${error.message}`,
    )
  }
})

test('An option that does not exist is refused by its name, at every depth.', async () => {
  for (const option of ['secrets', 'code.size', 'proof.max', 'limits.sms', 'limits.IP']) {
    const { code, message } = await refusal(withOption(embedded(), option, 5))
    assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
    assert.equal(message, `smsVerify: ${option}: there is no such option`)
  }
  for (const option of ['prefetch', 'retry.delay', 'countries']) {
    const { code, message } = await consumerRefusal(withOption(consumerOptions(), option, 5))
    assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
    assert.equal(message, `startConsumer: ${option}: there is no such option`)
  }
})

test('No options at all name the first that is missing.', async () => {
  const app = Fastify()
  await assert.rejects(async () => app.register(smsVerify as never), {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: `smsVerify: secret: expected ${SECRETS}, got undefined`,
  })
  await assert.rejects(startConsumer(undefined as never), {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: 'startConsumer: expected an object of options, got undefined',
  })
})

test('Neither a secret nor a password in a URL is ever shown, in no part of the error.', async () => {
  const canary = 'hunter2'
  const wrong: [string, unknown][] = [
    ['secret', canary],
    ['secret', [SECRET, canary]],
    ['secret', { value: canary }],
    ['redis', `user:${canary}@localhost`],
    ['redis', `http://user:${canary}@localhost`],
    ['redis', [`redis://:${canary}@localhost`]],
    ['amqp', `user:${canary}@localhost`],
    ['amqp', [`amqp://user:${canary}@localhost`, `http://user:${canary}@localhost`]],
    ['amqp', [canary]],
    // Of the right form at the first look only.
    ['redis', `redis://user:${canary}@localhost:port`],
    ['amqp', `amqp://user:${canary}@localhost:port`],
    ['amqp', ['amqp://127.0.0.1:1', `amqp://user:${canary}@[localhost`]],
  ]
  for (const [option, value] of wrong) {
    const base = { secret: SECRET, countries: 'all', redis: {}, amqp: 'amqp://127.0.0.1:1' }
    const errors = [
      await refusal(withOption(base, option, value)),
      await consumerRefusal(withOption(consumerOptions(), option, value)),
    ]
    for (const error of errors) {
      const shown = inspect(error, { depth: 10, showHidden: true })
      assert.equal(shown.includes(canary), false, `${option}: ${shown}`)
      assert.equal(error.code, 'SMS_VERIFY_INVALID_OPTIONS', `${option}: ${shown}`)
      assert.match(error.message, new RegExp(`: ${option}: expected`))
    }
  }
})

test('Embedded mode excludes Redis and RabbitMQ, and each of those needs the other.', async () => {
  const { provider, ...base } = embedded()
  assert.equal(
    (await refusal({ ...base, redis: 'redis://127.0.0.1:1' })).message,
    'smsVerify: embedded: expected neither redis nor amqp beside true, got one',
  )
  assert.equal(
    (await refusal({ ...base, amqp: 'amqp://127.0.0.1:1' })).message,
    'smsVerify: embedded: expected neither redis nor amqp beside true, got one',
  )
  const { embedded: _, ...connected } = base
  assert.equal(
    (await refusal({ ...connected, redis: 'redis://127.0.0.1:1' })).message,
    'smsVerify: amqp: expected a URL or connect options, got undefined',
  )
  assert.equal(
    (await refusal({ ...connected, embedded: false })).message,
    'smsVerify: amqp: expected a URL or connect options, got undefined',
  )
  assert.equal(
    (await refusal({ ...connected, amqp: 'amqp://127.0.0.1:1' })).message,
    'smsVerify: redis: expected a URL, ioredis options, or @fastify/redis registered before, got undefined',
  )
})

test('What only the embedded mode has is refused beside Redis and RabbitMQ, not passed over.', async () => {
  const options = { secret: SECRET, countries: 'all', redis: {}, amqp: 'amqp://127.0.0.1:1' }
  const embeddedOnly = {
    provider: recordingProvider(),
    brand: 'Acme',
    texts: { fr: 'Votre code : {code}' },
    origin: 'example.com',
    androidHash: 'FA+9qCX9VSu',
  }
  for (const [name, value] of Object.entries(embeddedOnly)) {
    const { code, message } = await refusal({ ...options, [name]: value })
    assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
    assert.match(message, new RegExp(`^smsVerify: ${name}: expected with startConsumer`))
  }
})

test('A default country whose numbers are not accepted is refused.', async () => {
  const { code, message } = await refusal(embedded({ countries: ['CN'], defaultCountry: 'US' }))
  assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
  assert.equal(message, 'smsVerify: defaultCountry: expected one of countries, got "US"')
  assert.equal(await starts(embedded({ countries: 'all', defaultCountry: 'US' })), true)
})

test('Embedded mode is the default, but in production it has to be written out.', async (t) => {
  const { embedded: _, ...implicit } = embedded()
  assert.equal(await starts(implicit), true)
  setNodeEnv(t, 'production')
  const { code, message } = await refusal(implicit)
  assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
  assert.equal(
    message,
    'smsVerify: expected redis and amqp in production, or embedded: true if state in memory is meant, got neither',
  )
  assert.equal(await starts(embedded()), true)
  setNodeEnv(t, 'test')
  assert.equal(await starts(implicit), true)
})

test('What is given as undefined, as by an environment variable that is not set, is no embedded mode.', async () => {
  const { embedded: _, ...implicit } = embedded()
  for (const unset of [{ redis: undefined, amqp: undefined }, { redis: undefined }]) {
    const { code, message } = await refusal({ ...implicit, ...unset } as never)
    assert.equal(code, 'SMS_VERIFY_INVALID_OPTIONS')
    assert.match(message, /^smsVerify: redis, amqp: expected URLs, or embedded: true .+ undefined$/)
  }
})

test('A vendor has one source of receipts, and without routes one that is asked.', async () => {
  const source = (provider: string) => ({ provider, read: () => [] })
  const pulled = { ...source('b'), pull: { every: 30, receipts: async () => [] } }
  const two = await refusal(embedded({ receipts: [source('a'), source('b'), pulled] }))
  assert.equal(two.code, 'SMS_VERIFY_INVALID_OPTIONS')
  assert.equal(
    two.message,
    'smsVerify: receipts: expected one source for each provider, got two of b',
  )
  const unheard = await refusal(embedded({ receipts: [pulled, source('a')], routes: false }))
  assert.equal(unheard.code, 'SMS_VERIFY_INVALID_OPTIONS')
  assert.equal(
    unheard.message,
    'smsVerify: receipts: expected sources with pull beside routes: false, got a without it',
  )
  assert.equal(await starts(embedded({ receipts: [source('a'), pulled] })), true)
  assert.equal(await starts(embedded({ receipts: [pulled], routes: false })), true)
})

test('Two limits of one kind have different windows.', async () => {
  const two = (window: number) => [
    { max: 5, window: 60 },
    { max: 10, window },
  ]
  for (const name of ['phone', 'ip', 'prefix', 'country', 'total', 'failedChecksPerIp']) {
    await assert.rejects(starts(embedded({ limits: { [name]: two(60) } })), {
      code: 'SMS_VERIFY_INVALID_OPTIONS',
      message: `smsVerify: limits.${name}: expected different windows, got two of 60 s`,
    })
    assert.equal(await starts(embedded({ limits: { [name]: two(61) } })), true)
  }
})

test('An option that is there but undefined is an option that is not there.', async () => {
  const names = [
    ...['defaultCountry', 'prefix', 'redis', 'amqp', 'queuePrefix', 'brand', 'purposes'],
    ...['texts', 'origin', 'androidHash'],
    ...['beforeSend', 'onVerified', 'onDisabled', 'onAlert', 'routes', 'routeOptions', 'receipts'],
    ...['code', 'code.length', 'code.ttl', 'code.checks', 'proof', 'proof.ttl', 'limits'],
    ...Object.keys(LIMITS.balanced).map((name) => `limits.${name}`),
  ]
  for (const name of names) {
    const { limits, ...options } = embedded()
    assert.equal(await starts(withOption(options, name, undefined)), true, name)
  }
  const undefinedLimits = Object.fromEntries(
    Object.keys(LIMITS.balanced).map((name) => [name, undefined]),
  )
  const { limits, ...options } = embedded()
  assert.deepEqual(policyOf({ ...options, limits: undefinedLimits }), policyOf(options))
})

test('A number of retries that is there but undefined is the default one.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(({ attempt }) => ({ class: attempt < 2 ? 'retry' : 'ok' }))
  await consume(t, { queuePrefix, provider, retry: { backoff: 0.1, max: undefined } as object })
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })
  await until('the second attempt', () => provider.messages.length === 2, 3000)
})

test('The defaults are those of the documentation.', () => {
  assert.deepEqual(LIMITS.balanced, {
    mode: 'enforce',
    cooldown: [60, 120, 300],
    phone: [
      { max: 5, window: 3600 },
      { max: 10, window: 86_400 },
    ],
    ip: [
      { max: 30, window: 600, share: 1 },
      { max: 60, window: 86_400, share: 1 },
    ],
    prefix: [{ max: 20, window: 3600, share: 0.5 }],
    country: false,
    total: false,
    failedChecksPerIp: [{ max: 30, window: 600, share: 0.5 }],
    prices: {},
    conversion: { below: 0.2, sends: 100 },
  })
  assert.deepEqual(policyOf({ secret: SECRET, countries: 'all' }), {
    ttl: 300_000,
    checks: 5,
    cooldown: [60_000, 120_000, 300_000],
    windows: [
      { max: 5, window: 3_600_000 },
      { max: 10, window: 86_400_000 },
    ],
    live: 3,
    proofTtl: 600_000,
    retention: 900_000,
    slowAfter: 15,
    slowWindow: { max: 2, window: 86_400_000 },
    disableAfter: 100,
  })
})

test('What is set replaces its default, and false switches a limit off.', () => {
  const policy = policyOf({
    secret: SECRET,
    countries: 'all',
    code: { ttl: 60, checks: 3 },
    proof: { ttl: 3600 },
    limits: { cooldown: [1], phone: { max: 2, window: 60 } },
  })
  assert.equal(policy.ttl, 60_000)
  assert.equal(policy.checks, 3)
  assert.equal(policy.proofTtl, 3_600_000)
  assert.equal(policy.retention, 3_600_000)
  assert.deepEqual(policy.cooldown, [1000])
  assert.deepEqual(policy.windows, [{ max: 2, window: 60_000 }])

  const off = policyOf({
    secret: SECRET,
    countries: 'all',
    limits: { cooldown: false, phone: false },
  })
  assert.deepEqual(off.cooldown, [])
  assert.deepEqual(off.windows, [])
})

interface Refusal extends Error {
  code?: string
}

/** The error with which registering fails. */
async function refusal(options: object): Promise<Refusal> {
  const app = Fastify()
  try {
    await app.register(smsVerify, options as SmsVerifyOptions)
    await app.ready()
  } catch (error) {
    return error as Refusal
  } finally {
    await app.close()
  }
  assert.fail(`taken: ${inspect(options)}`)
}

async function starts(options: object): Promise<boolean> {
  const app = Fastify()
  await app.register(smsVerify, options as SmsVerifyOptions)
  await app.close()
  return true
}

async function consumerRefusal(options: object): Promise<Refusal> {
  const error = await startConsumer(options as never).then(
    (consumer) => consumer.close(),
    (error: Refusal) => error,
  )
  return error ?? assert.fail(`taken: ${inspect(options)}`)
}

const consumerOptions = () => ({
  amqp: 'amqp://127.0.0.1:1',
  redis: 'redis://127.0.0.1:1',
  secret: SECRET,
  provider: recordingProvider(),
})

/** The options with one of them set, `code.ttl` inside `code`. */
function withOption(options: object, path: string, value: unknown): object {
  const [name = '', inner] = path.split('.')
  if (inner === undefined) return { ...options, [name]: value }
  const outer = (options as Record<string, object | undefined>)[name]
  return { ...options, [name]: { ...outer, [inner]: value } }
}

function setNodeEnv(t: TestContext, value: string): void {
  const before = process.env.NODE_ENV
  t.after(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  process.env.NODE_ENV = value
}
