import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startConsumer } from '../src/consumer.ts'
import { createDelivery } from '../src/delivery.ts'
import { policyOf } from '../src/options.ts'
import { asChain } from '../src/providers/chain.ts'
import { sealCode, sealPhone } from '../src/sealed.ts'
import { createSecrets } from '../src/secrets.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import { openBroker } from './broker.ts'
import {
  AMQP_URL,
  build,
  connected,
  consume,
  createLog,
  newPhone,
  newQueuePrefix,
  noHealth,
  post,
  REDIS_URL,
  recordingProvider,
  SECRET,
  UNLIMITED,
  until,
  wrongCode,
} from './helper.ts'
import { startProxy } from './proxy.ts'
import { newRequest } from './store-contract.ts'

const QUICK = { backoff: 0.1, max: 3 }

test('a code goes from the request to the provider and back through the routes', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const { logger, lines } = createLog()
  await consume(t, { queuePrefix, provider, logger, brand: 'Acme' })
  const app = await build(t, connected({ queuePrefix, purposes: ['login', 'signup'] }))
  const phone = newPhone()

  const sent = await post(app, '/sms/send', { phone, purpose: 'signup', locale: 'en-GB' })
  assert.equal(sent.status, 202)
  await until('the SMS is sent', () => provider.messages.length === 1)
  const { code, text, key, expiresIn, ...message } = provider.messages[0] ?? assert.fail()
  assert.match(code, /^\d{6}$/)
  assert.match(key, /^[0-9a-f]{32}$/)
  assert.ok(expiresIn >= 295 && expiresIn <= 300, `${expiresIn} s left`)
  assert.equal(text, `Acme: ${code} is your code. Valid for 5 min. Do not share it.`)
  assert.deepEqual(message, {
    phone,
    country: 'CN',
    minutes: 5,
    purpose: 'signup',
    locales: ['en-GB'],
    id: sent.body.id,
    version: 1,
    attempt: 1,
  })

  await until('it is recorded', () => lines.some(({ event }) => event === 'sms.sent'))
  const status = await app.inject(`/sms/${sent.body.id}`)
  assert.equal(status.json().status, 'sent')
  const verified = await post(app, '/sms/verify', { id: sent.body.id, code })
  assert.equal(verified.status, 200)
  assert.equal(verified.body.purpose, 'signup')
  assert.deepEqual((await post(app, '/sms/verify', { id: sent.body.id, code })).status, 410)
  const redeemed = await app.smsVerify.redeem(verified.body.proof as string)
  assert.equal(redeemed.phone, phone)
})

test('a provider that fails twice is asked three times, after 3 and 6 seconds, for one SMS', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(({ attempt }) => ({ class: attempt < 3 ? 'retry' : 'ok' }))
  const { logger, lines } = createLog()
  const consumer = await consume(t, { queuePrefix, provider, logger })
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })

  await until('the third attempt', () => provider.messages.length === 3, 15_000)
  const [first = 0, second = 0, third = 0] = provider.times
  assert.ok(Math.abs(second - first - 3000) < 500, `second attempt after ${second - first} ms`)
  assert.ok(Math.abs(third - second - 6000) < 500, `third attempt after ${third - second} ms`)
  assert.equal(new Set(provider.messages.map(({ key }) => key)).size, 1)
  assert.equal(new Set(provider.messages.map(({ code }) => code)).size, 1)
  await until('it is recorded', () => lines.some(({ event }) => event === 'sms.sent'))
  assert.deepEqual(
    lines
      .filter(({ event }) => event?.startsWith('sms.'))
      .map(({ event, attempt }) => [event, attempt]),
    [
      ['sms.retry', 1],
      ['sms.retry', 2],
      ['sms.sent', 3],
    ],
  )
  const { retry, sent, dead } = consumer.counts()
  assert.deepEqual({ retry, sent, dead }, { retry: 2, sent: 1, dead: 0 })
})

