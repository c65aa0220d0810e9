import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sms } from 'tencentcloud-sdk-nodejs-sms'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { signTencent, type TencentOptions, tencentProvider } from '../src/providers/tencent.ts'
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
    secretId: string
    secretKey: string
    service: string
    host: string
    timestamp: number
    contentType: string
    payload: string
    signature?: string
    authorization?: string
  }[]
  okResponse: string
  errorResponse: string
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('vectors/aliyun-tencent-vectors.json', import.meta.url), 'utf8'),
).tencent

const keys = {
  secretId: 'AKID00000000000000000000000000000000TEST',
  secretKey: '0123456789abcdefghijABCDEFGHIJ00',
}
const settings = { ...keys, smsSdkAppId: '1400006666', signName: '腾讯云', templateId: '1110' }
const accepted = { status: 200, body: vectors.okResponse }
const accept = answer(accepted.status, accepted.body)

/** Both levels at which Tencent refuses: the request, or its one number. */
const levels: [string, (Code: unknown, Message?: string) => object][] = [
  ['of the request', (Code, Message) => ({ Response: { Error: { Code, Message } } })],
  [
    'of the number',
    (Code, Message) => ({ Response: { SendStatusSet: [{ Code, Message, SerialNo: '' }] } }),
  ],
]

for (const [level, refusal] of levels) {
  testHttpProvider(`tencent, refusals ${level}`, {
    make: (baseUrl, fetch) => tencentProvider({ ...settings, baseUrl, ...(fetch && { fetch }) }),
    accepted,
    refused: (text) => ({
      status: 200,
      body: JSON.stringify(refusal('InvalidParameterValue.IncorrectPhoneNumber', text)),
    }),
    codeIn: ({ body }) => JSON.parse(body).TemplateParamSet[0],
    secrets: Object.values(keys),
  })
}

for (const vector of vectors.vectors) {
  test(`The signature is that of the vector "${vector.name}".`, () => {
    const { secretId, secretKey, host, payload, ...request } = vector
    const url = `https://${host}/`
    const authorization = signTencent(secretId, secretKey, { ...request, url, body: payload })
    if (vector.authorization) assert.equal(authorization, vector.authorization)
    assert.match(authorization, new RegExp(`Signature=${vector.signature ?? '[0-9a-f]{64}'}$`))
  })
}

test('The body is, to the byte, that of the SDK in the vectors, and so are the headers.', async () => {
  for (const { parsed } of vectors.captures) {
    const now = () => 1_704_164_645_999
    const fields = { phone: '+8613800000000', code: '123456', key: 'req-0001' }
    const { requests } = await send(fields, { now })
    assert.equal(`POST ${requests[0]?.path} HTTP/1.1`, parsed.requestLine)
    assert.equal(requests[0]?.body, parsed.body)
    for (const name of ['Content-Type', ...fieldsOfApi]) {
      const value = parsed.headers.find(([key]) => key === name)?.[1]
      assert.equal(requests[0]?.headers[name.toLowerCase()], value, name)
    }
  }
})

const fieldsOfApi = ['X-TC-Action', 'X-TC-Region', 'X-TC-Timestamp', 'X-TC-Version']

test('Request and signature mean what the SDK of the vendor sends.', async () => {
  await using vendor = await vendorServer(
    answer(200, vectors.okResponse, { 'Content-Type': 'application/json' }),
  )
  const { host, hostname } = new URL(vendor.url)
  const sdk = new sms.v20210111.Client({
    credential: keys,
    region: 'ap-nanjing',
    profile: { httpProfile: { endpoint: host, protocol: 'http://' } },
  })
  const signName = 'a b+c&d=e%f"g\\h/腾讯'
  const { SendStatusSet } = await sdk.SendSms({
    PhoneNumberSet: [message.phone],
    SmsSdkAppId: settings.smsSdkAppId,
    SignName: signName,
    TemplateId: settings.templateId,
    TemplateParamSet: [message.code, String(message.minutes)],
    SessionContext: message.key,
  })
  assert.equal(SendStatusSet?.[0]?.Code, 'Ok')
  const provider = tencentProvider({
    ...settings,
    signName,
    region: 'ap-nanjing',
    baseUrl: vendor.url,
  })
  await provider.send(message, { signal: AbortSignal.timeout(5000) })

  const [theirs, ours] = vendor.requests
  assert.ok(theirs && ours)
  assert.equal(ours.method, theirs.method)
  assert.equal(ours.path, theirs.path)
  assert.deepEqual(JSON.parse(ours.body), JSON.parse(theirs.body))
  for (const name of ['content-type', 'x-tc-action', 'x-tc-version', 'x-tc-region']) {
    assert.equal(ours.headers[name], theirs.headers[name], name)
  }
  const seconds = ({ headers }: VendorRequest) => Number(headers['x-tc-timestamp'])
  assert.ok(Math.abs(seconds(ours) - seconds(theirs)) < 10)
  // The SDK takes the product from the host's first label, and leaves its port out.
  assertSigned(theirs, hostname.split('.')[0], hostname)
  assertSigned(ours, 'sms', host)
})

