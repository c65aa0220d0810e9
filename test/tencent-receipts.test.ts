import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tencentReceipts } from '../src/receipts/tencent.ts'

const token = 'pX7_-0123456789abcdefghijk'
const messageId = '5000:1045710669157053657849499619'
const key = '00112233445566778899aabbccddeeff'
const source = tencentReceipts({ token })

// As https://cloud.tencent.com/document/api/382/59178 has it.
const item = {
  user_receive_time: '2024-01-02 11:04:08',
  nationcode: '86',
  mobile: '13800138000',
  report_status: 'SUCCESS',
  errmsg: 'DELIVRD',
  description: '用户短信送达成功',
  sid: messageId,
}

const read = (body: unknown) =>
  source.read({
    url: `/sms/receipts/tencent/${token}`,
    headers: {},
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test('A delivered SMS is told with its id, and nothing else of it.', () => {
  assert.deepEqual(read([item]), [{ messageId, state: 'delivered' }])
})

test('Where Tencent gives back the session, its key is told.', () => {
  assert.deepEqual(read([{ ...item, ext: key }]), [{ messageId, key, state: 'delivered' }])
  for (const ext of [null, 7, '', 'req-0001', key.toUpperCase(), `${key}0`]) {
    assert.deepEqual(read([{ ...item, ext }]), [{ messageId, state: 'delivered' }])
  }
})

test('Ids of every length that has been seen are read.', () => {
  for (const sid of [
    '8:aIt9bcbZHdse7kBZuqi20170104',
    '2034:03221042101042831562207829460731',
    '2640:286105470816614518716100163',
  ]) {
    assert.deepEqual(read([{ ...item, sid }]), [{ messageId: sid, state: 'delivered' }])
  }
})

test('Several receipts of one push are told in their order.', () => {
  const failed = { ...item, report_status: 'FAIL', errmsg: 'REJECTD', sid: '1:2' }
  assert.deepEqual(read([item, failed, item]), [
    { messageId, state: 'delivered' },
    { messageId: '1:2', state: 'failed', reason: 'provider', code: 'REJECTD' },
    { messageId, state: 'delivered' },
  ])
})

// https://www.tencentcloud.com/document/product/382/35462, and the carriers' own.
const reasons = {
  recipient: [
    ...['UNDELIV', 'EXPIRED', 'DELETED', 'SUBFAIL', '002'],
    ...['MK:0001', 'MK:0005', 'MK:0010', 'MK:0013', 'MK:0023'],
    ...['MI:0024', 'MI:0042', 'MI:0051', 'MI:0054', 'MI:0059', 'MI:0072', 'MI:0073', 'MI:0076'],
    ...['MI:0082', 'MI:0099', 'MI:0208', 'MI:0210'],
  ],
  provider: ['REJECTD', 'UNKNOWN', 'COMFAIL', 'WTNFAIL', '-106', 'MK:0036', 'E:EXT', 'NEW'],
}

for (const [reason, codes] of Object.entries(reasons)) {
  test(`The reason is ${reason} with ${codes.join(', ')}.`, () => {
    for (const code of codes) {
      assert.deepEqual(read([{ ...item, report_status: 'FAIL', errmsg: code }]), [
        { messageId, state: 'failed', reason, code },
      ])
    }
  })
}

test('What cannot be a code is not shown.', () => {
  for (const errmsg of [undefined, null, 7, '', '13800138000', 'to 138', '号码', 'x'.repeat(65)]) {
    assert.deepEqual(read([{ ...item, report_status: 'FAIL', errmsg }]), [
      { messageId, state: 'failed', reason: 'provider' },
    ])
  }
})

test('An item that cannot be read is passed over.', () => {
  for (const odd of unreadable) {
    assert.deepEqual(read([odd, item]), [{ messageId, state: 'delivered' }])
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

test('It is of the provider and answers what the vendor wants to hear.', () => {
  assert.equal(source.provider, 'tencent')
  assert.equal(source.token, token)
  assert.deepEqual(source.answer, { result: 0, errmsg: 'OK' })
})

test('A token that can be guessed is refused, and not shown.', () => {
  for (const odd of ['', 'hush-0123456789abcd', 'hush 0123456789abcdefghijk']) {
    assert.throws(
      () => tencentReceipts({ token: odd }),
      (error: Error) =>
        error instanceof TypeError &&
        error.message.startsWith('tencentReceipts: token: expected 20 to 100 characters') &&
        !error.message.includes('hush'),
    )
  }
})

const unreadable = [
  null,
  7,
  'text',
  [],
  {},
  { ...item, sid: undefined },
  { ...item, sid: 7 },
  { ...item, sid: '' },
  { ...item, sid: '13800138000' },
  { ...item, sid: '5000:1 2' },
  { ...item, report_status: undefined },
  { ...item, report_status: 'success' },
  { ...item, report_status: true },
]
