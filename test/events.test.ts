import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyInstance, InjectOptions } from 'fastify'
import type { SmsVerifyOptions } from '../src/plugin.ts'
import {
  build,
  codeOf,
  connected,
  embedded,
  newPhone,
  REDIS_URL,
  recordingProvider,
  SECRET,
  UNLIMITED,
  until,
  wrongCode,
} from './helper.ts'
import { startProxy } from './proxy.ts'

interface Told {
  event: string
  reason?: string
  [field: string]: unknown
}

/** Keeps the lines about sends and checks. */
function listen() {
  const told: Told[] = []
  const write = (line: string): void => {
    const parsed = JSON.parse(line) as Told
    if (/^(send|verify|request)\./.test(parsed.event ?? '')) told.push(parsed)
  }
  const heard = async (run: () => Promise<unknown>): Promise<Told[]> => {
    told.length = 0
    await run().catch(() => {})
    return [...told]
  }
  return { heard, server: { logger: { level: 'trace', stream: { write } } } }
}

const once = { max: 1, window: 60 }

/** What is asked of an app with which options, and what one line says of it. */
const REFUSALS: [
  reason: string,
  ask: (app: FastifyInstance) => Promise<unknown>,
  options?: Partial<SmsVerifyOptions>,
][] = [
  ['invalid_request', ({ smsVerify }) => smsVerify.send({ phone: 1 } as never)],
  ['invalid_phone', ({ smsVerify }) => smsVerify.send({ phone: '+86' })],
  ['country_not_allowed', ({ smsVerify }) => smsVerify.send({ phone: '+12125550123' })],
  ['number_type_not_allowed', ({ smsVerify }) => smsVerify.send({ phone: '+8675512345678' })],
  ['gone', ({ smsVerify }) => smsVerify.send({ phone: newPhone(), id: 'x' })],
  ['gone', ({ smsVerify }) => smsVerify.send({ phone: newPhone(), id: 'A'.repeat(24) })],
  [
    'beforeSend',
    ({ smsVerify }) => smsVerify.send({ phone: newPhone() }),
    { beforeSend: () => false },
  ],
  [
    'challenge_required',
    ({ smsVerify }) => smsVerify.send({ phone: newPhone() }),
    { challenge: 'on' },
  ],
  ['phone', sendTwice, { limits: { ...UNLIMITED, cooldown: [60] } }],
  ['ip', sendTwice, { limits: { ...UNLIMITED, ip: once } }],
  ['prefix', sendTwice, { limits: { ...UNLIMITED, prefix: once } }],
  ['country', sendTwice, { limits: { ...UNLIMITED, country: once } }],
  ['total', sendTwice, { limits: { ...UNLIMITED, total: once } }],
]

async function sendTwice({ smsVerify }: FastifyInstance): Promise<void> {
  const request = { phone: newPhone(), ip: '192.0.2.1' }
  await smsVerify.send(request)
  await smsVerify.send(request)
}

for (const [reason, ask, options] of REFUSALS) {
  test(`A send that is refused is told in one line: ${reason}.`, async (t) => {
    const { heard, server } = listen()
    const app = await build(t, embedded(options), server)
    const lines = await heard(() => ask(app))
    const refused = lines.filter(({ event }) => event !== 'send.accepted')
    assert.deepEqual(
      refused.map(({ event, reason }) => [event, reason]),
      [['send.refused', reason]],
    )
  })
}

test('Each check is told in one line, and so is the send before it.', async (t) => {
  const { heard, server } = listen()
  const provider = recordingProvider()
  const limits = { ...UNLIMITED, failedChecksPerIp: { max: 2, window: 60 } }
  const app = await build(t, embedded({ provider, limits }), server)
  const { smsVerify } = app
  const phone = newPhone()
  let id = ''
  const [accepted, ...none] = await heard(async () => {
    id = (await smsVerify.send({ phone })).id
  })
  assert.deepEqual(none, [])
  assert.equal(accepted?.event, 'send.accepted')
  assert.equal(accepted.phone, `+86*********${phone.slice(-2)}`)
  const twice = { phone: newPhone(), idempotencyKey: 'the-same' }
  const repeats = await heard(async () => {
    for (let n = 0; n < 2; n++) await smsVerify.send(twice)
  })
  assert.deepEqual(
    repeats.map(({ event, repeated }) => [event, repeated]),
    [
      ['send.accepted', undefined],
      ['send.accepted', true],
    ],
  )

  const code = await codeOf(provider, id)
  const ip = '192.0.2.1'
  const checks: [request: object, event: string, reason?: string, checksLeft?: number][] = [
    [{ id, code: 5 }, 'verify.refused', 'invalid_request'],
    [{ id: 'x', code }, 'verify.refused', 'gone'],
    [{ id, code: wrongCode(code), ip }, 'verify.refused', 'wrong_code', 4],
    [{ id, code: wrongCode(code), ip }, 'verify.refused', 'wrong_code', 3],
    [{ id, code: wrongCode(code), ip }, 'verify.refused', 'failedChecksPerIp'],
    [{ id, code }, 'verify.ok'],
    [{ id, code }, 'verify.refused', 'gone'],
  ]
  for (const [request, event, reason, checksLeft] of checks) {
    const lines = await heard(() => smsVerify.verify(request as never))
    const seen = lines.map((line) => [line.event, line.reason, line.checksLeft])
    assert.deepEqual(seen, [[event, reason, checksLeft]])
  }
})