test('a provider that fails for good leaves a dead letter after the third retry', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(() => ({ class: 'retry', code: '160050' }))
  await consume(t, { queuePrefix, provider, retry: QUICK })
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const { id } = await app.smsVerify.send({ phone: newPhone() })

  await until('the dead letter', async () => (await broker.depth(`${queuePrefix}.dead`)) === 1)
  assert.deepEqual(
    provider.messages.map(({ attempt }) => attempt),
    [1, 2, 3, 4],
  )
  const [dead] = await broker.drain(`${queuePrefix}.dead`)
  assert.deepEqual(JSON.parse(String(dead?.content)), { v: 1, id, version: 1 })
  assert.equal(dead?.properties.headers?.['x-reason'], 'retry')
  const { status, reason } = await app.smsVerify.status(id)
  assert.deepEqual([status, reason], ['failed', 'provider'])
})

for (const [outcome, reason] of [
  ['permanent_recipient', 'recipient'],
  ['permanent_request', 'provider'],
  ['rate_recipient', 'rate'],
  ['account', 'provider'],
  ['fraud_block', 'blocked'],
] as const) {
  test(`${outcome} is dead at once, after one call`, async (t) => {
    const queuePrefix = newQueuePrefix()
    const provider = recordingProvider(() => ({ class: outcome, code: '42' }))
    const { logger, lines } = createLog()
    await consume(t, { queuePrefix, provider, retry: QUICK, logger })
    const app = await build(t, connected({ queuePrefix }))
    const broker = await openBroker(t)
    const { id } = await app.smsVerify.send({ phone: newPhone() })

    await until('the dead letter', async () => (await broker.depth(`${queuePrefix}.dead`)) === 1)
    assert.equal(provider.messages.length, 1)
    const [dead] = await broker.drain(`${queuePrefix}.dead`)
    assert.equal(dead?.properties.headers?.['x-reason'], outcome)
    const line = lines.find(({ event }) => event === 'sms.dead')
    assert.equal(line?.outcome, outcome)
    assert.equal(line?.code, '42')
    const { status, ...rest } = await app.smsVerify.status(id)
    assert.deepEqual([status, rest.reason], ['failed', reason])
  })
}

test('a code that still arrives verifies although the provider said that it failed', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(() => ({ class: 'permanent_request' }))
  await consume(t, { queuePrefix, provider })
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  const { id } = await app.smsVerify.send({ phone })
  await until('it failed', async () => (await app.smsVerify.status(id)).status === 'failed')
  const { code } = provider.messages[0] ?? assert.fail()
  assert.equal((await app.smsVerify.verify({ id, code })).phone, phone)
})

test('an ambiguous outcome is repeated at-least-once, and not at-most-once', async (t) => {
  for (const [delivery, idempotent, attempts] of [
    ['at-least-once', false, [1, 2]],
    ['at-most-once', false, [1]],
    ['at-most-once', true, [1, 2]],
  ] as const) {
    const queuePrefix = newQueuePrefix()
    const provider = recordingProvider(({ attempt }) => ({
      class: attempt === 1 ? 'ambiguous' : 'ok',
    }))
    const { logger, lines } = createLog()
    await consume(t, {
      queuePrefix,
      provider: { ...provider, idempotent },
      retry: QUICK,
      delivery,
      logger,
    })
    const app = await build(t, connected({ queuePrefix }))
    await app.smsVerify.send({ phone: newPhone() })
    const end = attempts.length === 2 ? 'sms.sent' : 'sms.unknown'
    await until(`${end} (${delivery})`, () => lines.some(({ event }) => event === end))
    assert.deepEqual(
      provider.messages.map(({ attempt }) => attempt),
      attempts,
    )
  }
})

