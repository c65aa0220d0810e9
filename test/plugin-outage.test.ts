import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import {
  AMQP_URL,
  build,
  codeOf,
  connected,
  consume,
  createLog,
  deleteQueues,
  newPhone,
  newQueuePrefix,
  REDIS_URL,
  recordingProvider,
  UNLIMITED,
  until,
  wrongCode,
} from './helper.ts'
import { assertProblem } from './problem.ts'
import { startProxy } from './proxy.ts'

const UNAVAILABLE = [503, 'SMS_VERIFY_UNAVAILABLE', { retryAfter: 5 }] as const

test('While RabbitMQ is down a send answers 503 at once and leaves no trace; verifying goes on.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider })
  const limits = { ...UNLIMITED, cooldown: [60], phone: { max: 1, window: 60 } }
  let asked = 0
  const beforeSend = () => {
    asked++
    return true
  }
  const app = await build(t, connected({ queuePrefix, amqp: proxy.url, limits, beforeSend }))
  const live = await Promise.all(
    [newPhone(), newPhone()].map(async (phone) => {
      const { id } = (await send(app, phone)).json()
      return { id, code: await codeOf(provider, id) }
    }),
  )
  const [first, second] = live as [(typeof live)[0], (typeof live)[0]]

  proxy.refuse = true
  proxy.cut()
  const phones = Array.from({ length: 20 }, newPhone)
  await until('it is known', async () => (await send(app, newPhone())).statusCode === 503, 1000)
  asked = 0
  const times: number[] = []
  for (const phone of phones) {
    const startedAt = performance.now()
    assertProblem(await send(app, phone), ...UNAVAILABLE)
    times.push(performance.now() - startedAt)
  }
  // The middle one: a busy machine may hold up any single request.
  const ms = times.toSorted((a, b) => a - b)[times.length / 2] as number
  assert.ok(ms < 50, `${ms} ms`)
  // Before anything else, so that not even the host is asked.
  assert.equal(asked, 0)
  await assert.rejects(app.smsVerify.publish({ id: first.id, version: 1 }), {
    code: 'SMS_VERIFY_UNAVAILABLE',
  })

  const wrong = await verify(app, first.id, wrongCode(first.code))
  assertProblem(wrong, 422, 'SMS_VERIFY_WRONG_CODE', { checksLeft: 4 })
  const right = await verify(app, first.id, first.code)
  assert.equal(right.statusCode, 200)
  assert.equal((await app.inject(`/sms/${second.id}`)).json().checksLeft, 5)
  assert.ok((await app.smsVerify.redeem(right.json().proof)).phone)
  assert.equal(await app.smsVerify.cancel(second.id), true)

  proxy.refuse = false
  await until('it is back', async () => (await send(app, newPhone())).statusCode === 202)
  // No cooldown, no count, nothing sent: as if they had never been asked for.
  for (const phone of phones) assert.equal((await send(app, phone)).statusCode, 202)
  await until('all are sent', () =>
    phones.every((phone) => provider.messages.some((message) => message.phone === phone)),
  )
})

test('A send that RabbitMQ returns, its queue being gone, answers 503 and leaves no trace.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  const limits = { ...UNLIMITED, cooldown: [60] }
  const app = await build(t, connected({ queuePrefix, amqp: proxy.url, limits }))
  const phone = newPhone()
  const live = newPhone()
  const { id } = (await send(app, live)).json()
  await deleteQueues(queuePrefix)
  assertProblem(await send(app, phone), ...UNAVAILABLE)
  await app.smsVerify.unlock(live)
  await assert.rejects(app.smsVerify.send({ phone: live, id }), { code: 'SMS_VERIFY_UNAVAILABLE' })
  assert.equal((await app.inject(`/sms/${id}`)).json().status, 'queued')

  // A new connection declares the queue anew.
  proxy.cut()
  const sent = () => app.smsVerify.send({ phone: newPhone() })
  await until('it is back', () =>
    sent().then(
      () => true,
      () => false,
    ),
  )
  assert.equal((await send(app, phone)).statusCode, 202)
  // The resend that failed left the first code alone, and its cooldown as unlocked.
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider })
  await app.smsVerify.publish({ id, version: 1 })
  const code = await codeOf(provider, id, 1)
  assert.equal((await verify(app, id, code)).statusCode, 200)
})

