import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import Dysmsapi, { SendSmsRequest } from '@alicloud/dysmsapi20170525'
import { type AliyunOptions, aliyunProvider, signAliyun } from '../src/providers/aliyun.ts'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { testHttpProvider } from '../src/testing/http-contract.ts'
import { message } from '../src/testing/provider-contract.ts'
import {
  answer,
  answerJson,
  type Reply,
  type VendorRequest,
  vendorServer,
} from '../src/testing/vendor-server.ts'

interface Vectors {
  captures: {
    peer: string
    parsed: { requestLine: string; headers: [string, string][]; body: string }
  }[]
  vectors: {
    name: string
    accessKeyId: string
    accessKeySecret: string
    query: Record<string, string>
    headers: Record<string, string>
    signature?: string
    authorization?: string
  }[]
  okResponse: string
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('vectors/aliyun-tencent-vectors.json', import.meta.url), 'utf8'),
).aliyun

const keys = {
  accessKeyId: 'LTAI0000000000000000TEST',
  accessKeySecret: '0123456789abcdefghijABCDEFGHIJ',
}
const settings = { ...keys, signName: '阿里云短信测试', templateCode: 'SMS_154950909' }
const accepted = { status: 200, body: vectors.okResponse }
const accept = answer(accepted.status, accepted.body)

testHttpProvider('aliyun', {
  make: (baseUrl, fetch) => aliyunProvider({ ...settings, baseUrl, ...(fetch && { fetch }) }),
  accepted,
  refused: (text) => ({
    status: 200,
    body: JSON.stringify({ Code: 'isv.SMS_TEMPLATE_ILLEGAL', Message: text, RequestId: text }),
  }),
  codeIn: (request) => JSON.parse(queryOf(request).TemplateParam ?? '').code,
  secrets: Object.values(keys),
})

for (const { name, query, headers, ...vector } of vectors.vectors) {
  test(`The signature is that of the vector "${name}".`, () => {
    const { host, ...signed } = headers
    const authorization = signAliyun(
      vector.accessKeyId,
      vector.accessKeySecret,
      `https://${host}/?${new URLSearchParams(query).toString().replaceAll('+', '%20')}`,
      { 'x-acs-content-sha256': createHash('sha256').digest('hex'), ...signed },
    )
    if (vector.authorization) assert.equal(authorization, vector.authorization)
    assert.match(authorization, new RegExp(`Signature=${vector.signature ?? '[0-9a-f]{64}'}$`))
  })
}

test('The query is that of the SDK in the vectors.', async () => {
  for (const { parsed } of vectors.captures) {
    const { requests } = await send({ phone: '+8613800000000', code: '123456', key: 'req-0001' })
    assert.equal(`POST ${requests[0]?.path} HTTP/1.1`, parsed.requestLine)
    assert.equal(requests[0]?.body, parsed.body)
  }
})

test('Request and signature mean what the SDK of the vendor sends.', async () => {
  await using vendor = await vendorServer(
    answer(200, vectors.okResponse, { 'Content-Type': 'application/json' }),
  )
  const config = { ...keys, endpoint: new URL(vendor.url).host, protocol: 'HTTP' }
  const sdk = new Dysmsapi.default(config as ConstructorParameters<typeof Dysmsapi.default>[0])
  // Every kind of character that has to be encoded.
  const signName = "a b+c&d=e%f*g'h(i)j!k~l-m_n.o/阿里"
  const { body } = await sdk.sendSms(
    new SendSmsRequest({
      phoneNumbers: '13800138000',
      signName,
      templateCode: settings.templateCode,
      templateParam: JSON.stringify({ code: message.code }),
      outId: message.key,
    }),
  )
  assert.equal(body?.code, 'OK')
  const provider = aliyunProvider({ ...settings, signName, baseUrl: vendor.url })
  await provider.send(message, { signal: AbortSignal.timeout(5000) })

  const [theirs, ours] = vendor.requests
  assert.ok(theirs && ours)
  assert.equal(ours.method, theirs.method)
  assert.equal(ours.body, theirs.body)
  assert.equal(ours.path.split('?')[0], theirs.path.split('?')[0])
  assert.deepEqual(queryOf(ours), queryOf(theirs))
  for (const name of ['accept', 'x-acs-action', 'x-acs-version', 'x-acs-content-sha256']) {
    assert.equal(ours.headers[name], theirs.headers[name], name)
  }
  const digits = ({ headers }: VendorRequest) => String(headers['x-acs-date']).replace(/\d/g, '0')
  assert.equal(digits(ours), digits(theirs))
  for (const request of [theirs, ours]) assertSigned(request)
  // Whatever of ours the vendor would sign is signed.
  const signed = Object.keys(ours.headers).filter((name) =>
    /^(host|content-type|x-acs-.*)$/.test(name),
  )
  assert.deepEqual(signedHeadersOf(ours), signed.sort())
})

