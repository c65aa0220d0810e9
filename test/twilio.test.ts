import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { type TwilioOptions, twilioProvider } from '../src/providers/twilio.ts'
import { message, testProvider } from './provider-contract.ts'
import {
  answer,
  answerJson,
  type Reply,
  type VendorRequest,
  vendorServer,
} from './vendor-server.ts'

interface Vectors {
  captures: {
    peer: string
    note: string
    parsed: { requestLine: string; headers: [string, string][]; body: string }
  }[]
  errorBody: string
  codes: [string, string, string, string][]
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('vectors/twilio-vectors.json', import.meta.url), 'utf8'),
)

const accountSid = 'AC0123456789abcdef0123456789abcdef'
const authToken = '0123456789abcdef0123456789abcdef'
const apiKey = 'SK00000000000000000000000000000001'
const apiSecret = 'apikeysecret'
const from = '+14155550199'
const messagingServiceSid = 'MG0123456789abcdef0123456789abcdef'
const sid = 'SMfedcba9876543210fedcba9876543210'

const settings = { accountSid, authToken, from }
const keySettings = { accountSid, apiKey, apiSecret, messagingServiceSid }
const accepted = { status: 201, body: JSON.stringify({ sid, status: 'queued', error_code: null }) }
const accept = answer(accepted.status, accepted.body)

for (const [kind, options] of [
  ['twilio with the auth token', settings],
  ['twilio with an API key', keySettings],
] as const) {
  testProvider(kind, {
    make: (baseUrl, fetch) => twilioProvider({ ...options, baseUrl, ...(fetch && { fetch }) }),
    accepted,
    refused: (text) => ({
      status: 400,
      body: JSON.stringify({ code: 21211, message: text, more_info: text, status: 400 }),
    }),
    codeIn: ({ body }) => /\d{6}/.exec(new URLSearchParams(body).get('Body') ?? '')?.[0],
    secrets: [accountSid, authToken, apiKey, apiSecret],
  })
}

const [withToken, withService, , withKey] = vectors.captures

for (const [capture, options] of [
  [withToken, settings],
  [withKey, { accountSid, apiKey, apiSecret, from }],
  [withService, { accountSid, authToken, messagingServiceSid }],
] as const) {
  assert.ok(capture)
  const { peer, note, parsed } = capture
  test(`The request means what ${peer} sends for ${note}.`, async () => {
    const theirs = new URLSearchParams(parsed.body)
    const { requests } = await send(
      { phone: '+14155550100', text: theirs.get('Body') ?? '', expiresIn: 300, attempt: 1 },
      options,
    )
    assert.ok(requests[0])
    const { method, path, headers, body } = requests[0]
    assert.equal(`${method} ${path} HTTP/1.1`, parsed.requestLine)
    for (const name of ['Accept', 'Content-Type', 'Authorization']) {
      const value = parsed.headers.find(([key]) => key === name)?.[1]
      assert.equal(headers[name.toLowerCase()], value)
    }
    const ours = new URLSearchParams(body)
    const shared = ['To', 'From', 'MessagingServiceSid', 'Body', 'ValidityPeriod', 'Attempt']
    for (const field of shared.filter((field) => theirs.has(field))) {
      assert.deepEqual(ours.getAll(field), theirs.getAll(field), field)
    }
    assert.ok([...ours.keys()].every((field) => shared.includes(field)))
    assert.equal(ours.has('From'), theirs.has('From'))
    assert.equal(ours.has('MessagingServiceSid'), theirs.has('MessagingServiceSid'))
  })
}

test('Text with every kind of character arrives as it is.', async () => {
  const text = '验证码 1 + 1 = 2 & 100% "é" 😀 ~*\'()!\n@example.com #012345'
  const { requests } = await send({ text })
  const { body = '' } = requests[0] ?? {}
  assert.equal(new URLSearchParams(body).get('Body'), text)
  assert.match(body, /To=%2B8613800138000/)
})

test('ValidityPeriod is what is left of the code, in whole seconds from 1 to 36000.', async () => {
  for (const [expiresIn, period] of [
    [290, '290'],
    [290.9, '290'],
    [0.4, '1'],
    [-3, '1'],
    [36_000, '36000'],
    [86_400, '36000'],
  ] as const) {
    const { requests } = await send({ expiresIn })
    assert.equal(new URLSearchParams(requests[0]?.body).get('ValidityPeriod'), period)
  }
})

test('Attempt is the try of the consumer.', async () => {
  const { requests } = await send({ attempt: 3 })
  assert.equal(new URLSearchParams(requests[0]?.body).get('Attempt'), '3')
})

test('An acceptance tells the id of the message.', async () => {
  for (const id of [sid, sid.replace('SM', 'MM')]) {
    const { outcome } = await send({}, settings, answerJson(201, { sid: id }))
    assert.deepEqual(outcome, { class: 'ok', messageId: id })
  }
})

test('HTTP 201 without a readable id is ambiguous.', async () => {
  for (const body of ['', '<html>', '{}', '{"sid":null}', '{"sid":1}', '{"sid":"AC12"}']) {
    const { outcome } = await send({}, settings, answer(201, body))
    assert.deepEqual(outcome, { class: 'ambiguous' })
  }
})

test('The example of an error body is understood.', async () => {
  const { outcome } = await send({}, settings, answer(400, vectors.errorBody))
  assert.deepEqual(outcome, { class: 'permanent_recipient', code: '21211' })
})

