import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Receipt } from '../src/receipts/receipt.ts'
import { signTwilio, type TwilioReceiptsOptions, twilioReceipts } from '../src/receipts/twilio.ts'
import {
  answer,
  answerJson,
  hang,
  type Reply,
  testReceiptSource,
  vendorServer,
} from '../src/testing/index.ts'
import { twilio } from './twilio-library.ts'

type Fields = Record<string, string | string[]>

const vectors: {
  captures: {
    note: string
    parsed: { requestLine: string; headers: [string, string][]; body: string }
  }[]
  signatures: { name: string; authToken: string; url: string; params: Fields; signature: string }[]
  jsonBody: { authToken: string; url: string; signature: string }
  statuses: { enum: string[] }
  codes: [code: string, source: string, listed: string, meaning: string][]
} = JSON.parse(readFileSync(new URL('vectors/twilio-vectors.json', import.meta.url), 'utf8'))

const { getExpectedTwilioSignature, validateRequest } = twilio

const accountSid = 'AC0123456789abcdef0123456789abcdef'
const authToken = '0123456789abcdef0123456789abcdef'
const apiKey = 'SK00000000000000000000000000000001'
const apiSecret = 'apikeysecret'
const url = 'https://sms.example.com/sms/receipts/twilio?tenant=a%20b'
const settings = { accountSid, authToken, url }
const sid = 'SM0123456789abcdef0123456789abcdef'

const delivered = {
  AccountSid: accountSid,
  ApiVersion: '2010-04-01',
  From: '+14155550199',
  MessageSid: sid,
  MessageStatus: 'delivered',
  RawDlrDoneDate: '2401020304',
  SmsSid: sid,
  SmsStatus: 'delivered',
  To: '+8613800138000',
}
const receipt = { messageId: sid, state: 'delivered' }

// One that is not, as in the vectors, part of the message's id.
const ownToken = 'a-token-of-its-own'

const called = (fields: Fields) => {
  const form = formOf({ ...delivered, ...fields })
  const headers = { 'x-twilio-signature': signTwilio(ownToken, url, form) }
  return { url: '/sms/receipts/twilio', headers, body: form.toString() }
}

testReceiptSource('twilio', {
  make: () => twilioReceipts({ ...settings, authToken: ownToken, feedback: true }),
  delivered: called({}),
  failed: called({ MessageStatus: 'undelivered', ErrorCode: '30005' }),
  interim: ['queued', 'sending', 'sent'].map((MessageStatus) => called({ MessageStatus })),
  secrets: [ownToken, delivered.To, delivered.From],
})

for (const { name, ...vector } of vectors.signatures) {
  test(`The signature is that of the vector "${name}", and a request with it is believed.`, () => {
    const form = formOf(vector.params)
    assert.equal(signTwilio(vector.authToken, vector.url, form), vector.signature)
    assert.notEqual(read(form, { ...settings, ...vector }, vector.signature), 'forged')
  })
}

test('The signature is that of the vector of a JSON body, whose hash is in the URL.', () => {
  const { jsonBody } = vectors
  const none = new URLSearchParams()
  assert.equal(signTwilio(jsonBody.authToken, jsonBody.url, none), jsonBody.signature)
})

const odd: Fields = {
  ...delivered,
  Note: '您好 +&=%\n"😀"',
  Empty: '',
  MediaUrl: ['b', 'a', 'a'],
  Z: '1',
  a: '2',
  B: '3',
  é: '4',
  '10': '5',
  '9': '6',
}
const addresses = [
  url,
  'http://sms.example.com/x',
  'https://sms.example.com:8443/x?a=1&b=2',
  'https://sms.example.com',
  'https://user:secret@sms.example.com/x',
  'https://[2001:db8::1]/x',
  "https://sms.example.com/it's/ä?q='",
]

for (const address of addresses) {
  test(`The vendor's library and ours believe each other for ${address}.`, () => {
    const options = { ...settings, url: address }
    const theirs = getExpectedTwilioSignature(authToken, address, odd)
    assert.deepEqual(read(formOf(odd), options, theirs), [receipt])
    const ours = signTwilio(authToken, address, formOf(odd))
    assert.equal(ours, theirs)
    assert.equal(validateRequest(authToken, ours, address, odd), true)
  })
}