test('A signature over anything else does not hold.', async () => {
  const { requests } = await send({})
  assert.ok(requests[0])
  const { path, headers } = requests[0]
  assertSigned(requests[0])
  for (const other of [
    { path: path.replace('13800138000', '13800138001') },
    { headers: { ...headers, 'x-acs-action': 'SendBatchSms' } },
    { headers: { ...headers, 'content-type': 'text/plain' } },
    { body: 'PhoneNumbers=13800138001' },
  ]) {
    assert.throws(() => assertSigned({ ...(requests[0] as VendorRequest), ...other }))
  }
})

test('Each request has a nonce of its own and the time of the clock, in UTC.', async () => {
  const now = () => Date.parse('2024-01-02T11:04:05.678+08:00')
  const nonces = new Set<string>()
  for (const _ of [1, 2, 3]) {
    const { requests } = await send({}, { now })
    assert.equal(requests[0]?.headers['x-acs-date'], '2024-01-02T03:04:05Z')
    const nonce = String(requests[0]?.headers['x-acs-signature-nonce'])
    assert.match(nonce, /^[0-9a-f]{32}$/)
    nonces.add(nonce)
  }
  assert.equal(nonces.size, 3)
})

test('Without a clock of the host the time is that of now.', async () => {
  const { requests } = await send({})
  const time = Date.parse(String(requests[0]?.headers['x-acs-date']))
  assert.ok(Math.abs(Date.now() - time) < 5000)
})

for (const [phone, expected] of [
  ['+8613800138000', '13800138000'],
  ['+85251234567', '85251234567'],
  ['+886912345678', '886912345678'],
  ['+14155550100', '14155550100'],
] as const) {
  test(`${phone} is sent as ${expected}.`, async () => {
    const { requests } = await send({ phone })
    assert.equal(queryOf(requests[0]).PhoneNumbers, expected)
  })
}

for (const phone of ['+861012345678', '+8613', '+86138001380000']) {
  test(`${phone} is not a mobile number of mainland China and causes no call.`, async () => {
    const { outcome, requests } = await send({ phone })
    assert.deepEqual(outcome, { class: 'permanent_recipient' })
    assert.equal(requests.length, 0)
  })
}

test('OutId is the key of the message, the same in each attempt, and not the code.', async () => {
  for (const attempt of [1, 2]) {
    const { requests } = await send({ attempt })
    assert.equal(queryOf(requests[0]).OutId, message.key)
  }
})

for (const [templateParam, expected] of [
  [undefined, '{"code":"012345"}'],
  [{ code: '{code}', time: '{minutes}' }, '{"code":"012345","time":"5"}'],
  [{ n: '{code} ({minutes})', product: 'Acme "1"' }, '{"n":"012345 (5)","product":"Acme \\"1\\""}'],
] as const) {
  test(`The variables ${JSON.stringify(templateParam)} are filled in as strings.`, async () => {
    const { requests } = await send({}, { templateParam })
    assert.equal(queryOf(requests[0]).TemplateParam, expected)
  })
}

const byLocale = { zh: { login: 'SMS_11', default: 'SMS_12' }, 'zh-Hant': 'SMS_13', en: 'SMS_14' }

for (const [locales, purpose, templateCode] of [
  [[], 'login', 'SMS_11'],
  [[], 'signup', 'SMS_12'],
  [['zh-HK'], 'login', 'SMS_13'],
  [['en-GB'], 'login', 'SMS_14'],
] as const) {
  test(`Of several templates, [${locales}] and ${purpose} get ${templateCode}.`, async () => {
    const { requests } = await send({ locales: [...locales], purpose }, { templateCode: byLocale })
    assert.equal(queryOf(requests[0]).TemplateCode, templateCode)
  })
}

test('An acceptance tells the id of the message.', async () => {
  const { outcome } = await send({})
  assert.deepEqual(outcome, { class: 'ok', messageId: '900619746936498440^0' })
})

test('An acceptance without a readable id is ok all the same.', async () => {
  for (const BizId of [undefined, null, 1, '', '13800138000', 'x^0', {}, '1^0 13800138000']) {
    const { outcome } = await send({}, {}, answerJson(200, { Code: 'OK', BizId }))
    assert.deepEqual(outcome, { class: 'ok' })
  }
})

test('OK with another HTTP status than 200 is not one.', async () => {
  for (const [status, outcome] of [
    [201, { class: 'ambiguous', code: 'HTTP_201' }],
    [400, { class: 'retry', code: 'HTTP_400', alert: true }],
    [500, { class: 'ambiguous', code: 'HTTP_500' }],
  ] as const) {
    assert.deepEqual((await send({}, {}, answer(status, vectors.okResponse))).outcome, outcome)
  }
})

