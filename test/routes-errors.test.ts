import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import fastifyRedis from '@fastify/redis'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Redis } from 'ioredis'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import {
  build,
  codeOf,
  connected,
  embedded,
  MODES,
  newPhone,
  REDIS_URL,
  start,
  until,
  wrongCode,
} from './helper.ts'
import { assertProblem } from './problem.ts'

const CANARY = 'canary +8613800138000 012345 redis://user:hunter2@db.internal:6379'
const UNKNOWN = 'A'.repeat(24)

const throwing = (error: unknown) => ({
  preHandler: async () => {
    throw error
  },
})

test('An error that nobody expected answers 500 without a word of it, and is logged.', async (t) => {
  const errors = [
    new Error(CANARY),
    Object.assign(new Error(CANARY), { statusCode: 500, code: 'EBROKEN' }),
    Object.assign(new TypeError(CANARY), { cause: new Error(CANARY) }),
    CANARY,
    { message: CANARY },
  ]
  for (const error of errors) {
    const { lines, ...server } = logging()
    const app = await build(t, embedded({ routeOptions: throwing(error) }), server)
    for (const answer of await askAll(app)) {
      assertProblem(answer, 500, 'SMS_VERIFY_INTERNAL_ERROR')
      assertNothingOf(CANARY, answer.body, inspect(answer.headers))
    }
    const logged = lines().filter(({ event }) => event === 'request.failed')
    assert.equal(logged.length, 3)
    for (const { level } of logged) assert.equal(level, 50)
  }
})

test('An error after the handler answers 500 without a word of it too.', async (t) => {
  for (const hook of ['preSerialization', 'onSend'] as const) {
    let failed = false
    const routeOptions = {
      [hook]: async (_request: unknown, _reply: unknown, payload: unknown) => {
        if (failed) return payload
        failed = true
        throw new Error(CANARY)
      },
    }
    const app = await build(t, embedded({ routeOptions }))
    const payload = { phone: newPhone() }
    const answer = await app.inject({ method: 'POST', url: '/sms/send', payload })
    assertProblem(answer, 500, 'SMS_VERIFY_INTERNAL_ERROR')
  }
})

test('A store that fails or talks nonsense answers 503 without a word of it, and is logged.', async (t) => {
  const replies = [
    () => Promise.reject(new Error(CANARY)),
    () => Promise.reject(new Error("READONLY You can't write against a read only replica.")),
    () => Promise.reject(new Error('OOM command not allowed when used memory > maxmemory.')),
    () => Promise.resolve(CANARY),
  ]
  for (const reply of replies) {
    const { lines, ...server } = logging()
    const app = await onRedisThatSays(t, reply, server)
    for (const answer of await askAll(app)) {
      assertProblem(answer, 503, 'SMS_VERIFY_UNAVAILABLE', { retryAfter: 5 })
      assertNothingOf(CANARY, answer.body, inspect(answer.headers))
    }
    const events = lines().map(({ event }) => event)
    assert.equal(events.filter((event) => event === 'store.failed').length, 3)
    const tries = [
      app.smsVerify.redeem(UNKNOWN),
      app.smsVerify.cancel(UNKNOWN),
      app.smsVerify.unlock(newPhone()),
      app.smsVerify.erase(newPhone()),
    ]
    for (const attempt of tries) await assert.rejects(attempt, { code: 'SMS_VERIFY_UNAVAILABLE' })
  }
})

test('A Redis that does not answer is given up after a second.', async (t) => {
  const app = await onRedisThatSays(t, () => new Promise(() => {}))
  const startedAt = performance.now()
  for (const answer of await askAll(app)) {
    assertProblem(answer, 503, 'SMS_VERIFY_UNAVAILABLE', { retryAfter: 5 })
  }
  const ms = performance.now() - startedAt
  assert.ok(ms < 2500, `${ms} ms`)
})

test('An error that a hook of the host means for the client is the host’s to show.', async (t) => {
  const errors = [401, 402, 403, 404, 409, 429, 502, 503].map((statusCode) =>
    Object.assign(new Error('the text of the host'), { statusCode, code: 'HOST_SAYS_NO' }),
  )
  for (const error of errors) {
    const seen: unknown[] = []
    const app = Fastify()
    t.after(() => app.close())
    app.setErrorHandler((error, _request, reply) => {
      seen.push(error)
      return reply.code(418).type('text/x-host').send('the answer of the host')
    })
    await app.register(smsVerify, embedded({ routeOptions: throwing(error) }))
    for (const answer of await askAll(app)) {
      assert.equal(answer.statusCode, 418, `${error.statusCode}`)
      assert.equal(answer.headers['content-type'], 'text/x-host')
      assert.equal(answer.body, 'the answer of the host')
      assert.equal(answer.headers['cache-control'], 'no-store')
    }
    assert.deepEqual(
      seen.map((each) => each === error),
      [true, true, true],
    )
  }
})

test('Without an error handler of the host, Fastify shows the host’s error as ever.', async (t) => {
  const error = Object.assign(new Error('log in first'), { statusCode: 401, code: 'LOG_IN' })
  const app = await build(t, embedded({ routeOptions: throwing(error) }))
  for (const answer of await askAll(app)) {
    assert.equal(answer.statusCode, 401)
    const shown = {
      statusCode: 401,
      code: 'LOG_IN',
      error: 'Unauthorized',
      message: 'log in first',
    }
    assert.deepEqual(answer.json(), shown)
  }
})

