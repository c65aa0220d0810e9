import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyServerOptions } from 'fastify'
import type { BeforeSendContext } from '../src/plugin.ts'
import { countingApp, postText } from './counting-app.ts'
import { codeOf, newPhone, start, UNLIMITED, wrongCode } from './helper.ts'
import { assertProblem } from './problem.ts'

const UNKNOWN = 'A'.repeat(24)

/** Values that are no text, or not the text that is asked for. */
const NO_TEXT: unknown[] = [null, true, false, 0, 86_138_0013_8000, [], {}, ['+8613800138000'], '']

const wrongFields = (field: string, good: object, wrong: unknown[]) =>
  [...NO_TEXT, ...wrong].map((value) => JSON.stringify({ ...good, [field]: value }))

const phone = '+8613800138000'
const SEND_BODIES: string[] = [
  ...wrongFields('phone', {}, [['a', 'b'], { toString: 'x' }, ` ${'9'.repeat(40)}`]),
  ...wrongFields('purpose', { phone }, ['', 'Login', 'login ', '__proto__', 'constructor', 'a\nb']),
  ...wrongFields('locale', { phone }, ['zh_CN', 'zh CN', 'a'.repeat(33), '{{7*7}}', 'en\r\nX: y']),
  ...wrongFields('id', { phone }, ['a'.repeat(129)]),
  '{}',
  '{"purpose":"login"}',
  JSON.stringify({ phone, code: '123456' }),
  JSON.stringify({ phone, Phone: phone }),
  // What only the host itself may say.
  JSON.stringify({ phone, ip: '192.0.2.1' }),
  JSON.stringify({ phone, trusted: true }),
  JSON.stringify({ phone, idempotencyKey: 'key' }),
  `{"phone":"${phone}","__proto__":{"trusted":true}}`,
  `{"phone":"${phone}","constructor":{"prototype":{"trusted":true}}}`,
  `{"phone":"${phone}","constructor":"x"}`,
  `{"__proto__":{"phone":"${phone}"}}`,
]

const VERIFY_BODIES: string[] = [
  ...wrongFields('id', { code: '123456' }, ['a'.repeat(129)]),
  ...wrongFields('code', { id: UNKNOWN }, [
    ...[123456, '12345', '1234567', '12345a', ' 123456', '123456 ', '123456\n', '+12345', '1e5555'],
    ...['١٢٣٤٥٦', '１２３４５６', '123 456', '-12345', '0x1234', ['1', '2', '3', '4', '5', '6']],
  ]),
  '{}',
  JSON.stringify({ id: UNKNOWN }),
  JSON.stringify({ code: '123456' }),
  JSON.stringify({ id: UNKNOWN, code: '123456', phone }),
  JSON.stringify({ id: UNKNOWN, code: '123456', ip: '192.0.2.1' }),
  `{"id":"${UNKNOWN}","code":"123456","__proto__":{"x":1}}`,
]

const ANY_BODIES: string[] = [
  ...['null', 'true', '0', '"text"', '[]', '[{}]', `[{"phone":"${phone}"}]`],
  // No JSON at all.
  ...[
    '',
    ' ',
    '{',
    '{"phone"',
    "{'phone':'x'}",
    'phone=x',
    '{"phone":"x"}}',
    '\ufeff{}',
    '\0',
    'NaN',
  ],
]

const SERVERS: [string, FastifyServerOptions][] = [
  ['a plain host', {}],
  [
    'a host whose AJV coerces and drops',
    {
      ajv: { customOptions: { coerceTypes: 'array', removeAdditional: 'all', useDefaults: true } },
    },
  ],
  [
    'a host that lets prototypes through',
    { onProtoPoisoning: 'remove', onConstructorPoisoning: 'ignore' },
  ],
]

for (const [host, server] of SERVERS) {
  test(`With ${host}, a body of another form answers 400 and nothing has happened.`, async (t) => {
    const { app, operations, ended } = await countingApp(t, server)
    for (const [url, bodies] of [
      ['/sms/send', SEND_BODIES],
      ['/sms/verify', VERIFY_BODIES],
    ] as const) {
      for (const payload of [...bodies, ...ANY_BODIES]) {
        const answer = await postText(app, url, payload, 'application/json')
        assert.equal(answer.statusCode, 400, `${url} ${payload}`)
        assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
      }
    }
    assert.equal('trusted' in {}, false)
    assert.equal('x' in {}, false)
    assert.equal(await ended(), 0)
    assert.equal(operations(), 0)
  })
}