for (const [configured, signed] of [
  ['https://sms.example.com/x', 'https://sms.example.com:443/x'],
  ['http://sms.example.com/x', 'http://sms.example.com:80/x'],
  ['https://sms.example.com:443/x', 'https://sms.example.com/x'],
  ['https://sms.example.com:8443/x', 'https://sms.example.com/x'],
  ['https://u:p@sms.example.com/x', 'https://u:p@sms.example.com:443/x'],
  ['https://[2001:db8::1]/x', 'https://[2001:db8::1]:443/x'],
  ['https://sms.example.com', 'https://sms.example.com/'],
  ['https://sms.example.com/ä', 'https://sms.example.com/%C3%A4'],
] as const) {
  test(`For ${configured} a signature over ${signed} is believed, as by the vendor's library.`, () => {
    const signature = getExpectedTwilioSignature(authToken, signed, delivered)
    assert.equal(validateRequest(authToken, signature, configured, delivered), true)
    const options = { ...settings, url: configured }
    assert.deepEqual(read(formOf(delivered), options, signature), [receipt])
  })
}

test('A fragment, which tells Twilio how to call, may be signed or not.', () => {
  const options = { ...settings, url: `${url}#rc=2&rp=all` }
  for (const signed of [options.url, url]) {
    const signature = signTwilio(authToken, signed, formOf(delivered))
    assert.deepEqual(read(formOf(delivered), options, signature), [receipt])
  }
})

for (const [title, signed] of [
  ['another path', 'https://sms.example.com/sms/receipts/other'],
  ['another query', 'https://sms.example.com/sms/receipts/twilio?tenant=c'],
  ['no query', 'https://sms.example.com/sms/receipts/twilio'],
  ['another host', 'https://evil.example.com/sms/receipts/twilio?tenant=a%20b'],
  ['plain HTTP', url.replace('https', 'http')],
  ['another port', url.replace('.com/', '.com:8443/')],
] as const) {
  test(`A signature over ${title} is forged.`, () => {
    const signature = signTwilio(authToken, signed, formOf(delivered))
    assert.equal(read(formOf(delivered), settings, signature), 'forged')
  })
}

test('A field that is added, left out, changed or given another value is forged.', () => {
  const signature = signTwilio(authToken, url, formOf(delivered))
  const { RawDlrDoneDate, ...without } = delivered
  for (const fields of [
    { ...delivered, Added: '' },
    { ...delivered, Added: 'x' },
    without,
    { ...delivered, MessageStatus: 'failed' },
    { ...delivered, MessageStatus: ['delivered', 'failed'] },
    {},
  ]) {
    assert.equal(read(formOf(fields), settings, signature), 'forged')
  }
})

test('A signature that is missing, cut, longer, in other characters or by another token is forged.', () => {
  const good = signTwilio(authToken, url, formOf(delivered))
  for (const signature of [
    undefined,
    '',
    good.slice(0, -1),
    `${good} `,
    good.toLowerCase(),
    'é'.repeat(14),
    'x'.repeat(28),
    signTwilio(`${authToken}0`, url, formOf(delivered)),
    signTwilio('', url, formOf(delivered)),
    [good],
  ]) {
    const headers = { 'x-twilio-signature': signature as string }
    const body = formOf(delivered).toString()
    assert.equal(twilioReceipts(settings).read({ url: '/', headers, body }), 'forged')
  }
})

test('Host and path of the request count for nothing.', () => {
  const evil = 'https://evil.example.com/sms/receipts/twilio'
  const headers = {
    host: 'evil.example.com',
    'x-forwarded-host': 'evil.example.com',
    'x-twilio-signature': signTwilio(authToken, evil, formOf(delivered)),
  }
  const body = formOf(delivered).toString()
  const { read: readThere } = twilioReceipts(settings)
  assert.equal(readThere({ url: '/sms/receipts/twilio', headers, body }), 'forged')
})

test('While the token is being changed both are believed, and no third.', () => {
  const options = { ...settings, authToken: ['new', 'old'] }
  for (const [token, expected] of [
    ['new', [receipt]],
    ['old', [receipt]],
    ['older', 'forged'],
  ] as const) {
    const signature = signTwilio(token, url, formOf(delivered))
    assert.deepEqual(read(formOf(delivered), options, signature), expected)
  }
})