test('A disabled number is told as that.', async (t) => {
  const { heard, server } = listen()
  const provider = recordingProvider()
  const app = await build(t, embedded({ provider, code: { checks: 10 } }), server)
  const phone = newPhone()
  for (let n = 0; n < 10; n++) {
    const { id } = await app.smsVerify.send({ phone, trusted: true })
    const code = wrongCode(await codeOf(provider, id))
    for (let n = 0; n < 10; n++) await app.smsVerify.verify({ id, code }).catch(() => {})
  }
  const [line, ...none] = await heard(() => app.smsVerify.send({ phone }))
  assert.deepEqual([line?.event, line?.reason, none], ['send.refused', 'disabled', []])
})

test('What cannot be done is told in one line, with what is down.', async (t) => {
  const { heard, server } = listen()
  const proxy = await startProxy(t, REDIS_URL)
  const app = await build(t, connected({ redis: proxy.url }), server)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  proxy.refuse = true
  proxy.cut()
  const unavailable = async (what: string, run: () => Promise<unknown>) => {
    const lines = await heard(run)
    assert.deepEqual(
      lines.map(({ event }) => event),
      [`${what}.unavailable`],
    )
    assert.ok(lines[0]?.reason)
  }
  await unavailable('send', () => app.smsVerify.send({ phone: newPhone() }))
  await unavailable('verify', () => app.smsVerify.verify({ id, code: '123456' }))
  proxy.refuse = false
  const well = () =>
    app.smsVerify.status(id).then(
      () => true,
      () => false,
    )
  await until('Redis is back', well)

  const jobs = await startProxy(t, process.env.WEB_AMQP_URL ?? (process.env.AMQP_URL as string))
  const queueless = await build(t, connected({ amqp: jobs.url }), server)
  jobs.refuse = true
  jobs.cut()
  await until('it is noticed', async () => {
    const lines = await heard(() => queueless.smsVerify.send({ phone: newPhone() }))
    return lines.some(({ event }) => event === 'send.unavailable')
  })
  await unavailable('send', () => queueless.smsVerify.send({ phone: newPhone() }))
})

test('A request of another form is told once, by the routes, and without what was in it.', async (t) => {
  const { heard, server } = listen()
  const app = await build(t, embedded({ secret: SECRET }), server)
  const json = { 'content-type': 'application/json' }
  const url = '/sms/send'
  const requests: [request: InjectOptions, part: string | undefined, path?: string][] = [
    [{ method: 'POST', url, payload: { phone: [] } }, 'body', 'phone'],
    [{ method: 'POST', url, payload: { phone: '+1', secret: 1 } }, 'body', 'other fields'],
    [{ method: 'POST', url, payload: '{"phone"', headers: json }, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    [
      { method: 'POST', url, payload: '{"__proto__":1}', headers: json },
      'FST_ERR_CTP_INVALID_JSON_BODY',
    ],
    [
      { method: 'POST', url, payload: 'x'.repeat(3000), headers: json },
      'FST_ERR_CTP_BODY_TOO_LARGE',
    ],
    [
      { method: 'POST', url, payload: 'x', headers: { 'content-type': 'text/plain' } },
      'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    ],
    [
      {
        method: 'POST',
        url,
        payload: '{}',
        headers: { 'content-type': 'application/json; charset=utf-16' },
      },
      undefined,
    ],
    [{ method: 'PUT', url }, undefined],
  ]
  for (const [request, part, path] of requests) {
    const lines = await heard(() => app.inject(request))
    const seen = lines.map((line) => [line.event, line.part, line.path])
    assert.deepEqual(seen, [['request.invalid', part, path]], JSON.stringify(request))
  }
})
