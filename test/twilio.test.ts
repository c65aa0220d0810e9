import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { type TwilioOptions, twilioProvider } from '../src/providers/twilio.ts'
import {
  answer,
  answerJson,
  message,
  type Reply,
  testHttpProvider,
  type VendorRequest,
  vendorServer,
} from '../src/testing/index.ts'

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

const contentSid = 'HX0123456789abcdef0123456789abcdef'
const statusCallback = 'https://example.com/sms/twilio/status?x=1'

const settings = { accountSid, authToken, from }
const keySettings = { accountSid, apiKey, apiSecret, messagingServiceSid }
const accepted = { status: 201, body: JSON.stringify({ sid, status: 'queued', error_code: null }) }
const accept = answer(accepted.status, accepted.body)

for (const [kind, options] of [
  ['twilio with the auth token', settings],
  ['twilio with an API key', keySettings],
] as const) {
  testHttpProvider(kind, {
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

testHttpProvider('twilio with a Content template', {
  make: (baseUrl, fetch) =>
    twilioProvider({ ...settings, contentSid, baseUrl, ...(fetch && { fetch }) }),
  accepted,
  refused: (text) => ({ status: 400, body: JSON.stringify({ code: 21656, message: text }) }),
  codeIn: ({ body }) => JSON.parse(new URLSearchParams(body).get('ContentVariables') ?? '')[1],
  secrets: [accountSid, authToken],
})

const always = ['ValidityPeriod', 'Attempt']
const conditional = [
  'From',
  'MessagingServiceSid',
  'Body',
  'ContentSid',
  'ContentVariables',
  'StatusCallback',
  'ProvideFeedback',
]

const [withToken, withService, , withKey] = vectors.captures

for (const [capture, options] of [
  [withToken, { ...settings, statusCallback, feedback: true }],
  [withKey, { accountSid, apiKey, apiSecret, from, statusCallback, feedback: true }],
  [withService, { accountSid, authToken, messagingServiceSid, contentSid }],
] as const) {
  assert.ok(capture)
  const { peer, note, parsed } = capture
  test(`The request means what ${peer} sends for ${note}.`, async () => {
    const theirs = new URLSearchParams(parsed.body)
    const { requests } = await send(
      {
        phone: '+14155550100',
        text: theirs.get('Body') ?? '',
        code: '123456',
        expiresIn: 300,
        attempt: 1,
      },
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
    for (const field of [...conditional, 'To']) {
      assert.deepEqual(ours.getAll(field), theirs.getAll(field), field)
    }
    for (const field of always.filter((field) => theirs.has(field))) {
      assert.equal(ours.get(field), theirs.get(field), field)
    }
    const known = [...conditional, ...always, 'To']
    assert.ok([...ours.keys()].every((field) => known.includes(field)))
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

for (const [contentVariables, expected] of [
  [undefined, { 1: '012345' }],
  [
    { 1: '{code}', 2: '{minutes}' },
    { 1: '012345', 2: '5' },
  ],
  [
    { otp: 'Code {code}', again: '{code}' },
    { otp: 'Code 012345', again: '012345' },
  ],
] as const) {
  test(`The variables ${JSON.stringify(contentVariables)} get the code and the minutes.`, async () => {
    const { requests } = await send({}, { ...settings, contentSid, contentVariables })
    const form = new URLSearchParams(requests[0]?.body)
    assert.deepEqual(JSON.parse(form.get('ContentVariables') ?? ''), expected)
    assert.equal(form.has('Body'), false)
  })
}

const contentOf = (digit: string) => `HX${digit.repeat(32)}`
const byLocale = {
  de: { login: contentOf('1'), default: contentOf('2') },
  en: contentOf('3'),
}

for (const [fields, digit] of [
  [{ locales: ['de-AT'], purpose: 'login' }, '1'],
  [{ locales: ['de'], purpose: 'signup' }, '2'],
  [{ locales: [], country: 'DE', purpose: 'login' }, '1'],
  [{ locales: ['fr'], country: 'FR' }, '3'],
  [{ locales: ['__proto__'], country: 'CN' }, '3'],
] as const) {
  test(`Of several templates, ${JSON.stringify(fields)} gets the one for it.`, async () => {
    const given = { ...fields, locales: [...fields.locales] }
    const { requests } = await send(given, { ...settings, contentSid: byLocale })
    const form = new URLSearchParams(requests[0]?.body)
    assert.equal(form.get('ContentSid'), contentOf(digit))
  })
}

test('It says of itself that it sends the text, or a template where it has one.', () => {
  assert.equal(twilioProvider(settings).text, undefined)
  assert.equal(twilioProvider({ ...settings, contentSid }).text, 'template')
})

for (const url of [
  'http://example.com/a',
  'https://user:secret@example.com:8443/a_b?c=_#rc=2',
  `https://example.com/${'a'.repeat(4000 - 'https://example.com/'.length)}`,
]) {
  test(`A status callback may be ${url.slice(0, 60)}, of ${url.length} characters.`, async () => {
    const { requests } = await send({}, { ...settings, statusCallback: url })
    assert.equal(new URLSearchParams(requests[0]?.body).get('StatusCallback'), url)
  })
}

test('Without them, nothing is said of status callback and feedback.', async () => {
  const { requests } = await send({}, { ...settings, feedback: false })
  const form = new URLSearchParams(requests[0]?.body)
  assert.deepEqual([form.has('StatusCallback'), form.has('ProvideFeedback')], [false, false])
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
const noCallback =
  'twilioProvider: statusCallback: expected an http(s) address of at most 4000 characters without _ in the host, got another string'
const mistakes: [Record<string, unknown>, string][] = [
  [
    { ...settings, contentSid: messagingServiceSid },
    'twilioProvider: contentSid: expected HX and 32 hex digits, got another string',
  ],
  [{ ...settings, contentSid: null }, 'twilioProvider: contentSid: expected a string, got null'],
  [
    { ...settings, contentSid: { en: 'x' } },
    'twilioProvider: contentSid.en: expected HX and 32 hex digits, got another string',
  ],
  ...[{}, { zh: contentSid }, { 'en-US': contentSid }].map(
    (choices): [Record<string, unknown>, string] => [
      { ...settings, contentSid: choices },
      'twilioProvider: contentSid: expected one for en, for all others, got none',
    ],
  ),
  [
    { ...settings, contentVariables: { 1: '{code}' } },
    'twilioProvider: contentVariables: expected contentSid with it, got none',
  ],
  [
    { ...settings, contentSid, contentVariables: { 1: '{minutes}' } },
    'twilioProvider: contentVariables: expected a variable with {code}, got none',
  ],
  [
    { ...settings, contentSid, contentVariables: { 1: '{code}', 2: '{phone}' } },
    'twilioProvider: contentVariables.2: expected {code} and {minutes} only, got another string',
  ],
  [
    { ...settings, contentSid, contentVariables: null },
    'twilioProvider: contentVariables: expected the variables of the template, got another type',
  ],
  ...[
    'example.com/status',
    'ftp://example.com/status',
    'https:example.com',
    'https://my_host.example.com/status',
    `https://example.com/${'a'.repeat(4001 - 'https://example.com/'.length)}`,
    'https://[',
  ].map((url): [Record<string, unknown>, string] => [
    { ...settings, statusCallback: url },
    noCallback,
  ]),
  [
    { ...settings, statusCallback: new URL(statusCallback) },
    'twilioProvider: statusCallback: expected a string, got object',
  ],
  [{ ...settings, feedback: 'true' }, 'twilioProvider: feedback: expected a boolean, got string'],
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
