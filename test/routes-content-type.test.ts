import assert from 'node:assert/strict'
import { type RequestOptions, request } from 'node:http'
import { test } from 'node:test'
import Fastify from 'fastify'
import { smsVerify } from '../src/plugin.ts'
import { countingApp, postText } from './counting-app.ts'
import { embedded, newPhone, start } from './helper.ts'
import { assertProblem } from './problem.ts'

const phone = '+8613800138000'

const OTHER_TYPES = [
  ...[
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
  ],
  ...['application/octet-stream', 'application/jsonp', 'application/json-seq', 'application/xml'],
  ...[
    'application/problem+json',
    'application/vnd.api+json',
    '*/*',
    'application/*',
    'json',
    'nonsense',
  ],
  ...[
    'application/json, text/plain',
    'text/plain, application/json',
    'text/plain; a=application/json',
  ],
  ...['application/json/', 'application//json', 'application /json', '', ' ', ';', '/'],
]

const JSON_TYPES = [
  ...[
    'application/json',
    'APPLICATION/JSON',
    'Application/Json',
    'application/json; charset=utf-8',
  ],
  ...[
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json ;x=y',
  ],
]

// What CVE-2025-32442, CVE-2026-25223 and CVE-2026-33806 went around the check with.
const ODD_JSON_TYPES = [
  ...[
    'application/json\t',
    'application/json\t; charset=utf-8',
    ' application/json',
    '\tapplication/json',
  ],
  ...['application/json;', 'application/json; ', 'application/json;;', 'application/json ; x'],
  ...['aPPLICATION/json\ta', 'application/json a', 'application/json\u00a0', 'application/\tjson'],
]

test('Another Content-Type answers 415 and nothing has happened.', async (t) => {
  const { app, operations, ended } = await countingApp(t)
  for (const url of ['/sms/send', '/sms/verify']) {
    for (const type of OTHER_TYPES) {
      for (const payload of [JSON.stringify({ phone }), `phone=${phone}`, 'x']) {
        const answer = await postText(app, url, payload, type)
        assert.equal(answer.statusCode, 415, `${url} ${type}`)
        assertProblem(answer, 415, 'SMS_VERIFY_INVALID_REQUEST')
      }
    }
    assertProblem(await app.inject({ method: 'POST', url }), 400, 'SMS_VERIFY_INVALID_REQUEST')
  }
  assert.equal(await ended(), 0)
  assert.equal(operations(), 0)
})

test('A wrong body under any spelling of the JSON type answers 400 or 415, never more.', async (t) => {
  const { app, operations, ended } = await countingApp(t)
  const port = Number(new URL(await app.listen({ port: 0 })).port)
  for (const type of [...JSON_TYPES, ...ODD_JSON_TYPES]) {
    for (const payload of ['{"phone":["+8613800138000"]}', '{}', '"x"', 'x', 'null']) {
      const answer = await postText(app, '/sms/send', payload, type)
      const { statusCode } = answer
      const about = `${JSON.stringify(type)} ${payload}`
      assert.ok(statusCode === 400 || statusCode === 415, `${about}: ${statusCode}`)
      assertProblem(answer, statusCode, 'SMS_VERIFY_INVALID_REQUEST')
      const headers = { 'content-type': Buffer.from(type).toString('latin1') }
      const { status } = await overSocket({ port, path: '/sms/send', headers }, [payload])
      assert.ok(status === 400 || status === 415, `${about} over a socket: ${status}`)
    }
  }
  assert.equal(await ended(), 0)
  assert.equal(operations(), 0)
})

test('A right body under a spelling of the JSON type is taken.', async (t) => {
  const { app } = await start(t, 'embedded')
  for (const type of JSON_TYPES) {
    const answer = await postText(app, '/sms/send', JSON.stringify({ phone: newPhone() }), type)
    assert.equal(answer.statusCode, 202, type)
  }
})

