import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { afterEach, test } from 'node:test'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { ronglianProvider } from '../src/providers/ronglian.ts'
import { signRonglian } from '../src/providers/ronglian-api.ts'
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
  sign: {
    name: string
    accountSid: string
    authToken: string
    timestamp: string
    sig: string
    authorization: string
    path: string
  }[]
  captures: {
    peer: string
    note: string
    timestamp: string
    parsed: { requestLine: string; headers: [string, string][]; body: string }
  }[]
  responses: { okJson: string; errJson: string }
}

const vectors = readJson<Vectors>('ronglian-vectors.json')
const { codes } = readJson<{ codes: [string, string, string, string][] }>('ronglian-codes.json')

const account = {
  accountSid: '8a48b55100000000000000000000aaaa',
  authToken: '0123456789abcdef0123456789abcdef',
}
const settings = { ...account, appId: '8a48b55100000000000000000000bbbb', templateId: '1' }
const accept = answer(200, vectors.responses.okJson)

testHttpProvider('ronglian', {
  make: (baseUrl, fetch) => ronglianProvider({ ...settings, baseUrl, ...(fetch && { fetch }) }),
  accepted: { status: 200, body: vectors.responses.okJson },
  refused: (text) => ({
    status: 200,
    body: JSON.stringify({ statusCode: '160042', statusMsg: text }),
  }),
  codeIn: ({ body }) => JSON.parse(body).datas[0],
  keyIn: ({ body }) => JSON.parse(body).reqId,
  secrets: Object.values(account),
})

test('What happened to a call that has no answer is told by a code.', async () => {
  const vendor = await vendorServer(accept)
  await vendor[Symbol.asyncDispose]()
  const provider = ronglianProvider({ ...settings, baseUrl: vendor.url })
  const outcome = await provider.send(message, { signal: AbortSignal.timeout(5000) })
  assert.deepEqual(outcome, { class: 'retry', code: 'ECONNREFUSED' })
})

test('An answer counts up to 64 KiB and not beyond.', async () => {
  const sized = (size: number) => answer(200, vectors.responses.okJson.padEnd(size))
  assert.equal((await send({}, {}, sized(64 * 1024))).outcome.class, 'ok')
  const { outcome } = await send({}, {}, sized(64 * 1024 + 1))
  assert.deepEqual(outcome, { class: 'ambiguous', code: 'ANSWER_TOO_LONG' })
})

for (const vector of vectors.sign) {
  test(`The signature is that of the vector "${vector.name}".`, async () => {
    const { accountSid, authToken, sig, authorization } = vector
    const time = timeOf(vector.timestamp)
    assert.deepEqual(signRonglian(accountSid, authToken, time), { sig, authorization })

    const { requests } = await send({}, { accountSid, authToken, now: () => time })
    assert.equal(requests[0]?.path, vector.path)
    assert.equal(requests[0]?.headers.authorization, authorization)
  })
}

for (const { peer, note, timestamp, parsed } of vectors.captures) {
  test(`Path and Authorization are those of ${peer}, ${note}.`, async () => {
    const { requests } = await send({}, { now: () => timeOf(timestamp) })
    assert.equal(requests[0]?.path, parsed.requestLine.split(' ')[1])
    assert.equal(requests[0]?.headers.authorization, headerOf(parsed.headers, 'Authorization'))
  })
}

const sameSms = vectors.captures.filter(({ parsed }) =>
  /"datas": ?\["123456", ?"5"\]/.test(parsed.body),
)

test('The vectors hold our SMS as more than one SDK sends it.', () => {
  assert.ok(sameSms.length >= 2)
})

for (const { peer, parsed } of sameSms) {
  test(`Fields and format are those of ${peer}.`, async () => {
    const { requests } = await send({ phone: '+8613800000000', code: '123456', minutes: 5 })
    const { reqId, ...fields } = JSON.parse(requests[0]?.body ?? '')
    assert.deepEqual(fields, JSON.parse(parsed.body))
    assert.equal(reqId, message.key)
    for (const name of ['Accept', 'Content-Type']) {
      assert.equal(requests[0]?.headers[name.toLowerCase()], headerOf(parsed.headers, name))
    }
  })
}