test('Of all statuses, delivered is a delivery, undelivered and failed are failures, the others no receipt.', () => {
  assert.ok(vectors.statuses.enum.length > 10)
  for (const status of [...vectors.statuses.enum, 'unheard-of', '']) {
    const states = (signed({ MessageStatus: status }) as Receipt[]).map(({ state }) => state)
    const failed = status === 'undelivered' || status === 'failed'
    const expected = status === 'delivered' ? ['delivered'] : failed ? ['failed'] : []
    assert.deepEqual(states, expected, status)
  }
})

const REASONS: Record<string, string> = {
  permanent_recipient: 'recipient',
  rate_recipient: 'rate',
  fraud_block: 'blocked',
  expired: 'late',
}

test('Every code of the list has the reason of its class.', () => {
  const codes = vectors.codes.filter(([, source]) => source !== 'verify_only')
  assert.ok(codes.length > 40)
  for (const [code, , listed] of codes) {
    const reason = code === '30003' ? 'recipient' : (REASONS[listed] ?? 'provider')
    const failed = { messageId: sid, state: 'failed', reason, code }
    assert.deepEqual(signed({ MessageStatus: 'undelivered', ErrorCode: code }), [failed], code)
  }
})

test('A failure without a code, or with what is none, is the provider’s and shows nothing.', () => {
  const failed = { messageId: sid, state: 'failed', reason: 'provider' }
  for (const ErrorCode of [[], '', '3000', '138001380000', 'sent to +8613800138000']) {
    assert.deepEqual(signed({ MessageStatus: 'failed', ErrorCode }), [failed])
  }
  const unknown = { ...failed, code: '39999' }
  assert.deepEqual(signed({ MessageStatus: 'failed', ErrorCode: '39999' }), [unknown])
})

test('A signed request that is no status callback is malformed.', () => {
  for (const fields of [
    { MessageSid: [] },
    { MessageSid: 'SM1' },
    { MessageSid: accountSid },
    { MessageSid: `${sid}0` },
    { MessageStatus: [] },
  ]) {
    assert.equal(signed(fields), 'malformed', JSON.stringify(fields))
  }
  assert.deepEqual(signed({ MessageSid: sid.replace('SM', 'MM') }), [
    { ...receipt, messageId: sid.replace('SM', 'MM') },
  ])
})

test('Junk is forged and never throws.', () => {
  const { read: readThere } = twilioReceipts(settings)
  for (const body of [
    '',
    '%',
    '%zz=%',
    '&&&===',
    '{"MessageSid":1}',
    '\0\uD800',
    'a'.repeat(1e5),
  ]) {
    for (const signature of ['', 'x', '\0', 'a'.repeat(1e5)]) {
      const headers = { 'x-twilio-signature': signature }
      assert.equal(readThere({ url: '\0', headers, body }), 'forged')
    }
  }
})

test('A forged form of very many fields takes no long time.', { timeout: 10_000 }, () => {
  const headers = { 'x-twilio-signature': 'x'.repeat(28) }
  const distinct = Array.from({ length: 40_000 }, (_, index) => index.toString(36)).join('&')
  const repeated = Array.from({ length: 40_000 }, (_, index) => `a=${index.toString(36)}`).join('&')
  for (const body of [distinct, repeated, '&'.repeat(256 * 1024)]) {
    assert.equal(twilioReceipts(settings).read({ url: '/', headers, body }), 'forged')
  }
})

test('It is about the provider twilio, needs no token, and wants an empty answer.', () => {
  const source = twilioReceipts(settings)
  assert.deepEqual(Object.keys(source), ['provider', 'read'])
  assert.equal(source.provider, 'twilio')
  const shown = JSON.stringify(twilioReceipts({ ...settings, feedback: true }))
  assert.ok(!shown.includes(authToken))
})

test('That a code was entered is told as the vendor’s client tells it.', async () => {
  const capture = vectors.captures.find(({ note }) => note.includes('feedback'))
  assert.ok(capture)
  await using vendor = await vendorServer(answerJson(200, { outcome: 'confirmed' }))
  const source = twilioReceipts({ ...settings, feedback: true, baseUrl: vendor.url })
  await source.confirm?.(sid, { signal: AbortSignal.timeout(5000) })
  const [request] = vendor.requests
  assert.ok(request)
  assert.equal(`${request.method} ${request.path} HTTP/1.1`, capture.parsed.requestLine)
  assert.equal(request.body, capture.parsed.body)
  const theirs = new Map(capture.parsed.headers)
  for (const name of ['Accept', 'Content-Type', 'Authorization']) {
    assert.equal(request.headers[name.toLowerCase()], theirs.get(name))
  }
})