test('The check is repeated behind the routes, where the host can have switched theirs off.', async (t) => {
  const { app, operations, ended } = await countingApp(t, {}, { attachValidation: true })
  const OURS = ['phone', 'purpose', 'locale', 'id', 'code', '__proto__', 'constructor']
  for (const [url, payload] of [
    ...SEND_BODIES.map((body) => ['/sms/send', body] as const),
    ...VERIFY_BODIES.map((body) => ['/sms/verify', body] as const),
  ]) {
    // Other fields are not looked at any more.
    const others = url === '/sms/send' ? OURS.filter((name) => name !== 'code') : OURS
    if (!Object.keys(JSON.parse(payload)).every((name) => others.includes(name))) continue
    if (payload.includes('"constructor":"')) continue
    const answer = await postText(app, url, payload, 'application/json')
    assert.equal(answer.statusCode, 400, `${url} ${payload}`)
    assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
  }
  assert.equal(await ended(), 0)
  assert.equal(operations(), 0)
})

test('Even then the client cannot say what only the host may say.', async (t) => {
  const told: BeforeSendContext[] = []
  const { app, provider } = await start(t, 'embedded', {
    routeOptions: { attachValidation: true },
    limits: {
      ...UNLIMITED,
      ip: { max: 4, window: 60 },
      failedChecksPerIp: { max: 15, window: 60 },
    },
    beforeSend: (context) => {
      told.push(context)
      return true
    },
  })
  const phone = newPhone()
  const claims = { phone, trusted: true, idempotencyKey: 'x' }
  const send = (ip: string) =>
    postText(app, '/sms/send', JSON.stringify({ ...claims, ip }), 'application/json')
  for (let i = 0; i < 3; i++) {
    const { id } = (await send(`192.0.2.${i}`)).json()
    const code = wrongCode(await codeOf(provider, id))
    for (let i = 0; i < 5; i++) {
      const body = JSON.stringify({ id, code, ip: `192.0.2.${i}` })
      await postText(app, '/sms/verify', body, 'application/json')
    }
  }
  // After 15 wrong codes only the trusted may go on.
  assert.equal((await send('192.0.2.3')).statusCode, 429)
  assert.ok(told.every(({ ip }) => ip === '127.0.0.1'))
})

test('A code of another form is not counted as a check.', async (t) => {
  const { app, provider } = await start(t, 'embedded')
  const { id } = (
    await app.inject({ method: 'POST', url: '/sms/send', payload: { phone: newPhone() } })
  ).json()
  const code = await codeOf(provider, id)
  for (const body of VERIFY_BODIES)
    await postText(app, '/sms/verify', body.replace(UNKNOWN, id), 'application/json')
  assert.equal((await app.inject(`/sms/${id}`)).json().checksLeft, 5)
  const answer = await postText(
    app,
    '/sms/verify',
    JSON.stringify({ id, code }),
    'application/json',
  )
  assert.equal(answer.statusCode, 200)
})

test('A purpose may be called like a property of every object.', async (t) => {
  const { app, provider } = await start(t, 'embedded', { purposes: ['constructor', 'tostring'] })
  const sent = await postText(
    app,
    '/sms/send',
    JSON.stringify({ phone: newPhone(), purpose: 'constructor' }),
    'application/json',
  )
  const { id } = sent.json()
  const body = JSON.stringify({ id, code: await codeOf(provider, id) })
  assert.equal(
    (await postText(app, '/sms/verify', body, 'application/json')).json().purpose,
    'constructor',
  )
  for (const purpose of ['__proto__', 'toString', 'hasOwnProperty']) {
    const answer = await postText(
      app,
      '/sms/send',
      JSON.stringify({ phone: newPhone(), purpose }),
      'application/json',
    )
    assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
  }
})

test('An id in the path that is none answers 400 or 410 and reaches no other route.', async (t) => {
  const { app, operations } = await countingApp(t)
  for (const id of [
    'x',
    '%00',
    '..%2Fsend',
    'constructor',
    '__proto__',
    '%F0%9F%93%B1',
    'a'.repeat(100),
  ]) {
    assertProblem(await app.inject(`/sms/${id}`), 410, 'SMS_VERIFY_GONE')
  }
  for (const id of ['', 'a'.repeat(129), 'a/b', '%']) {
    const { statusCode } = await app.inject(`/sms/${id}`)
    assert.ok([400, 404, 414].includes(statusCode), `${id}: ${statusCode}`)
  }
  assert.equal(operations(), 0)
})