test('what a provider throws, or answers that is no outcome, counts as ambiguous', async (t) => {
  for (const answer of [
    () => Promise.reject(new TypeError('+8613800138000 was refused')),
    () => 'ok' as never,
    () => undefined as never,
    () => ({ class: 'toString' }) as never,
  ]) {
    const queuePrefix = newQueuePrefix()
    const { logger, lines } = createLog()
    await consume(t, {
      queuePrefix,
      provider: recordingProvider(answer),
      delivery: 'at-most-once',
      logger,
    })
    const app = await build(t, connected({ queuePrefix }))
    await app.smsVerify.send({ phone: newPhone() })
    await until('its end', () => lines.some(({ event }) => event === 'sms.unknown'))
    const line = lines.find(({ event }) => event === 'sms.unknown')
    assert.equal(line?.outcome, 'ambiguous')
    assert.equal(line?.level, 'error')
    assert.doesNotMatch(JSON.stringify(line), /13800138000/)
  }
})

test('nothing is sent with less than minRemaining left', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const app = await build(t, connected({ queuePrefix, code: { ttl: 2 } }))
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await sleep(600)
  const { logger, lines } = createLog()
  await consume(t, { queuePrefix, provider, minRemaining: 1.5, logger })
  await until('its end', () => lines.some(({ event }) => event === 'sms.expired'))
  assert.equal(provider.messages.length, 0)
  assert.equal((await app.smsVerify.status(id)).status, 'expired')
})

test('a version that was superseded is not sent, nor one that was cancelled or erased', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  const { id } = await app.smsVerify.send({ phone })
  await app.smsVerify.send({ phone, id })
  const cancelled = await app.smsVerify.send({ phone: newPhone() })
  assert.equal(await app.smsVerify.cancel(cancelled.id), true)
  const erased = newPhone()
  await app.smsVerify.send({ phone: erased })
  await app.smsVerify.erase(erased)

  const { logger, events } = createLog()
  await consume(t, { queuePrefix, provider, logger })
  const ends = ['sms.superseded', 'sms.superseded', 'sms.sent', 'sms.state_lost']
  await until('four ends', () => ends.every((end) => events().includes(end)))
  assert.deepEqual(
    provider.messages.map((m) => [m.id, m.version]),
    [[id, 2]],
  )
  assert.equal(events().filter((event) => event === 'sms.superseded').length, 2)
})

test('a message that is not a job goes to the dead queue once, and the others go on', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const { logger, lines } = createLog()
  await consume(t, { queuePrefix, provider, logger })
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const id = 'AAAAAAAAAAAAAAAAAAAAAAAA'
  const unreadable: [string, Record<string, unknown>?][] = [
    ['not json'],
    [''],
    ['null'],
    ['[]'],
    ['"job"'],
    [JSON.stringify({ v: 2, id, version: 1 })],
    [JSON.stringify({ v: 1, id: 'short', version: 1 })],
    [JSON.stringify({ v: 1, id: [id], version: 1 })],
    [JSON.stringify({ v: 1, id, version: 0 })],
    [JSON.stringify({ v: 1, id, version: '1' })],
    [JSON.stringify({ v: 1, id, version: 1.5 })],
    [JSON.stringify({ v: 1, id, version: 1 }), { 'x-attempt': 'first' }],
    [JSON.stringify({ v: 1, id, version: 1 }), { 'x-attempt': 0 }],
    [JSON.stringify({ v: 1, id, version: 1 }), { 'x-attempt': 1e9 }],
    [JSON.stringify({ v: 1, id, version: 1, padding: 'x'.repeat(2000) })],
  ]
  for (const [body, headers] of unreadable) await broker.put(`${queuePrefix}.send`, body, headers)
  await app.smsVerify.send({ phone: newPhone() })

  await until('the good one', () => provider.messages.length === 1)
  await until(
    'the dead letters',
    async () => (await broker.depth(`${queuePrefix}.dead`)) === unreadable.length,
  )
  await sleep(200)
  const dead = await broker.drain(`${queuePrefix}.dead`)
  assert.deepEqual(
    dead.map(({ content }) => String(content)).sort(),
    unreadable.map(([body]) => body).sort(),
  )
  assert.ok(dead.every(({ properties }) => properties.headers?.['x-reason'] === 'unreadable'))
  assert.equal(lines.filter(({ event }) => event === 'sms.unreadable').length, unreadable.length)
})

