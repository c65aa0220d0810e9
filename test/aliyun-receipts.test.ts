import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aliyunReceipts } from '../src/receipts/aliyun.ts'

const token = 'pX7_-0123456789abcdefghijk'
const messageId = '900619746936498440^0'
const key = '00112233445566778899aabbccddeeff'
const source = aliyunReceipts({ token })

// As https://help.aliyun.com/document_detail/101867.html has it.
const item = {
  phone_number: '13800138000',
  send_time: '2024-01-02 11:04:05',
  report_time: '2024-01-02 11:04:08',
  success: true,
  err_code: 'DELIVERED',
  err_msg: '用户接收成功',
  sms_size: '1',
  biz_id: messageId,
  out_id: key,
}

const read = (body: unknown) =>
  source.read({
    url: `/sms/receipts/aliyun/${token}`,
    headers: {},
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test('A delivered SMS is told with id and key, and nothing else of it.', () => {
  assert.deepEqual(read([item]), [{ messageId, key, state: 'delivered' }])
})

test('Several receipts of one push are told in their order.', () => {
  const failed = { ...item, success: false, err_code: 'NO_ROUTE', biz_id: '1^0', out_id: '' }
  assert.deepEqual(read([item, failed, item]), [
    { messageId, key, state: 'delivered' },
    { messageId: '1^0', state: 'failed', reason: 'provider', code: 'NO_ROUTE' },
    { messageId, key, state: 'delivered' },
  ])
})

// https://help.aliyun.com/document_detail/101347.html
const reasons = {
  recipient: [
    'MOBILE_NOT_ON_SERVICE',
    'MOBILE_ACCOUNT_ABNORMAL',
    'MOBLLE_TERMINAL_ERROR',
    'MOBILE_TERMINAL_ERROR',
    'MOBILE_IN_BLACK',
    'INVALID_NUMBER',
    'USER_REJECT',
    'SP_NOT_BY_INTER_SMS',
    'REQUEST_SUCCESS',
  ],
  rate: ['MOBILE_SEND_LIMIT'],
  provider: [
    'IS_CLOSE',
    'PARAMS_ILLEGAL',
    'CONTENT_KEYWORD',
    'CONTENT_ERROR',
    'SIGNATURE_BLACKLIST',
    'PORT_NOT_REGISTERED',
    'NO_ROUTE',
    'SP_UNKNOWN_ERROR',
    'isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE',
    'SOMETHING_NEW',
  ],
}

for (const [reason, codes] of Object.entries(reasons)) {
  test(`The reason is ${reason} with ${codes.join(', ')}.`, () => {
    for (const code of codes) {
      assert.deepEqual(read([{ ...item, success: false, err_code: code }]), [
        { messageId, key, state: 'failed', reason, code },
      ])
    }
  })
}

test('What cannot be a code is not shown.', () => {
  for (const err_code of [
    undefined,
    null,
    7,
    '',
    '13800138000',
    'to 138',
    '号码',
    'x'.repeat(65),
    'A\n',
  ]) {
    assert.deepEqual(read([{ ...item, success: false, err_code }]), [
      { messageId, key, state: 'failed', reason: 'provider' },
    ])
  }
})

test('What cannot be a key of ours is left out.', () => {
  for (const out_id of [undefined, null, 7, '', 'req-0001', key.toUpperCase(), `${key}0`]) {
    assert.deepEqual(read([{ ...item, out_id }]), [{ messageId, state: 'delivered' }])
  }
})

test('An item that cannot be read is passed over.', () => {
  for (const odd of unreadable) {
    assert.deepEqual(read([odd, item]), [{ messageId, key, state: 'delivered' }])
  }
})

test('A push without an item that can be read is malformed.', () => {
  for (const odd of unreadable) assert.equal(read([odd]), 'malformed')
  for (const body of [
    '',
    '[',
    'null',
    '7',
    '"x"',
    '{}',
    JSON.stringify(item),
    '<html>',
    '\0\xff',
  ]) {
    assert.equal(read(body), 'malformed', body)
  }
})

test('A push of nothing is no receipt.', () => {
  assert.deepEqual(read([]), [])
})

test('Deep junk does no harm.', () => {
  assert.equal(read('['.repeat(100_000)), 'malformed')
  assert.equal(read(`${'['.repeat(5000)}${']'.repeat(5000)}`), 'malformed')
})

test('It is of the provider and answers what the vendor wants to hear.', () => {
  assert.equal(source.provider, 'aliyun')
  assert.equal(source.token, token)
  assert.deepEqual(source.answer, { code: 0, msg: 'OK' })
})

test('A token that can be guessed is refused, and not shown.', () => {
  const expected = '20 to 100 characters of A-Z, a-z, 0-9, _ and -'
  for (const [odd, got] of [
    [undefined, 'a string, got undefined'],
    ['', `${expected}, got an empty string`],
    ['hush-0123456789abcd', `${expected}, got another string`],
    ['hush'.repeat(26), `${expected}, got another string`],
    ['hush/0123456789abcdefghijk', `${expected}, got another string`],
  ] as const) {
    assert.throws(() => aliyunReceipts({ token: odd as string }), {
      name: 'TypeError',
      message: `aliyunReceipts: token: expected ${got}`,
    })
  }
})

const unreadable = [
  null,
  7,
  'text',
  [],
  {},
  { ...item, biz_id: undefined },
  { ...item, biz_id: 7 },
  { ...item, biz_id: '' },
  { ...item, biz_id: 'x^0' },
  { ...item, success: undefined },
  { ...item, success: 'true' },
  { ...item, success: 1 },
]