const classes = [
  'retry',
  'ambiguous',
  'rate_recipient',
  'permanent_recipient',
  'permanent_request',
  'account',
  'fraud_block',
]

test('Every code of the list has the outcome of the list, whatever the HTTP status.', async () => {
  await using vendor = await vendorServer(accept)
  const provider = twilioProvider({ ...settings, baseUrl: vendor.url })
  for (const [code, , listed] of vectors.codes.filter(([, , name]) => classes.includes(name))) {
    for (const status of [400, 401, 404, 429, 500, 503]) {
      vendor.reply = answerJson(status, { code: Number(code), message: 'text', status })
      const outcome = await provider.send(message, { signal: AbortSignal.timeout(5000) })
      const alert = listed === 'account' ? { alert: true } : {}
      assert.deepEqual(outcome, { class: listed, code, ...alert }, code)
    }
  }
})

test('Every code that can answer a request is in the list of known classes.', () => {
  const answers = vectors.codes.filter(([, source]) => source === 'api' || source === 'api+async')
  assert.ok(answers.length > 30)
  for (const [code, , listed] of answers) assert.ok(classes.includes(listed), code)
})

test('A code without a class of its own is judged by the HTTP status.', async () => {
  const others = vectors.codes.filter(([, , name]) => !classes.includes(name))
  assert.ok(others.length > 0)
  for (const [code] of others) {
    const { outcome } = await send({}, settings, answerJson(400, { code: Number(code) }))
    assert.deepEqual(outcome, { class: 'permanent_request', code })
  }
})

test('An unknown 21xxx refuses the request, whatever the HTTP status.', async () => {
  for (const status of [400, 403, 500]) {
    const { outcome } = await send({}, settings, answerJson(status, { code: 21999 }))
    assert.deepEqual(outcome, { class: 'permanent_request', code: '21999' })
  }
})

test('An unknown code is told and judged by the HTTP status.', async () => {
  for (const [status, name] of [
    [400, 'permanent_request'],
    [429, 'retry'],
    [500, 'ambiguous'],
  ] as const) {
    const { outcome } = await send({}, settings, answerJson(status, { code: 63999 }))
    assert.deepEqual(outcome, { class: name, code: '63999' })
  }
})

test('Without a code of Twilio the HTTP status decides.', async () => {
  for (const [status, name] of [
    [400, 'permanent_request'],
    [404, 'permanent_request'],
    [422, 'permanent_request'],
    [429, 'retry'],
    [500, 'ambiguous'],
    [503, 'ambiguous'],
  ] as const) {
    for (const body of ['', '<html>', '{}', '{"code":"21211"}', '{"code":138001380000}']) {
      const { outcome } = await send({}, settings, answer(status, body))
      assert.deepEqual(outcome, { class: name, code: `HTTP_${status}` })
    }
  }
  for (const status of [401, 403]) {
    const { outcome } = await send({}, settings, answer(status, ''))
    assert.deepEqual(outcome, { class: 'account', code: `HTTP_${status}`, alert: true })
  }
})

test('It says of itself that it is not idempotent.', () => {
  const { name, idempotent } = twilioProvider(settings)
  assert.deepEqual({ name, idempotent }, { name: 'twilio', idempotent: false })
})

const oneCredential = 'twilioProvider: expected exactly one of authToken and apiKey with apiSecret'
const oneSender = 'twilioProvider: expected exactly one of from and messagingServiceSid'
const mistakes: [Record<string, unknown>, string][] = [
  [{ from }, 'twilioProvider: accountSid: expected a string, got undefined'],
  [
    { accountSid: apiKey, authToken, from },
    'twilioProvider: accountSid: expected AC and 32 hex digits, got another string',
  ],
  [{ accountSid, from }, oneCredential],
  [{ accountSid, authToken, apiKey, apiSecret, from }, oneCredential],
  [{ accountSid, authToken, apiSecret, from }, oneCredential],
  [
    { accountSid, authToken: '', from },
    'twilioProvider: authToken: expected a string without blanks, got an empty string',
  ],
  [{ accountSid, apiKey, from }, 'twilioProvider: apiSecret: expected a string, got undefined'],
  [{ accountSid, apiSecret, from }, 'twilioProvider: apiKey: expected a string, got undefined'],
  [
    { accountSid, apiKey: accountSid, apiSecret, from },
    'twilioProvider: apiKey: expected SK and 32 hex digits, got another string',
  ],
  [{ accountSid, authToken }, oneSender],
  [{ accountSid, authToken, from, messagingServiceSid }, oneSender],
  [
    { accountSid, authToken, messagingServiceSid: from },
    'twilioProvider: messagingServiceSid: expected MG and 32 hex digits, got another string',
  ],
  [
    { accountSid, authToken, from: ' ' },
    'twilioProvider: from: expected a number, a short code or a sender name, got another string',
  ],
  [
    { ...settings, baseUrl: 'api.twilio.com' },
    'twilioProvider: baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
  ],
]

for (const [options, text] of mistakes) {
  const given = Object.keys(options).join(', ')
  test(`The settings ${given} are refused at the start: ${text.replace(/^.*?: /, '')}.`, () => {
    assert.throws(() => twilioProvider(options as unknown as TwilioOptions), {
      name: 'TypeError',
      message: text,
    })
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: TwilioOptions = settings,
  reply: Reply = accept,
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using vendor = await vendorServer(reply)
  const provider = twilioProvider({ ...options, baseUrl: vendor.url })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, ...fields }, { signal }),
    requests: vendor.requests,
  }
}