test('a forged or copied job repeats nothing that the store has not allowed', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const { logger, events } = createLog()
  await consume(t, { queuePrefix, provider, logger })
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await until('it is sent', () => events().includes('sms.sent'))

  const send = `${queuePrefix}.send`
  for (let i = 0; i < 5; i++) await broker.put(send, JSON.stringify({ v: 1, id, version: 1 }))
  await broker.put(send, JSON.stringify({ v: 1, id, version: 1 }), { 'x-attempt': 3 })
  await broker.put(send, JSON.stringify({ v: 1, id, version: 2 }))
  await broker.put(send, JSON.stringify({ v: 1, id: 'AAAAAAAAAAAAAAAAAAAAAAAA', version: 1 }))
  await until('all were seen', () => events().filter((e) => e === 'sms.state_lost').length === 2)
  await until('all were seen', () => events().filter((e) => e === 'sms.duplicate').length === 6)
  assert.equal(provider.messages.length, 1)
  assert.equal(await broker.depth(`${queuePrefix}.dead`), 0)
})

test('a repeated request queues its job again only while it is not confirmed', async (t) => {
  const queuePrefix = newQueuePrefix()
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const request = { phone: newPhone(), idempotencyKey: 'a' }
  const { id } = await app.smsVerify.send(request)
  await sleep(50) // The note that it is queued is not waited for.
  for (let i = 0; i < 5; i++) assert.equal((await app.smsVerify.send(request)).id, id)
  assert.equal(await broker.depth(`${queuePrefix}.send`), 1)
})

test('a result that Redis does not take at first is recorded a little later', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, REDIS_URL)
  const provider = recordingProvider(() => {
    proxy.cut()
    return { class: 'ok' }
  })
  const { logger, lines } = createLog()
  await consume(t, { queuePrefix, provider, logger, redis: proxy.url })
  const app = await build(t, connected({ queuePrefix }))
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await until('it is sent', () => lines.some(({ event }) => event === 'sms.sent'))
  assert.ok(lines.some(({ event }) => event === 'sms.unrecorded'))
  assert.equal((await app.smsVerify.status(id)).status, 'sent')
})

test('whoever has lost its claim says nothing of the end, and repeats nothing', async () => {
  const store = createMemoryStore()
  const secrets = createSecrets(SECRET)
  const e164 = '+8613800138000'
  const phone = secrets.phoneMac(e164)
  const request = newRequest({ phone, id: secrets.newId(phone) })
  const { id } = request
  const about = { phone: e164, country: 'CN', ttl: 300, locales: [] }
  const sealed = {
    code: sealCode(secrets, id, { code: '123456', ...about }),
    sealedPhone: sealPhone(secrets, id, e164),
  }
  await store.issue({ ...request, ...sealed }, policyOf({ secret: SECRET, countries: 'all' }))
  const provider = recordingProvider(async () => {
    // The first one's lease is over, so another consumer has found that nobody knows what came of it.
    const other = { id, version: 1, attempt: 1, maxAttempt: 4, holder: 'other', again: false }
    const claim = await store.claim({ ...other, minRemaining: 0, lease: 1000 })
    assert.equal(claim.verdict, 'unanswered')
    return { class: 'retry' }
  })
  const { logger, events } = createLog()
  const { deliver } = createDelivery({
    store: { ...store, claim: (request) => store.claim({ ...request, lease: 0 }) },
    secrets,
    ...{ queue: 'test', chain: asChain(provider), health: noHealth, receipts: false },
    retry: QUICK,
    delivery: 'at-most-once',
    minRemaining: 30,
    compose: () => 'text',
    logger,
  })
  assert.deepEqual(await deliver({ id, version: 1 }, 1), { next: 'ack' })
  assert.deepEqual(events(), ['sms.unrecorded'])
})

