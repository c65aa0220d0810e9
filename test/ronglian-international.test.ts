import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { providerChain } from '../src/providers/chain.ts'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { ronglianProvider } from '../src/providers/ronglian.ts'
import {
  type RonglianInternationalOptions,
  ronglianInternationalProvider,
} from '../src/providers/ronglian-international.ts'
import {
  answerJson,
  message,
  type Reply,
  testHttpProvider,
  type VendorRequest,
  vendorServer,
} from '../src/testing/index.ts'

const vectors: {
  sign: {
    name: string
    accountSid: string
    authToken: string
    timestamp: string
    sig: string
    authorization: string
  }[]
} = JSON.parse(readFileSync(new URL('vectors/ronglian-vectors.json', import.meta.url), 'utf8'))

const accountSid = '8a48b55100000000000000000000aaaa'
const appId = '8a48b55100000000000000000000bbbb'
const authToken = '0123456789abcdef0123456789abcdef'
const settings = { accountSid, authToken, appId }
const phone = '+60181234567'
const accepted = { statusCode: '000000' }

testHttpProvider('ronglian-international', {
  make: (baseUrl, fetch) =>
    ronglianInternationalProvider({ ...settings, baseUrl, ...(fetch && { fetch }) }),
  message: { phone, country: 'MY' },
  accepted: { status: 200, body: JSON.stringify(accepted) },
  refused: (text) => ({
    status: 200,
    body: JSON.stringify({ statusCode: '160042', statusMsg: text }),
  }),
  codeIn: ({ body }) => /\d{6}/.exec(JSON.parse(body).content)?.[0],
  secrets: [accountSid, authToken],
})

test('The request has the path and the three fields of the international API, and no other.', async () => {
  const { requests } = await send({ text: '容联云国际短信测试' })
  assert.match(
    requests[0]?.path ?? '',
    new RegExp(`^/v2/account/${accountSid}/international/send\\?sig=[0-9A-F]{32}$`),
  )
  assert.deepEqual(JSON.parse(requests[0]?.body ?? ''), {
    appId,
    mobile: '0060181234567',
    content: '容联云国际短信测试',
  })
  assert.equal(requests[0]?.headers.accept, 'application/json')
  assert.equal(requests[0]?.headers['content-type'], 'application/json;charset=utf-8')
})

for (const { name, ...vector } of vectors.sign) {
  test(`The signature is that of the vector "${name}".`, async () => {
    const [, y, mo, d, h, mi, s] =
      /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(vector.timestamp) ?? []
    const now = () => Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}+08:00`)
    const { requests } = await send({}, { ...vector, appId, now })
    assert.match(requests[0]?.path ?? '', new RegExp(`\\?sig=${vector.sig}$`))
    assert.equal(requests[0]?.headers.authorization, vector.authorization)
  })
}

for (const [given, mobile] of [
  ['+14155550100', '0014155550100'],
  ['+85251234567', '0085251234567'],
  ['+886912345678', '00886912345678'],
] as const) {
  test(`${given} is sent to as ${mobile}.`, async () => {
    const { requests } = await send({ phone: given })
    assert.equal(JSON.parse(requests[0]?.body ?? '').mobile, mobile)
  })
}

test('A number of mainland China causes no call.', async () => {
  for (const mainland of ['+8613800138000', '+861012345678']) {
    const { outcome, requests } = await send({ phone: mainland })
    assert.deepEqual(outcome, { class: 'permanent_request', code: 'MAINLAND' })
    assert.equal(requests.length, 0)
  }
})

test('In a chain, each of the two of Ronglian is asked where it sends.', () => {
  const home = ronglianProvider({ ...settings, templateId: '1' })
  const chain = providerChain({ routes: { '*': [home, ronglianInternationalProvider(settings)] } })
  const asked = (country: string) => chain.order({ ...message, country }).map(({ name }) => name)
  assert.deepEqual(asked('CN'), ['ronglian'])
  for (const country of ['HK', 'TW', 'US']) {
    assert.deepEqual(asked(country), ['ronglian-international'])
  }
})

for (const [signName, text, content] of [
  [undefined, 'Your code', 'Your code'],
  ['Acme', 'Your code', '【Acme】Your code'],
  ['Acme', '【Other】Your code', '【Other】Your code'],
  [undefined, '【Other】Your code', '【Other】Your code'],
  ['云 通讯', 'Your code 【1】', '【云 通讯】Your code 【1】'],
] as const) {
  test(`With the name ${signName}, "${text}" is sent as "${content}".`, async () => {
    const { requests } = await send({ text }, { ...settings, signName })
    assert.equal(JSON.parse(requests[0]?.body ?? '').content, content)
  })
}

test('The id of the message is read wherever the answer has it.', async () => {
  const smsMessageSid = 'ff8080813c373cab013c94b0f0512345'
  for (const answer of [{ smsMessageSid }, { data: { smsMessageSid } }]) {
    const { outcome } = await send({}, settings, answerJson(200, { ...accepted, ...answer }))
    assert.deepEqual(outcome, { class: 'ok', messageId: smsMessageSid })
  }
})

for (const [statusCode, outcome] of [
  ['160058', { class: 'account', code: '160058', alert: true }],
  ['160060', { class: 'account', code: '160060', alert: true }],
  ['160061', { class: 'permanent_recipient', code: '160061' }],
  ['160062', { class: 'account', code: '160062', alert: true }],
  ['160059', { class: 'permanent_request', code: '160059' }],
  ['160070', { class: 'permanent_request', code: '160070' }],
] as const) {
  test(`The refusal ${statusCode} of the international API is ${outcome.class}.`, async () => {
    const { outcome: given } = await send({}, settings, answerJson(200, { statusCode }))
    assert.deepEqual(given, outcome)
  })
}

test('It says of itself that it is not idempotent and sends the text.', () => {
  const { name, idempotent, text } = ronglianInternationalProvider(settings)
  assert.deepEqual([name, idempotent, text], ['ronglian-international', false, undefined])
})

const mistakes: [Record<string, unknown>, string][] = [
  [{ accountSid: undefined }, 'accountSid: expected a string, got undefined'],
  [{ authToken: '' }, 'authToken: expected a string without blanks, got an empty string'],
  [{ appId: 7 }, 'appId: expected a string, got number'],
  [
    { baseUrl: 'localhost' },
    'baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
  ],
  [{ signName: 7 }, 'signName: expected a string, got number'],
  [
    { signName: '' },
    'signName: expected the name of a signature, without 【】, got an empty string',
  ],
  [
    { signName: ' ' },
    'signName: expected the name of a signature, without 【】, got another string',
  ],
  [
    { signName: '【Acme】' },
    'signName: expected the name of a signature, without 【】, got another string',
  ],
]

for (const [mistake, text] of mistakes) {
  test(`The settings ${JSON.stringify(mistake)} are refused at the start.`, () => {
    const options = { ...settings, ...mistake } as RonglianInternationalOptions
    const expected = { name: 'TypeError', message: `ronglianInternationalProvider: ${text}` }
    assert.throws(() => ronglianInternationalProvider(options), expected)
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: RonglianInternationalOptions = settings,
  reply: Reply = answerJson(200, accepted),
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using vendor = await vendorServer(reply)
  const provider = ronglianInternationalProvider({ ...options, baseUrl: vendor.url })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, phone, ...fields }, { signal }),
    requests: vendor.requests,
  }
}