test('A signature over anything else does not hold.', async () => {
  const { requests } = await send({})
  assert.ok(requests[0])
  const request = requests[0]
  const { headers, body } = request
  assertSigned(request, 'sms', headers.host)
  for (const other of [
    { body: body.replace('+8613800138000', '+8613800138001') },
    { headers: { ...headers, 'content-type': 'text/plain' } },
    { headers: { ...headers, 'x-tc-timestamp': '1704164645' } },
  ]) {
    assert.throws(() => assertSigned({ ...request, ...other }, 'sms', headers.host))
  }
})

test('Without a clock of the host the time is that of now.', async () => {
  const { requests } = await send({})
  const time = Number(requests[0]?.headers['x-tc-timestamp']) * 1000
  assert.ok(Math.abs(Date.now() - time) < 5000)
})

for (const phone of ['+8613800138000', '+85251234567', '+14155550100']) {
  test(`${phone} is sent with its plus.`, async () => {
    const { requests } = await send({ phone })
    assert.deepEqual(JSON.parse(requests[0]?.body ?? '').PhoneNumberSet, [phone])
  })
}

test('SessionContext is the key of the message, the same in each attempt, and not the code.', async () => {
  for (const attempt of [1, 2]) {
    const { requests } = await send({ attempt })
    assert.equal(JSON.parse(requests[0]?.body ?? '').SessionContext, message.key)
  }
})

test('Without a signature none is sent.', async () => {
  const { requests } = await send({ phone: '+14155550100' }, { signName: undefined })
  assert.ok(!('SignName' in JSON.parse(requests[0]?.body ?? '')))
})

for (const [templateParamSet, expected] of [
  [undefined, ['012345', '5']],
  [['{code}'], ['012345']],
  [
    ['Acme', '{minutes}', '{code}'],
    ['Acme', '5', '012345'],
  ],
] as const) {
  test(`The variables ${JSON.stringify(templateParamSet)} are filled in as strings.`, async () => {
    const { requests } = await send({}, { templateParamSet: templateParamSet?.slice() })
    assert.deepEqual(JSON.parse(requests[0]?.body ?? '').TemplateParamSet, expected)
  })
}

const byLocale = { zh: { login: '11', default: '12' }, 'zh-Hant': '13', en: '14' }

for (const [locales, purpose, templateId] of [
  [[], 'login', '11'],
  [[], 'signup', '12'],
  [['zh-HK'], 'login', '13'],
  [['en-GB'], 'login', '14'],
] as const) {
  test(`Of several templates, [${locales}] and ${purpose} get ${templateId}.`, async () => {
    const { requests } = await send({ locales: [...locales], purpose }, { templateId: byLocale })
    assert.equal(JSON.parse(requests[0]?.body ?? '').TemplateId, templateId)
  })
}

test('An acceptance tells the id of the message.', async () => {
  const { outcome } = await send({})
  assert.deepEqual(outcome, { class: 'ok', messageId: '5000:1045710669157053657849499619' })
})

test('An acceptance without a readable id is ok all the same.', async () => {
  for (const SerialNo of [undefined, null, 1, '', '+8613800138000', '5000:', {}, '1:x 138001']) {
    const body = { Response: { SendStatusSet: [{ Code: 'Ok', SerialNo }] } }
    const { outcome } = await send({}, {}, answerJson(200, body))
    assert.deepEqual(outcome, { class: 'ok' })
  }
})