test('a version that is superseded while the provider is asked has its end too', async (t) => {
  const queuePrefix = newQueuePrefix()
  const { logger, lines } = createLog()
  const answers: (() => void)[] = []
  const provider = recordingProvider(async ({ version }) => {
    if (version > 1) return { class: 'ok' }
    await new Promise<void>((resolve) => answers.push(resolve))
    return { class: 'retry' }
  })
  await consume(t, { queuePrefix, provider, logger, retry: QUICK })
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  const { id } = await app.smsVerify.send({ phone })
  await until('it is asked', () => answers.length === 1)
  await app.smsVerify.send({ phone, id })
  answers[0]?.()
  const eventsOf = (version: number) =>
    lines.flatMap((line) => (line.version === version ? [line.event] : []))
  await until('both have ended', () => eventsOf(1).includes('sms.superseded'))
  assert.deepEqual(eventsOf(1), ['sms.retry', 'sms.superseded'])
  assert.deepEqual(eventsOf(2), ['sms.sent'])
})

test('two deliveries of one attempt at the same time make one call', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(async () => {
    await sleep(300)
    return { class: 'ok' }
  })
  const { logger, events } = createLog()
  const options = { queuePrefix, provider, logger, retry: QUICK }
  await Promise.all([consume(t, options), consume(t, options)])
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  for (let i = 0; i < 4; i++) {
    await broker.put(`${queuePrefix}.send`, JSON.stringify({ v: 1, id, version: 1 }))
  }
  await until('the copies ended', () => events().filter((e) => e === 'sms.duplicate').length === 4)
  assert.ok(events().includes('sms.busy'))
  assert.equal(provider.messages.length, 1)
})

test('no more jobs are in hand than concurrency says', async (t) => {
  const queuePrefix = newQueuePrefix()
  let inHand = 0
  let most = 0
  const provider = recordingProvider(async () => {
    most = Math.max(most, ++inHand)
    await sleep(20)
    inHand--
    return { class: 'ok' }
  })
  const app = await build(t, connected({ queuePrefix }))
  await Promise.all(Array.from({ length: 40 }, () => app.smsVerify.send({ phone: newPhone() })))
  await consume(t, { queuePrefix, provider, concurrency: 7 })
  await until('all are sent', () => provider.messages.length === 40)
  assert.equal(most, 7)
})

test('close finishes what is in hand and leaves the rest in the queue', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(async () => {
    await sleep(300)
    return { class: 'ok' }
  })
  const app = await build(t, connected({ queuePrefix }))
  await Promise.all(Array.from({ length: 10 }, () => app.smsVerify.send({ phone: newPhone() })))
  const { logger, events } = createLog()
  const consumer = await consume(t, { queuePrefix, provider, concurrency: 4, logger })
  assert.deepEqual(consumer.health(), { redis: true, amqp: true })
  await until('four are in hand', () => provider.messages.length === 4)
  await Promise.all([consumer.close(), consumer.close(), consumer.closed])
  assert.deepEqual(consumer.health(), { redis: false, amqp: false })
  assert.equal(events().filter((event) => event === 'sms.sent').length, 4)

  const next = recordingProvider()
  await consume(t, { queuePrefix, provider: next })
  await until('the rest is sent', () => next.messages.length === 6)
})

test('a job sealed with a secret that the consumer lacks is dead after its retries, and the log says why', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  const { logger, lines } = createLog()
  await consume(t, {
    queuePrefix,
    provider,
    logger,
    retry: QUICK,
    secret: 'another secret of more than thirty-two bytes',
  })
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })
  await until('its end', () => lines.some(({ event }) => event === 'sms.dead'))
  assert.equal(provider.messages.length, 0)
  const line = lines.find(({ event }) => event === 'sms.unsealable')
  assert.equal(line?.error, 'sealed with a secret that is not in the list')
})