test('JSON in another charset than UTF-8 answers 415.', async (t) => {
  const { app } = await start(t, 'embedded')
  const send = (type: string) =>
    postText(app, '/sms/send', JSON.stringify({ phone: newPhone() }), type)
  for (const charset of [
    'utf-16',
    'latin1',
    'utf-7',
    'utf8x',
    '"utf-16"',
    'utf-16; charset=utf-8',
  ]) {
    const answer = await send(`application/json; charset=${charset}`)
    assertProblem(answer, 415, 'SMS_VERIFY_INVALID_REQUEST')
  }
  for (const charset of ['utf-8', 'UTF-8', '"utf-8"']) {
    assert.equal((await send(`application/json;Charset=${charset}`)).statusCode, 202)
  }
})

test('Parsers and validators of the host do not reach the routes.', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  app.addContentTypeParser('*', (_request, _payload, done) => done(null, { phone: newPhone() }))
  app.addContentTypeParser('application/x-www-form-urlencoded', (_request, _payload, done) =>
    done(null, { phone: newPhone() }),
  )
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', (_request, _payload, done) =>
    done(null, { phone: newPhone() }),
  )
  app.setValidatorCompiler(() => () => true)
  await app.register(smsVerify, embedded())
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'x/y']) {
    assertProblem(await postText(app, '/sms/send', 'x', type), 415, 'SMS_VERIFY_INVALID_REQUEST')
  }
  for (const body of ['{}', 'x', '{"phone":5}']) {
    const answer = await postText(app, '/sms/send', body, 'application/json')
    assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
  }
})

test('A host whose serializers know another kind of schema, as those of Zod do, gets our answers as they are.', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  app.setSerializerCompiler(
    ({ schema }) =>
      (data) =>
        JSON.stringify((schema as Zod).parse(data)),
  )
  const parse = () => ({ by: 'the host' })
  app.get('/own', { schema: { response: { 200: { parse } } } }, async () => ({}))
  await app.register(smsVerify, embedded())
  const sent = await postText(app, '/sms/send', JSON.stringify({ phone }), 'application/json')
  assert.equal(sent.statusCode, 202)
  const { id } = sent.json()
  const status = await app.inject(`/sms/${id}`)
  assert.equal(status.json().checksLeft, 5)
  const wrong = JSON.stringify({ id, code: 'x' })
  const answer = await postText(app, '/sms/verify', wrong, 'application/json')
  assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
  assert.deepEqual((await app.inject('/own')).json(), { by: 'the host' })
})

interface Zod {
  parse(data: unknown): unknown
}

test('A body of more than 2 KiB answers 413, however it comes, and nothing has happened.', async (t) => {
  const { app, operations, ended } = await countingApp(t)
  const address = await app.listen({ port: 0 })
  const port = Number(new URL(address).port)
  for (const path of ['/sms/send', '/sms/verify']) {
    const huge = JSON.stringify({ phone, locale: 'x'.repeat(2048) })
    assertProblem(
      await postText(app, path, huge, 'application/json'),
      413,
      'SMS_VERIFY_INVALID_REQUEST',
    )
    const spaces = `{"phone":"${phone}"${' '.repeat(2048)}}`
    assertProblem(
      await postText(app, path, spaces, 'application/json'),
      413,
      'SMS_VERIFY_INVALID_REQUEST',
    )
    const headers = { 'content-type': 'application/json' }
    const chunked = await overSocket({ port, path, headers }, [
      huge.slice(0, 1000),
      huge.slice(1000),
    ])
    assert.deepEqual([chunked.status, chunked.code], [413, 'SMS_VERIFY_INVALID_REQUEST'])
  }
  assert.equal(await ended(), 0)
  assert.equal(operations(), 0)
})

/** A POST in as many chunks as there are parts, as a client sends it that does not know the length. */
function overSocket(
  options: RequestOptions,
  parts: string[],
): Promise<{ status: number | undefined; code: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { method: 'POST', host: '127.0.0.1', agent: false, ...options },
      async (answer) => {
        let body = ''
        for await (const chunk of answer) body += chunk
        resolve({ status: answer.statusCode, code: JSON.parse(body).code })
      },
    )
    outgoing.on('error', reject)
    for (const part of parts) outgoing.write(part)
    outgoing.end()
  })
}