test('Ok with another HTTP status than 200 is not one.', async () => {
  for (const [status, outcome] of [
    [201, { class: 'ambiguous', code: 'HTTP_201' }],
    [400, { class: 'retry', code: 'HTTP_400', alert: true }],
    [500, { class: 'ambiguous', code: 'HTTP_500' }],
  ] as const) {
    assert.deepEqual((await send({}, {}, answer(status, vectors.okResponse))).outcome, outcome)
  }
})

test('An error of the request goes before what is said of the number.', async () => {
  const SendStatusSet = [{ Code: 'Ok', SerialNo: '5000:1' }]
  const Code = 'InternalError.Timeout'
  const reply = answerJson(200, { Response: { Error: { Code }, SendStatusSet } })
  assert.deepEqual((await send({}, {}, reply)).outcome, { class: 'ambiguous', code: Code })
})

test('What says nothing of the one number is ambiguous.', async () => {
  const ok = { Code: 'Ok', SerialNo: '5000:1' }
  for (const Response of [
    undefined,
    null,
    'Ok',
    [],
    {},
    { Error: null },
    { Error: 'AuthFailure' },
    { SendStatusSet: null },
    { SendStatusSet: [] },
    { SendStatusSet: [null] },
    { SendStatusSet: ok },
    { SendStatusSet: [ok, ok] },
  ]) {
    const { outcome } = await send({}, {}, answerJson(200, { Response, Code: 'Ok' }))
    assert.deepEqual(outcome, { class: 'ambiguous' }, JSON.stringify(Response))
  }
})

test('The example of an error is understood.', async () => {
  const { outcome } = await send({}, {}, answer(200, vectors.errorResponse))
  assert.deepEqual(outcome, { class: 'account', code: 'AuthFailure.SignatureFailure', alert: true })
})