// The list of the vendor, https://help.aliyun.com/document_detail/101346.html, as far as SendSms can answer with it.
const codes: Record<string, string[]> = {
  retry: [
    'isp.SYSTEM_ERROR',
    'isp.GATEWAY_ERROR',
    'ServiceUnavailable',
    'Throttling',
    'Throttling.User',
  ],
  ambiguous: ['InternalError'],
  ambiguous_alert: ['SignatureNonceUsed'],
  rate_recipient: ['isv.BUSINESS_LIMIT_CONTROL'],
  permanent_recipient: [
    'isv.MOBILE_NUMBER_ILLEGAL',
    'isv.BLACK_KEY_CONTROL_LIMIT',
    'isv.CUSTOMER_REFUSED',
  ],
  permanent_request: [
    'isv.SMS_TEMPLATE_ILLEGAL',
    'isv.SMS_SIGNATURE_ILLEGAL',
    'isv.SMS_SIGNATURE_SCENE_ILLEGAL',
    'isv.SIGN_STATE_ILLEGAL',
    'isv.SIGN_NAME_ILLEGAL',
    'isv.SMS_SIGN_ILLEGAL',
    'isv.DOMESTIC_NUMBER_NOT_SUPPORTED',
    'isv.TEMPLATE_MISSING_PARAMETERS',
    'isv.TEMPLATE_PARAMS_ILLEGAL',
    'isv.INVALID_PARAMETERS',
    'isv.INVALID_JSON_PARAM',
    'isv.PARAM_LENGTH_LIMIT',
    'isv.PARAM_NOT_SUPPORT_URL',
    'isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL',
    'isv.SMS_CONTENT_ILLEGAL',
    'isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE',
    'isv.UNSUPPORTED_CONTENT',
    'isv.MOBILE_COUNT_OVER_LIMIT',
    'isv.EXTEND_CODE_ERROR',
  ],
  account: [
    'InvalidAccessKeyId.NotFound',
    'InvalidAccessKeyId.Inactive',
    'MissingAccessKeyId',
    'SignatureDoesNotMatch',
    'IncompleteSignature',
    'InvalidTimeStamp.Expired',
    'InvalidTimeStamp.Format',
    'InvalidSecurityToken.Expired',
    'Forbidden.RAM',
    'NoPermission',
    'isp.RAM_PERMISSION_DENY',
    'isv.OUT_OF_SERVICE',
    'isv.AMOUNT_NOT_ENOUGH',
    'isv.PRODUCT_UN_SUBSCRIPT',
    'isv.PRODUCT_UNSUBSCRIBE',
    'isv.ACCOUNT_NOT_EXISTS',
    'isv.ACCOUNT_ABNORMAL',
    'isv.SECURITY_FROZEN_ACCOUNT',
    'isv.DENY_IP_RANGE',
    'isv.DAY_LIMIT_CONTROL',
    'isv.MONTH_LIMIT_CONTROL',
    'isv.SMS_TEST_SIGN_TEMPLATE_LIMIT',
    'isv.SMS_TEST_NUMBER_LIMIT',
  ],
}

test('Every code of the list has the outcome of the list, whatever the HTTP status.', async () => {
  await using vendor = await vendorServer(accept)
  const provider = aliyunProvider({ ...settings, baseUrl: vendor.url })
  for (const [name, listed] of Object.entries(codes)) {
    for (const code of listed) {
      for (const status of [200, 400, 403, 404, 500, 503]) {
        vendor.reply = answerJson(status, { Code: code, Message: '文本', RequestId: 'x' })
        const outcome = await provider.send(message, { signal: AbortSignal.timeout(5000) })
        const alert = name === 'account' || name === 'ambiguous_alert' ? { alert: true } : {}
        assert.deepEqual(outcome, { class: name.replace('_alert', ''), code, ...alert })
      }
    }
  }
})

test('A code that nobody knows is judged by its family or the HTTP status, and always shown to a person.', async () => {
  for (const [status, code, name] of [
    [200, 'isv.SOMETHING_NEW', 'permanent_request'],
    [500, 'isv.SOMETHING_NEW', 'permanent_request'],
    [200, 'isp.SOMETHING_NEW', 'retry'],
    [400, 'MissingSignName', 'permanent_request'],
    [200, 'SOMETHING_NEW', 'ambiguous'],
    [500, 'Unknown.Error', 'ambiguous'],
  ] as const) {
    const { outcome } = await send({}, {}, answerJson(status, { Code: code }))
    assert.deepEqual(outcome, { class: name, code, alert: true })
  }
})