test('secrets are changed without a break: the list of either side opens what the other sealed', async (t) => {
  const queuePrefix = newQueuePrefix()
  const fresh = 'a new secret of more than thirty-two bytes'
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider, secret: [fresh, SECRET] })
  const before = await build(t, connected({ queuePrefix, secret: SECRET }))
  const after = await build(t, connected({ queuePrefix, secret: [fresh, SECRET] }))
  const phone = newPhone()
  const { id } = await before.smsVerify.send({ phone })
  await until('it is sent', () => provider.messages.length === 1)
  const { code } = provider.messages[0] ?? assert.fail()
  assert.equal((await after.smsVerify.verify({ id, code })).phone, phone)

  const second = newPhone()
  const later = await after.smsVerify.send({ phone: second })
  await until('it is sent', () => provider.messages.length === 2)
  const again = provider.messages[1] ?? assert.fail()
  assert.equal((await after.smsVerify.verify({ id: later.id, code: again.code })).phone, second)
})

test('who does not have the secret yet answers 503 and uses up neither a check nor a proof', async (t) => {
  const queuePrefix = newQueuePrefix()
  const fresh = 'a new secret of more than thirty-two bytes'
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider, secret: [fresh, SECRET] })
  const old = await build(t, connected({ queuePrefix, secret: SECRET, code: { checks: 1 } }))
  const both = await build(
    t,
    connected({ queuePrefix, secret: [fresh, SECRET], code: { checks: 1 } }),
  )
  const { id } = await both.smsVerify.send({ phone: newPhone() })
  await until('it is sent', () => provider.messages.length === 1)
  const { code } = provider.messages[0] ?? assert.fail()
  const unavailable = { code: 'SMS_VERIFY_UNAVAILABLE' }
  await assert.rejects(old.smsVerify.verify({ id, code: wrongCode(code) }), unavailable)
  await assert.rejects(old.smsVerify.verify({ id, code }), unavailable)
  const { proof } = await both.smsVerify.verify({ id, code })
  await assert.rejects(old.smsVerify.redeem(proof), unavailable)
  assert.equal((await both.smsVerify.redeem(proof)).purpose, 'default')
})

test('the list old, new, old teaches all processes a new secret before anyone seals with it', async (t) => {
  const queuePrefix = newQueuePrefix()
  const fresh = 'a new secret of more than thirty-two bytes'
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider, secret: SECRET })
  const limits = { ...UNLIMITED, cooldown: [60] }
  const [before, during, after] = await Promise.all(
    [[SECRET], [SECRET, fresh, SECRET], [fresh, SECRET]].map((secret) =>
      build(t, connected({ queuePrefix, secret, limits })),
    ),
  )
  if (!before || !during || !after) assert.fail()
  const phone = newPhone()
  const { id } = await during.smsVerify.send({ phone })
  // The limits of a number are the same ones all the way through.
  for (const { smsVerify } of [before, after]) {
    await assert.rejects(smsVerify.send({ phone }), { code: 'SMS_VERIFY_TOO_MANY_REQUESTS' })
  }
  await until('the old consumer sent it', () => provider.messages.length === 1)
  const { code } = provider.messages[0] ?? assert.fail()
  const { proof } = await before.smsVerify.verify({ id, code })
  assert.equal((await after.smsVerify.redeem(proof)).phone, phone)
})

test('a consumer that cannot reach Redis or RabbitMQ says so within 5 seconds', async () => {
  const options = { provider: recordingProvider(), secret: SECRET, logger: createLog().logger }
  const startedAt = Date.now()
  await Promise.all([
    assert.rejects(startConsumer({ ...options, redis: 'redis://127.0.0.1:1', amqp: AMQP_URL }), {
      message: /cannot connect to Redis: .*ECONNREFUSED/,
    }),
    assert.rejects(startConsumer({ ...options, redis: REDIS_URL, amqp: 'amqp://127.0.0.1:1' }), {
      message: /cannot connect to RabbitMQ: .*ECONNREFUSED/,
    }),
  ])
  assert.ok(Date.now() - startedAt < 5000)
})