// The vendor's lists, https://cloud.tencent.com/document/api/382/59177 and errors.go of its SDK for Go, as far as SendSms
// can answer with it.
const codes: Record<string, string[]> = {
  retry: [
    'RequestLimitExceeded',
    'RequestLimitExceeded.IPLimitExceeded',
    'RequestLimitExceeded.UinLimitExceeded',
    'RequestLimitExceeded.GlobalRegionUinLimitExceeded',
    'AuthFailure.RequestLimitExceeded',
    'LimitExceeded.GlobalSmsSendingRateLimit',
    'ServiceUnavailable',
    'ResourceUnavailable',
  ],
  ambiguous: [
    'InternalError',
    'InternalError.Timeout',
    'InternalError.SendAndRecvFail',
    'InternalError.OtherError',
    'InternalError.UnknownError',
  ],
  rate_recipient: [
    'LimitExceeded.PhoneNumberThirtySecondLimit',
    'LimitExceeded.PhoneNumberOneHourLimit',
    'LimitExceeded.PhoneNumberDailyLimit',
    'LimitExceeded.PhoneNumberSameContentDailyLimit',
    'LimitExceeded.DeliveryFrequencyLimit',
  ],
  permanent_recipient: [
    'InvalidParameterValue.IncorrectPhoneNumber',
    'FailedOperation.PhoneNumberInBlacklist',
    'FailedOperation.PhoneNumberParseFail',
    'MissingParameter.EmptyPhoneNumberSet',
    'UnsupportedOperation.UnsuportedRegion',
    'UnsupportedOperation.UnsupportedRegion',
  ],
  permanent_request: [
    'FailedOperation.ContainSensitiveWord',
    'FailedOperation.SignatureIncorrectOrUnapproved',
    'FailedOperation.TemplateIncorrectOrUnapproved',
    'FailedOperation.TemplateUnapprovedOrNotExist',
    'FailedOperation.TemplateParamSetNotMatchApprovedTemplate',
    'FailedOperation.MarketingSendTimeConstraint',
    'FailedOperation.FailResolvePacket',
    'FailedOperation.JsonParseFail',
    'FailedOperation.OtherError',
    'FailedOperation.ParametersOtherError',
    'InternalError.JsonParseFail',
    'InternalError.RestApiInterfaceNotExist',
    'InvalidParameter.DirtyWordFound',
    'InvalidParameter.InvalidParameters',
    'InvalidParameterValue.ContentLengthLimit',
    'InvalidParameterValue.TemplateParameterFormatError',
    'InvalidParameterValue.TemplateParameterLengthLimit',
    'InvalidParameterValue.ProhibitedUseUrlInTemplateParameter',
    'LimitExceeded.PhoneNumberCountLimit',
    'UnsupportedOperation.',
    'UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber',
    'UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone',
    'UnsupportedOperation.GlobalTemplateToChineseMainlandPhone',
  ],
  account: [
    'AuthFailure.InvalidAuthorization',
    'AuthFailure.InvalidSecretId',
    'AuthFailure.MFAFailure',
    'AuthFailure.SecretIdNotFound',
    'AuthFailure.SignatureExpire',
    'AuthFailure.SignatureFailure',
    'AuthFailure.TokenFailure',
    'AuthFailure.UnauthorizedOperation',
    'InternalError.RequestTimeException',
    'InternalError.SigFieldMissing',
    'InternalError.SigVerificationFail',
    'UnauthorizedOperation',
    'UnauthorizedOperation.RequestPermissionDeny',
    'UnauthorizedOperation.RequestIpNotInWhitelist',
    'UnauthorizedOperation.SdkAppIdIsDisabled',
    'UnauthorizedOperation.SdkAppidIsDisabled',
    'UnauthorizedOperation.SmsSdkAppIdVerifyFail',
    'UnauthorizedOperation.SerivceSuspendDueToArrears',
    'UnauthorizedOperation.ServiceSuspendDueToArrears',
    'UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny',
    'IpInBlacklist',
    'IpNotInWhitelist',
    'FailedOperation.InsufficientBalanceInSmsPackage',
    'ResourceInsufficient',
    'InvalidParameter.AppidAndBizId',
    'InvalidParameterValue.SdkAppIdNotExist',
    'LimitExceeded.AppDailyLimit',
    'LimitExceeded.DailyLimit',
    'LimitExceeded.AppMainlandChinaDailyLimit',
    'LimitExceeded.AppGlobalDailyLimit',
    'LimitExceeded.AppCountryOrRegionDailyLimit',
    'LimitExceeded.AppCountryOrRegionInBlacklist',
  ],
}

for (const [level, refusal] of levels) {
  test(`Every code of the list has the outcome of the list, as one ${level}.`, async () => {
    await using vendor = await vendorServer(accept)
    const provider = tencentProvider({ ...settings, baseUrl: vendor.url })
    for (const [name, listed] of Object.entries(codes)) {
      for (const code of listed) {
        vendor.reply = answerJson(200, refusal(code, '文本'))
        const outcome = await provider.send(message, { signal: AbortSignal.timeout(5000) })
        const alert = name === 'account' ? { alert: true } : {}
        assert.deepEqual(outcome, { class: name, code, ...alert })
      }
    }
  })

  test(`A code ${level} that nobody knows is judged by its family, and always shown to a person.`, async () => {
    for (const [code, name] of [
      ['AuthFailure.New', 'account'],
      ['UnauthorizedOperation.New', 'account'],
      ['RequestLimitExceeded.New', 'retry'],
      ['FailedOperation.New', 'permanent_request'],
      ['LimitExceeded.New', 'permanent_request'],
      ['InvalidParameterValue', 'permanent_request'],
      ['MissingParameter', 'permanent_request'],
      ['InternalError.New', 'ambiguous'],
      ['New', 'ambiguous'],
    ] as const) {
      const { outcome } = await send({}, {}, answerJson(200, refusal(code)))
      assert.deepEqual(outcome, { class: name, code, alert: true })
    }
  })

  test(`What has not the form of a code ${level} is not shown, but reported to a person.`, async () => {
    for (const code of ['', '.', '+8613800138000', 'A.13800138000', 'no code', 'x'.repeat(81)]) {
      const { outcome } = await send({}, {}, answerJson(200, refusal(code)))
      assert.deepEqual(outcome, { class: 'ambiguous', alert: true }, code)
      const { outcome: refused } = await send({}, {}, answerJson(400, refusal(code)))
      assert.deepEqual(refused, { class: 'retry', code: 'HTTP_400', alert: true }, code)
    }
  })

  test(`A code ${level} that is not a string is not one.`, async () => {
    for (const code of [undefined, null, 0, true, ['Ok'], { Code: 'Ok' }]) {
      const { outcome } = await send({}, {}, answerJson(200, refusal(code)))
      assert.deepEqual(outcome, { class: 'ambiguous' })
    }
  })
}