test('reqId is the key of the message and keeps to what Ronglian allows.', async () => {
  const first = await send({ attempt: 1 })
  const second = await send({ attempt: 2 })
  const [one, two] = [first, second].map(({ requests }) => JSON.parse(requests[0]?.body ?? ''))
  assert.match(one.reqId, /^[A-Za-z0-9]{1,32}$/)
  assert.equal(one.reqId, two.reqId)
})

test('Every variable of the template is a string.', async () => {
  const { requests } = await send({ code: '000000', minutes: 10 })
  assert.deepEqual(JSON.parse(requests[0]?.body ?? '').datas, ['000000', '10'])
})

test('Both halves of the signature have the time stamp of their own request.', async () => {
  let time = timeOf('20240102030405')
  const now = () => {
    time += 1000
    return time
  }
  await using vendor = await vendorServer(accept)
  const provider = ronglianProvider({ ...settings, baseUrl: vendor.url, now })
  const stamps: string[] = []
  for (const _ of [1, 2, 3]) {
    await provider.send(message, { signal: AbortSignal.timeout(5000) })
    const { path, headers } = vendor.requests.at(-1) as VendorRequest
    const stamp = atob(String(headers.authorization)).split(':')[1] ?? ''
    const { sig } = signRonglian(account.accountSid, account.authToken, timeOf(stamp))
    assert.equal(new URL(path, vendor.url).searchParams.get('sig'), sig)
    stamps.push(stamp)
  }
  assert.equal(new Set(stamps).size, 3)
})

const processZone = process.env.TZ

afterEach(() => {
  if (processZone === undefined) delete process.env.TZ
  else process.env.TZ = processZone
})

// On both sides of the two changes that New York's clocks make in 2024.
const instants: [string, string][] = [
  ['2024-03-10T06:59:59Z', '20240310145959'],
  ['2024-03-10T07:00:00Z', '20240310150000'],
  ['2024-11-03T05:30:00Z', '20241103133000'],
  ['2024-11-03T06:30:00Z', '20241103143000'],
  ['2024-12-31T16:00:00Z', '20250101000000'],
  ['2024-07-01T00:00:00Z', '20240701080000'],
]

for (const zone of ['UTC', 'America/New_York', 'Asia/Shanghai', 'Asia/Kolkata']) {
  test(`The time stamp is China's when the process runs in ${zone}.`, () => {
    process.env.TZ = zone
    assert.equal(
      new Intl.DateTimeFormat().resolvedOptions().timeZone.replace('Calcutta', 'Kolkata'),
      zone,
    )
    for (const [instant, stamp] of instants) {
      const { authorization } = signRonglian('sid', 'token', Date.parse(instant))
      assert.equal(atob(authorization), `sid:${stamp}`)
    }
  })
}

test('Without a clock of the host the time stamp is that of now.', async () => {
  const { requests } = await send({})
  const stamp = atob(String(requests[0]?.headers.authorization)).split(':')[1] ?? ''
  assert.ok(Math.abs(Date.now() - timeOf(stamp)) < 5000)
})

for (const phone of ['+14155550100', '+85251234567', '+886912345678', '+861012345678', '+8613']) {
  test(`${phone} is not a mobile number of mainland China and causes no call.`, async () => {
    const { outcome, requests } = await send({ phone })
    assert.deepEqual(outcome, { class: 'permanent_recipient' })
    assert.equal(requests.length, 0)
  })
}

test('The id of the message is read in both spellings of the answer.', async () => {
  const smsMessageSid = 'ff8080813c373cab013c94b0f0512345'
  for (const spelling of ['templateSMS', 'TemplateSMS']) {
    const reply = answerJson(200, { statusCode: '000000', [spelling]: { smsMessageSid } })
    const { outcome } = await send({}, {}, reply)
    assert.deepEqual(outcome, { class: 'ok', messageId: smsMessageSid })
  }
})

test('An acceptance without a readable id is ok all the same.', async () => {
  const odd = [undefined, null, 'text', {}, { smsMessageSid: 1 }, { smsMessageSid: 'short' }]
  for (const templateSMS of odd) {
    const { outcome } = await send({}, {}, answerJson(200, { statusCode: '000000', templateSMS }))
    assert.deepEqual(outcome, { class: 'ok' })
  }
})