test('A hook of the host, on the routes or on the app, may answer by itself.', async (t) => {
  const onRequest: NonNullable<SmsVerifyOptions['routeOptions']>['onRequest'] = async (_, reply) =>
    reply.code(401).send({ host: true })
  const onRoutes = await build(t, embedded({ routeOptions: { onRequest } }))
  const onApp = Fastify()
  t.after(() => onApp.close())
  onApp.addHook('onRequest', onRequest as never)
  await onApp.register(smsVerify, embedded())
  for (const answer of [...(await askAll(onRoutes)), ...(await askAll(onApp))]) {
    assert.deepEqual([answer.statusCode, answer.json()], [401, { host: true }])
  }
})

test('Errors of the host’s own routes stay as they were.', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(smsVerify, embedded())
  app.get('/broken', async () => {
    throw new Error('of the host')
  })
  const schema = {
    body: { type: 'object', required: ['a'], properties: { a: { type: 'number' } } },
  }
  app.post('/typed', { schema }, async ({ body }) => body)
  app.get('/gone', async () => app.smsVerify.status(UNKNOWN))

  const broken = await app.inject('/broken')
  const shown = { statusCode: 500, error: 'Internal Server Error', message: 'of the host' }
  assert.deepEqual(broken.json(), shown)
  assert.equal(broken.headers['cache-control'], undefined)
  const missing = await app.inject({ method: 'POST', url: '/typed', payload: {} })
  assert.equal(missing.json().code, 'FST_ERR_VALIDATION')
  // The host's validator still coerces, and its parsers are all there.
  const coerced = await app.inject({ method: 'POST', url: '/typed', payload: { a: '5' } })
  assert.deepEqual(coerced.json(), { a: 5 })
  const text = { 'content-type': 'text/plain' }
  const plain = await app.inject({ method: 'POST', url: '/typed', payload: 'x', headers: text })
  assert.equal(plain.statusCode, 400)
  for (const url of ['/nowhere', '/sms', '/sms/a/b']) {
    const answer = await app.inject(url)
    assert.deepEqual([answer.statusCode, answer.json().error], [404, 'Not Found'])
  }
  // Ours, thrown in the host's route, has what Fastify needs to show it.
  const gone = await app.inject('/gone')
  assert.deepEqual([gone.statusCode, gone.json().code], [410, 'SMS_VERIFY_GONE'])
})

for (const mode of MODES) {
  test(`${mode}: No answer and no line of the log shows a code, a full number, a proof or an address.`, async (t) => {
    const { lines, ...server } = logging()
    const routeOptions = { logLevel: 'trace' as const }
    const { app, provider } = await start(t, mode, { code: { length: 10 }, routeOptions }, server)
    const phone = newPhone()
    const answers: string[] = []
    const post = async (url: string, payload: object) => {
      const answer = await app.inject({
        method: 'POST',
        url,
        payload,
        remoteAddress: '203.0.113.77',
      })
      answers.push(answer.body, inspect(answer.headers))
      return answer
    }
    const { id } = (await post('/sms/send', { phone })).json()
    const first = await codeOf(provider, id)
    await post('/sms/send', { phone, id })
    const second = await codeOf(provider, id, 2)
    await post('/sms/verify', { id, code: first })
    await post('/sms/verify', { id, code: wrongCode(first).padEnd(10, '0') })
    await post('/sms/verify', { id, code: `${second}x` })
    await post('/sms/send', { phone, purpose: second })
    const { proof } = (await post('/sms/verify', { id, code: second })).json()
    await post('/sms/verify', { id, code: second })
    await app.smsVerify.redeem(proof)
    await assert.rejects(app.smsVerify.redeem(proof))
    await app.inject(`/sms/${id}`)
    await until('sent', async () => lines().length > 0)

    const shown = [first, second, phone, phone.slice(1), phone.slice(3)]
    for (const secret of shown) assertNothingOf(secret, ...answers)
    const log = lines().filter(({ req }) => req === undefined)
    const text = JSON.stringify(log)
    for (const secret of [...shown, proof, '203.0.113.77']) assertNothingOf(secret, text)
    // Fastify's own line of a request has its address, and nothing else of these.
    const requests = JSON.stringify(lines().filter(({ req }) => req !== undefined))
    for (const secret of [...shown, proof]) assertNothingOf(secret, requests)
    const masked = `+86*********${phone.slice(-2)}`
    assert.ok(log.some((line) => line.event === 'send.accepted' && line.phone === masked))
  })
}

/** One request to each route. */
async function askAll(app: FastifyInstance) {
  return Promise.all([
    app.inject({ method: 'POST', url: '/sms/send', payload: { phone: newPhone() } }),
    app.inject({
      method: 'POST',
      url: '/sms/verify',
      payload: { id: UNKNOWN, code: '123456' },
    }),
    app.inject(`/sms/${UNKNOWN}`),
  ])
}

/** An app on a Redis client that is connected and answers every script in this way. */
async function onRedisThatSays(
  t: TestContext,
  reply: () => Promise<unknown>,
  server: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const client = new Redis(REDIS_URL)
  Object.assign(client, { eval: reply, evalsha: reply })
  const app = Fastify(server)
  t.after(async () => {
    await app.close()
    await client.quit()
  })
  await app.register(fastifyRedis, { client })
  const { redis: _, ...options } = connected()
  await app.register(smsVerify, options)
  await app.ready()
  return app
}

/** Server options that log everything, and what was logged. */
function logging() {
  const written: string[] = []
  const stream = { write: (line: string) => written.push(line) }
  return {
    logger: { level: 'trace', stream },
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

function assertNothingOf(secret: string, ...texts: string[]): void {
  for (const text of texts) assert.equal(text.includes(secret), false, `${secret} in ${text}`)
}