test('It says of itself that it is not idempotent and sends a template.', () => {
  const { name, idempotent, text } = tencentProvider(settings)
  assert.deepEqual(
    { name, idempotent, text },
    { name: 'tencent', idempotent: false, text: 'template' },
  )
})

const mistakes: [Record<string, unknown>, string][] = [
  [{ secretId: undefined }, 'secretId: expected a string, got undefined'],
  [{ secretKey: '' }, 'secretKey: expected a string without blanks, got an empty string'],
  [{ smsSdkAppId: 1400006666 }, 'smsSdkAppId: expected a string, got number'],
  [{ smsSdkAppId: 'app' }, 'smsSdkAppId: expected a string of digits, got another string'],
  [
    { signName: '【腾讯云】' },
    'signName: expected the name of a signature, without 【】, got another string',
  ],
  [{ templateId: 1110 }, 'templateId: expected a string, got number'],
  [{ templateId: 'SMS_1' }, 'templateId: expected a string of digits, got another string'],
  [
    { templateId: { zh: { login: '1' } } },
    'templateId.zh.default: expected a string, got undefined',
  ],
  [
    { templateId: { fr: '1' } },
    'templateId: expected one for zh or en, for all others, got neither',
  ],
  [{ templateParamSet: [] }, 'templateParamSet: expected a variable with {code}, got none'],
  [{ templateParamSet: ['{code}', 5] }, 'templateParamSet.1: expected a string, got number'],
  [
    { templateParamSet: ['{1}'] },
    'templateParamSet.0: expected {code} and {minutes} only, got another string',
  ],
  [
    { templateParamSet: 'code' },
    'templateParamSet: expected the variables of the template, got another type',
  ],
  [{ region: '' }, 'region: expected a string without blanks, got an empty string'],
  [
    { baseUrl: 'sms.tencentcloudapi.com' },
    'baseUrl: expected an http(s) address without credentials, query and fragment, got another string',
  ],
]

for (const [mistake, text] of mistakes) {
  test(`The settings ${JSON.stringify(mistake)} are refused at the start.`, () => {
    const options = { ...settings, ...mistake } as typeof settings
    assert.throws(() => tencentProvider(options), {
      name: 'TypeError',
      message: `tencentProvider: ${text}`,
    })
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: Partial<TencentOptions> = {},
  reply: Reply = accept,
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using vendor = await vendorServer(reply)
  const provider = tencentProvider({ ...settings, ...options, baseUrl: vendor.url })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, ...fields }, { signal }),
    requests: vendor.requests,
  }
}

// As the vendor checks it: from what has arrived, with nothing of the provider's.
function assertSigned(
  { method, path, headers, body }: VendorRequest,
  service: string | undefined,
  host: string | undefined,
): void {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const mac = (key: string | Buffer, text: string) =>
    createHmac('sha256', key).update(text).digest()
  const canonical = `${method}\n${path}\n\ncontent-type:${headers['content-type']}\nhost:${host}\n\ncontent-type;host\n${hash(body)}`
  const seconds = headers['x-tc-timestamp']
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 10)
  const scope = `${date}/${service}/tc3_request`
  const key = mac(mac(mac(`TC3${keys.secretKey}`, date), String(service)), 'tc3_request')
  const signature = mac(key, `TC3-HMAC-SHA256\n${seconds}\n${scope}\n${hash(canonical)}`)
  assert.equal(
    headers.authorization,
    `TC3-HMAC-SHA256 Credential=${keys.secretId}/${scope}, SignedHeaders=content-type;host, Signature=${signature.toString('hex')}`,
  )
}