test('Every code of the list has the outcome of the list.', async () => {
  await using vendor = await vendorServer(accept)
  const provider = ronglianProvider({ ...settings, baseUrl: vendor.url })
  let count = 0
  for (const [range, listed] of codes) {
    for (const statusCode of expand(range)) {
      vendor.reply = answerJson(200, { statusCode, statusMsg: '文本' })
      const outcome = await provider.send(message, { signal: AbortSignal.timeout(5000) })
      assert.deepEqual(outcome, expected(statusCode, listed), statusCode)
      count++
    }
  }
  assert.ok(count > codes.length)
})

test('Repeated content is a duplicate from the second try on.', async () => {
  const reply = answerJson(200, { statusCode: '160056' })
  for (const [attempt, name] of [
    [1, 'rate_recipient'],
    [2, 'duplicate'],
    [3, 'duplicate'],
  ] as const) {
    const { outcome } = await send({ attempt }, {}, reply)
    assert.deepEqual(outcome, { class: name, code: '160056' })
  }
})

test('A code that nobody knows is judged by its first digits and always shown to a person.', async () => {
  for (const [statusCode, name] of [
    ['160999', 'retry'],
    ['161999', 'retry'],
    ['111999', 'account'],
    ['112999', 'account'],
    ['113999', 'account'],
    ['100000', 'ambiguous'],
    ['999999', 'ambiguous'],
  ]) {
    const { outcome } = await send({}, {}, answerJson(200, { statusCode }))
    assert.deepEqual(outcome, { class: name, code: statusCode, alert: true })
  }
})

test('A status code that is not a string is not one.', async () => {
  for (const statusCode of [160038, ['160038'], ['000000'], 0, true, null, undefined]) {
    const { outcome } = await send({}, {}, answerJson(200, { statusCode }))
    assert.deepEqual(outcome, { class: 'ambiguous' })
  }
})

test('A status code that is not six digits is not shown but reported to a person.', async () => {
  for (const statusCode of ['', '0', '00000', '0000000', ' 000000', '000000\n', '+8613800138000']) {
    const { outcome } = await send({}, {}, answerJson(200, { statusCode }))
    assert.deepEqual(outcome, { class: 'ambiguous', alert: true })
  }
})

test('An acceptance with another HTTP status than 200 is not one.', async () => {
  for (const status of [201, 202, 400, 404, 500]) {
    const { outcome } = await send({}, {}, answer(status, vectors.responses.okJson))
    assert.notEqual(outcome.class, 'ok')
  }
})

test('HTTP 4xx is retry, and for a person unless it only says to slow down.', async () => {
  for (const status of [400, 401, 403, 404, 413]) {
    const { outcome } = await send({}, {}, answer(status, ''))
    assert.deepEqual(outcome, { class: 'retry', code: `HTTP_${status}`, alert: true })
  }
  for (const status of [408, 429]) {
    const { outcome } = await send({}, {}, answer(status, ''))
    assert.deepEqual(outcome, { class: 'retry', code: `HTTP_${status}` })
  }
})

test('It says of itself that it is idempotent.', () => {
  const { name, idempotent } = ronglianProvider(settings)
  assert.deepEqual({ name, idempotent }, { name: 'ronglian', idempotent: true })
})

const byLocale = {
  zh: { login: '11', default: '12' },
  'zh-Hant': '13',
  en: '14',
  'pt-BR': '15',
}

for (const [locales, purpose, templateId] of [
  [[], 'login', '11'],
  [['zh-CN'], 'login', '11'],
  [['zh-HK'], 'login', '13'],
  [['fr', 'en-GB'], 'login', '14'],
  [['pt'], 'login', '15'],
  [['fr'], 'signup', '12'],
  [['__proto__', 'constructor'], 'constructor', '12'],
] as const) {
  test(`Of several templates, [${locales}] and ${purpose} get ${templateId}.`, async () => {
    const fields = { locales: [...locales], purpose }
    const { requests } = await send(fields, { templateId: byLocale })
    assert.equal(JSON.parse(requests[0]?.body ?? '').templateId, templateId)
  })
}