test('What has not the form of a code is not shown, but reported to a person.', async () => {
  for (const Code of [
    '',
    'isv.',
    '13800138000',
    'isv.13800138000',
    'no such code',
    'x'.repeat(65),
  ]) {
    const { outcome } = await send({}, {}, answerJson(200, { Code }))
    assert.deepEqual(outcome, { class: 'ambiguous', alert: true }, Code)
    const { outcome: refused } = await send({}, {}, answerJson(400, { Code }))
    assert.deepEqual(refused, { class: 'retry', code: 'HTTP_400', alert: true }, Code)
  }
})

test('A code that is not a string is not one.', async () => {
  for (const Code of [undefined, null, 0, true, ['OK'], { Code: 'OK' }]) {
    const { outcome } = await send({}, {}, answerJson(200, { Code }))
    assert.deepEqual(outcome, { class: 'ambiguous' })
  }
})

test('It says of itself that it is not idempotent and sends a template.', () => {
  const { name, idempotent, text } = aliyunProvider(settings)
  assert.deepEqual(
    { name, idempotent, text },
    { name: 'aliyun', idempotent: false, text: 'template' },
  )
})

const mistakes: [Record<string, unknown>, string][] = [
  [{ accessKeyId: undefined }, 'accessKeyId: expected a string, got undefined'],
  [{ accessKeyId: 'a b' }, 'accessKeyId: expected a string without blanks, got another string'],
  [
    { accessKeySecret: '' },
    'accessKeySecret: expected a string without blanks, got an empty string',
  ],
  [{ accessKeySecret: 7 }, 'accessKeySecret: expected a string, got number'],
  [{ signName: undefined }, 'signName: expected a string, got undefined'],
  ...['【阿里云】', ' x', 'x '].map((signName): [Record<string, unknown>, string] => [
    { signName },
    'signName: expected the name of a signature, without 【】, got another string',
  ]),
  [{ templateCode: 1 }, 'templateCode: expected a string, got number'],
  [
    { templateCode: '154950909' },
    'templateCode: expected a code such as SMS_154950909, got another string',
  ],
  [{ templateCode: null }, 'templateCode: expected a string, got null'],
  [
    { templateCode: { zh: { login: 'SMS_1' } } },
    'templateCode.zh.default: expected a string, got undefined',
  ],
  [
    { templateCode: { fr: 'SMS_1' } },
    'templateCode: expected one for zh or en, for all others, got neither',
  ],
  [{ templateParam: {} }, 'templateParam: expected a variable with {code}, got none'],
  [{ templateParam: { code: 1 } }, 'templateParam.code: expected a string, got number'],
  [
    { templateParam: { code: '{code}', name: '{brand}' } },
    'templateParam.name: expected {code} and {minutes} only, got another string',
  ],
  [
    { templateParam: '{code}' },
    'templateParam: expected the variables of the template, got another type',
  ],
  [
    { baseUrl: 'dysmsapi.aliyuncs.com' },
    'baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
  ],
]

for (const [mistake, text] of mistakes) {
  test(`The settings ${JSON.stringify(mistake)} are refused at the start.`, () => {
    const options = { ...settings, ...mistake } as typeof settings
    assert.throws(() => aliyunProvider(options), {
      name: 'TypeError',
      message: `aliyunProvider: ${text}`,
    })
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: Partial<AliyunOptions> = {},
  reply: Reply = accept,
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using vendor = await vendorServer(reply)
  const provider = aliyunProvider({ ...settings, ...options, baseUrl: vendor.url })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, ...fields }, { signal }),
    requests: vendor.requests,
  }
}

function queryOf(request: VendorRequest | undefined): Record<string, string> {
  assert.ok(request)
  return Object.fromEntries(new URL(request.path, 'http://vendor.invalid').searchParams)
}

const signedHeadersOf = ({ headers }: VendorRequest): string[] =>
  /SignedHeaders=([^,]+)/.exec(String(headers.authorization))?.[1]?.split(';') ?? []

// As the vendor checks it: from what has arrived, with nothing of the provider's.
function assertSigned(request: VendorRequest): void {
  const { method, headers, body } = request
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const encode = (text: string) =>
    Array.from(Buffer.from(text), (byte) =>
      /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    ).join('')
  const query = Object.entries(queryOf(request)).map(([name, value]) => `${name}=${encode(value)}`)
  const names = signedHeadersOf(request)
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('')
  assert.equal(headers['x-acs-content-sha256'], hash(body))
  const canonical = [method, '/', query.sort().join('&'), lines, names.join(';'), hash(body)]
  const signature = createHmac('sha256', keys.accessKeySecret)
    .update(`ACS3-HMAC-SHA256\n${hash(canonical.join('\n'))}`)
    .digest('hex')
  assert.equal(
    headers.authorization,
    `ACS3-HMAC-SHA256 Credential=${keys.accessKeyId},SignedHeaders=${names.join(';')},Signature=${signature}`,
  )
}