test('While Redis is down everything answers 503, nothing is allowed and nothing verified.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, REDIS_URL)
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider })
  const app = await build(t, connected({ queuePrefix, redis: proxy.url }))
  const phone = newPhone()
  const { id } = (await send(app, phone)).json()
  const code = await codeOf(provider, id)

  proxy.refuse = true
  proxy.cut()
  await until('it is known', async () => (await app.inject(`/sms/${id}`)).statusCode === 503, 3000)
  const answers = await Promise.all([
    send(app, newPhone()),
    verify(app, id, code),
    verify(app, id, wrongCode(code)),
    app.inject(`/sms/${id}`),
  ])
  for (const answer of answers) assertProblem(answer, ...UNAVAILABLE)
  const calls = [
    app.smsVerify.send({ phone }),
    app.smsVerify.verify({ id, code }),
    app.smsVerify.redeem('A'.repeat(24)),
    app.smsVerify.status(id),
    app.smsVerify.cancel(id),
    app.smsVerify.unlock(phone),
    app.smsVerify.erase(phone),
  ]
  const refused = { code: 'SMS_VERIFY_UNAVAILABLE' }
  await Promise.all(calls.map((call) => assert.rejects(call, refused)))

  proxy.refuse = false
  await until('it is back', async () => (await app.inject(`/sms/${id}`)).statusCode === 200)
  // The wrong code and the right one of above were not counted.
  assert.equal((await app.inject(`/sms/${id}`)).json().checksLeft, 5)
  assert.equal((await verify(app, id, code)).statusCode, 200)
  assert.equal(provider.messages.length, 1)
})

test('A Redis that falls silent is 503 after a second; what it did meanwhile happened once.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, REDIS_URL)
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider })
  const app = await build(t, connected({ queuePrefix, redis: proxy.url }))
  const { id } = (await send(app, newPhone())).json()
  const code = await codeOf(provider, id)

  proxy.mute = true
  const startedAt = performance.now()
  const answers = await Promise.all([verify(app, id, wrongCode(code)), send(app, newPhone())])
  for (const answer of answers) assertProblem(answer, ...UNAVAILABLE)
  const ms = performance.now() - startedAt
  assert.ok(ms < 1500, `${ms} ms`)
  proxy.mute = false
  proxy.cut()
  await until('it is back', async () => (await app.inject(`/sms/${id}`)).statusCode === 200)
  assert.equal((await app.inject(`/sms/${id}`)).json().checksLeft, 4)
  assert.equal((await verify(app, id, code)).statusCode, 200)
})

test('A RabbitMQ that falls silent is 503 within the time for a confirm, and the answer can be had again.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  const provider = recordingProvider()
  const app = await build(
    t,
    connected({ queuePrefix, amqp: proxy.url, limits: { ...UNLIMITED, cooldown: [60] } }),
  )
  const phone = newPhone()
  proxy.mute = true
  const startedAt = performance.now()
  assertProblem(await send(app, phone, 'a-key'), ...UNAVAILABLE)
  const ms = performance.now() - startedAt
  assert.ok(ms < 2500, `${ms} ms`)

  proxy.mute = false
  proxy.cut()
  // It may have been queued, so it stands: without its key the number has to wait, with its key it is repeated.
  const isBack = async () => (await send(app, newPhone())).statusCode === 202
  await until('it is back', isBack)
  assert.equal((await send(app, phone)).statusCode, 429)
  const again = await send(app, phone, 'a-key')
  assert.equal(again.statusCode, 202)
  const { logger } = createLog()
  await consume(t, { queuePrefix, provider, logger })
  const code = await codeOf(provider, again.json().id)
  assert.equal((await verify(app, again.json().id, code)).statusCode, 200)
  // However many messages there are for it, one SMS was sent.
  assert.equal(provider.messages.filter((message) => message.phone === phone).length, 1)
})

const send = (app: FastifyInstance, phone: string, key?: string) =>
  app.inject({
    method: 'POST',
    url: '/sms/send',
    payload: { phone },
    headers: { ...(key && { 'idempotency-key': key }) },
  })

const verify = (app: FastifyInstance, id: string, code: string) =>
  app.inject({ method: 'POST', url: '/sms/verify', payload: { id, code } })