for (const [title, options, credentials] of [
  ['the API key, if there is one', { apiKey, apiSecret }, `${apiKey}:${apiSecret}`],
  ['the first of several tokens', { authToken: ['new', 'old'] }, `${accountSid}:new`],
] as const) {
  test(`It is told in the name of ${title}.`, async () => {
    await using vendor = await vendorServer(answer(201, ''))
    const given = { ...settings, ...options, feedback: true, baseUrl: vendor.url }
    const source = twilioReceipts(given as TwilioReceiptsOptions)
    await source.confirm?.(sid, { signal: AbortSignal.timeout(5000) })
    const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
    assert.equal(vendor.requests[0]?.headers.authorization, authorization)
  })
}

for (const [reply, says] of [
  [answerJson(404, { code: 20404, message: sid }), 'HTTP 404'],
  [answerJson(401, { code: 20003, message: authToken }), 'HTTP 401'],
  [answer(500, '<html>'), 'HTTP 500'],
] as const) {
  test(`A confirmation that is refused rejects with "${says}" and nothing else.`, async () => {
    await assert.rejects(confirmed(reply), { message: `twilio: feedback: ${says}` })
  })
}

test('A confirmation that is not answered ends with its signal.', async () => {
  const signal = AbortSignal.timeout(50)
  await assert.rejects(confirmed(hang, sid, signal), /^Error: twilio: feedback: \w+$/)
})

test('What is no id of a message is not put into a path.', async () => {
  for (const id of ['', '../Calls', accountSid, `${sid}/x`]) {
    const expected = { message: 'twilio: feedback: not the id of a message' }
    await assert.rejects(confirmed(answer(200, ''), id), expected)
  }
})

const noUrl =
  'url: expected an http(s) address of at most 4000 characters without _ in the host, got another string'
const mistakes: [Record<string, unknown>, string][] = [
  [{ accountSid: apiKey }, 'accountSid: expected AC and 32 hex digits, got another string'],
  [{ authToken: undefined }, 'authToken: expected a string, got undefined'],
  [{ authToken: '' }, 'authToken: expected a string without blanks, got an empty string'],
  [{ authToken: [] }, 'authToken: expected at least one, got none'],
  [{ authToken: ['new', 7] }, 'authToken: expected a string, got number'],
  [{ url: undefined }, 'url: expected a string, got undefined'],
  [{ url: '/sms/receipts/twilio' }, noUrl],
  [{ url: 'https://my_host.example.com/' }, noUrl],
  [{ apiKey }, 'apiSecret: expected a string, got undefined'],
  [{ apiSecret }, 'apiKey: expected a string, got undefined'],
  [{ feedback: 'true' }, 'feedback: expected a boolean, got string'],
  [
    { baseUrl: 'api.twilio.com' },
    'baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
  ],
]

for (const [mistake, text] of mistakes) {
  test(`The settings ${JSON.stringify(mistake)} are refused at the start: ${text}.`, () => {
    const options = { ...settings, ...mistake } as TwilioReceiptsOptions
    const expected = { name: 'TypeError', message: `twilioReceipts: ${text}` }
    assert.throws(() => twilioReceipts(options), expected)
  })
}

/** As Twilio sends it: a field with several values is repeated. */
function formOf(fields: Fields): URLSearchParams {
  return new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) => [value].flat().map((each) => [name, each])),
  )
}

function read(form: URLSearchParams, options: TwilioReceiptsOptions, signature: string): unknown {
  const headers = { 'x-twilio-signature': signature }
  return twilioReceipts(options).read({ url: '/anything', headers, body: form.toString() })
}

/** What is read from a delivery with other fields, signed by the vendor's library. */
function signed(fields: Fields): unknown {
  const given = { ...delivered, ...fields }
  const present = Object.fromEntries(
    Object.entries(given).filter(([, value]) => !Array.isArray(value) || value.length > 0),
  )
  const signature = getExpectedTwilioSignature(authToken, url, present)
  return read(formOf(present), settings, signature)
}

async function confirmed(reply: Reply, id = sid, signal = AbortSignal.timeout(5000)) {
  await using vendor = await vendorServer(reply)
  const source = twilioReceipts({ ...settings, feedback: true, baseUrl: vendor.url })
  assert.ok(source.confirm)
  await source.confirm(id, { signal })
}