test('It says of itself that it sends a template, not the text.', () => {
  assert.equal(ronglianProvider(settings).text, 'template')
})

const mistakes: [Record<string, unknown>, string][] = [
  [{ accountSid: undefined }, 'ronglianProvider: accountSid: expected a string, got undefined'],
  [{ accountSid: null }, 'ronglianProvider: accountSid: expected a string, got null'],
  [
    { accountSid: 'a/b' },
    'ronglianProvider: accountSid: expected letters, digits, _ and -, got another string',
  ],
  [
    { authToken: '' },
    'ronglianProvider: authToken: expected a string without blanks, got an empty string',
  ],
  [
    { authToken: 'x y' },
    'ronglianProvider: authToken: expected a string without blanks, got another string',
  ],
  [{ appId: 7 }, 'ronglianProvider: appId: expected a string, got number'],
  [{ templateId: 1 }, 'ronglianProvider: templateId: expected a string, got number'],
  [
    { templateId: '1a' },
    'ronglianProvider: templateId: expected a string of digits, got another string',
  ],
  [{ templateId: null }, 'ronglianProvider: templateId: expected a string, got null'],
  [
    { templateId: { en_GB: '1' } },
    "ronglianProvider: templateId: expected locales such as 'zh' or 'zh-Hant', got 'en_GB'",
  ],
  [
    { templateId: { zh: 'a' } },
    'ronglianProvider: templateId.zh: expected a string of digits, got another string',
  ],
  [{ templateId: { zh: null } }, 'ronglianProvider: templateId.zh: expected a string, got null'],
  [
    { templateId: { zh: { default: '1', login: 2 } } },
    'ronglianProvider: templateId.zh.login: expected a string, got number',
  ],
  [
    { templateId: { zh: { login: '1' } } },
    'ronglianProvider: templateId.zh.default: expected a string, got undefined',
  ],
  ...[{}, { fr: '1' }, { 'zh-Hant': '1' }].map((templateId): [Record<string, unknown>, string] => [
    { templateId },
    'ronglianProvider: templateId: expected one for zh or en, for all others, got neither',
  ]),
  ...['localhost', 'ftp://host', 'http://me:secret@host', 'https://host?x=1'].map(
    (baseUrl): [Record<string, unknown>, string] => [
      { baseUrl },
      'ronglianProvider: baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
    ],
  ),
]

for (const [mistake, text] of mistakes) {
  test(`The settings ${JSON.stringify(mistake)} are refused at the start.`, () => {
    const options = { ...settings, ...mistake } as typeof settings
    assert.throws(() => ronglianProvider(options), { name: 'TypeError', message: text })
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: Partial<Parameters<typeof ronglianProvider>[0]> = {},
  reply: Reply = accept,
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using vendor = await vendorServer(reply)
  const provider = ronglianProvider({ ...settings, ...options, baseUrl: vendor.url })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, ...fields }, { signal }),
    requests: vendor.requests,
  }
}

// What becomes of the classes of the list that are none of an outcome.
function expected(statusCode: string, listed: string): unknown {
  if (listed === 'ok') return { class: 'ok' }
  const code = statusCode
  if (listed === 'retry_alert') return { class: 'retry', code, alert: true }
  if (listed === 'account') return { class: 'account', code, alert: true }
  if (!['query_only', 'config_callback', 'client_side'].includes(listed))
    return { class: listed, code }
  const unknown: Record<string, string> = { 11: 'account', 16: 'retry', 17: 'ambiguous' }
  return { class: unknown[code.slice(0, 2)], code, alert: true }
}

function expand(range: string): string[] {
  const [first = '', last = first] = range.split('-')
  const all: string[] = []
  for (let code = Number(first); code <= Number(last); code++)
    all.push(String(code).padStart(6, '0'))
  return all
}

// The instant that a clock in China shows as `stamp`.
function timeOf(stamp: string): number {
  const [, y, m, d, h, min, s] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(stamp) ?? []
  return Date.parse(`${y}-${m}-${d}T${h}:${min}:${s}+08:00`)
}

function headerOf(headers: [string, string][], name: string): string | undefined {
  return headers.find(([key]) => key === name)?.[1]
}

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`vectors/${file}`, import.meta.url), 'utf8'))
}
