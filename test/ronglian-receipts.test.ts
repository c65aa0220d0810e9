import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { signRonglian } from '../src/providers/ronglian-api.ts'
import type { Receipt } from '../src/receipts/receipt.ts'
import { type RonglianReceiptsOptions, ronglianReceipts } from '../src/receipts/ronglian.ts'
import {
  answer,
  answerJson,
  hang,
  type Reply,
  testReceiptSource,
  vendorServer,
} from '../src/testing/index.ts'

const vectors: {
  statusPush: { Request: Record<string, unknown> }
  getArrived: { path: string; requestJson: unknown; responseJson: { reports: object[] } }
} = JSON.parse(readFileSync(new URL('vectors/ronglian-vectors.json', import.meta.url), 'utf8'))

const token = 'abcdefghij_KLMNOPQRS-0123'
const account = {
  accountSid: '8a48b55100000000000000000000aaaa',
  authToken: '0123456789abcdef0123456789abcdef',
  appId: '8a48b55100000000000000000000bbbb',
}
const messageId = 'ff8080813c373cab013c94b0f0512345'
const key = '00112233445566778899aabbccddeeff'
const delivered = { messageId, state: 'delivered' }

const pushed = (fields: Record<string, unknown>) => ({
  url: `/sms/receipts/ronglian/${token}`,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ Request: { ...vectors.statusPush.Request, ...fields } }),
})

testReceiptSource('ronglian', {
  make: () => ronglianReceipts({ token, pull: account }),
  delivered: pushed({}),
  failed: pushed({ status: '1', deliverCode: 'UNDELIV' }),
  interim: [pushed({ smsType: '0', content: 'Hello' })],
  secrets: [token, account.authToken, String(vectors.statusPush.Request.fromNum)],
})

test('The vendor’s example of a push is read.', () => {
  assert.deepEqual(push({}), [delivered])
})

test('The key of the message comes back as reqId; another program’s reqId is no key.', () => {
  assert.deepEqual(push({ reqId: key }), [{ ...delivered, key }])
  for (const reqId of ['req0001', '', key.toUpperCase(), `${key}0`, 7, null, undefined]) {
    assert.deepEqual(push({ reqId }), [delivered])
  }
})

for (const [deliverCode, reason] of [
  ['UNDELIV', 'recipient'],
  ['EXPIRED', 'recipient'],
  ['DELETED', 'recipient'],
  ['MK:0001', 'recipient'],
  ['REJECTD', 'provider'],
  ['DB:0141', 'provider'],
  ['-37', 'provider'],
  ['1', 'provider'],
] as const) {
  test(`A failure with ${deliverCode} has the reason ${reason}.`, () => {
    const failed = { messageId, key, state: 'failed', reason, code: deliverCode }
    assert.deepEqual(push({ status: '1', deliverCode, reqId: key }), [failed])
  })
}

test('What may hold a number or a sentence is not told as a code.', () => {
  const failed = { messageId, state: 'failed', reason: 'provider' }
  for (const deliverCode of ['', '13800000000', 'not delivered', '号码', 7, null, undefined]) {
    assert.deepEqual(push({ status: '1', deliverCode }), [failed])
  }
})

test('The state is read as a string or a number; anything but 0 is a failure.', () => {
  assert.deepEqual(push({ status: 0 }), [delivered])
  for (const status of [1, -1, '2', '00']) {
    const [receipt] = push({ status }) as Receipt[]
    assert.equal(receipt?.state, 'failed')
  }
})

test('An SMS that somebody has sent to us is no receipt.', () => {
  assert.deepEqual(push({ smsType: '0', content: 'Hello' }), [])
  assert.deepEqual(push({ smsType: 0 }), [])
})

test('A push without a readable id, state or type is malformed.', () => {
  for (const fields of [
    { content: undefined },
    { content: 'short' },
    { content: 7 },
    { content: [messageId] },
    { status: undefined },
    { status: null },
    { status: '' },
    { status: true },
    { status: ['0'] },
    { smsType: '2' },
    { smsType: undefined },
    { action: 'CallAuth' },
    { action: undefined },
  ]) {
    assert.equal(push(fields), 'malformed', JSON.stringify(fields))
  }
})

test('Junk is malformed and never throws.', () => {
  const { read } = ronglianReceipts({ token })
  for (const body of [
    '',
    'null',
    '7',
    '"Request"',
    '[]',
    '{}',
    '{"Request":null}',
    '{"Request":"x"}',
    '{"Request":[]}',
    '{"__proto__":{"Request":{}}}',
    '{"Request":{"__proto__":{"action":"SMSArrived"}}}',
    '<?xml version="1.0"?><Request><action>SMSArrived</action></Request>',
    '{'.repeat(10_000),
    '\0\uD800',
  ]) {
    assert.equal(read({ url: '/', headers: {}, body }), 'malformed', body.slice(0, 60))
  }
})

test('Without a token whatever is pushed is forged.', () => {
  const { token: given, read } = ronglianReceipts({ pull: account })
  assert.equal(given, undefined)
  assert.equal(read({ url: '/', headers: {}, body: '{}' }), 'forged')
})

test('It is about the provider ronglian, has the token if there is one, and wants an empty answer.', () => {
  const { provider, token: given, answer: wanted, pull, confirm } = ronglianReceipts({ token })
  assert.deepEqual([provider, given, wanted, pull, confirm], ['ronglian', token, ...empty])
})

const empty = [undefined, undefined, undefined]

test('The question is that of the vector, signed with the time stamp of its own moment.', async () => {
  await using vendor = await vendorServer(answerJson(200, vectors.getArrived.responseJson))
  let time = Date.parse('2024-01-02T03:04:05+08:00')
  const now = () => {
    time += 1000
    return time
  }
  const { pull } = ronglianReceipts({ pull: { ...account, baseUrl: vendor.url, now } })
  assert.equal(pull?.every, 30)
  for (const index of [0, 1]) {
    await pull?.receipts({ signal: AbortSignal.timeout(5000) })
    const { method, path, headers, body } = vendor.requests[index] ?? assert.fail()
    const { sig, authorization } = signRonglian(account.accountSid, account.authToken, time)
    const expected = vectors.getArrived.path
      .replace('{accountSid}', account.accountSid)
      .replace('{sig}', sig)
    assert.deepEqual([method, path], ['POST', expected])
    assert.equal(headers.authorization, authorization)
    assert.deepEqual(JSON.parse(body), vectors.getArrived.requestJson)
  }
})

test('The vendor’s example of an answer is read.', async () => {
  assert.deepEqual(await pulled(answerJson(200, vectors.getArrived.responseJson)), [delivered])
})

test('500 receipts fit into an answer, and those that cannot be read are left out.', async () => {
  const [report] = vectors.getArrived.responseJson.reports
  const note = '文'.repeat(100)
  const reports = Array.from({ length: 500 }, (_, index) => ({
    ...report,
    note,
    ...(index % 2 && { content: 'x' }),
  }))
  const receipts = await pulled(answerJson(200, { statusCode: '000000', reports: [...reports, 7] }))
  assert.equal(receipts.length, 250)
})

test('Where there is nothing to tell there are no receipts.', async () => {
  for (const answered of [{ reports: [] }, {}]) {
    assert.deepEqual(await pulled(answerJson(200, { statusCode: '000000', ...answered })), [])
  }
})

for (const [title, reply, says] of [
  ['A refusal', answerJson(200, { statusCode: '112354', statusMsg: '并发' }), '112354'],
  ['Another answer', answerJson(200, { statusCode: '+8613800138000' }), 'unreadable'],
  ['A number for a code', answerJson(200, { statusCode: 112354 }), 'unreadable'],
  ['A page', answer(200, '<html>'), 'unreadable'],
  ['No list', answerJson(200, { statusCode: '000000', reports: 'x' }), 'unreadable'],
  ['An HTTP status', answerJson(503, { statusCode: '000000', reports: [] }), 'HTTP_503'],
  ['An endless answer', answer(200, ' '.repeat(600 * 1024)), 'ANSWER_TOO_LONG'],
] as const) {
  test(`${title} is told by "${says}" and nothing else.`, async () => {
    await assert.rejects(pulled(reply), { message: `ronglian: GetArrived: ${says}` })
  })
}

test('A question that is not answered ends with its signal.', async () => {
  await assert.rejects(pulled(hang, AbortSignal.timeout(50)), /^Error: ronglian: GetArrived: \w+$/)
})

test('The settings are not on the source.', () => {
  const source = ronglianReceipts({ token, pull: account })
  assert.ok(!JSON.stringify(source).includes(account.authToken))
})

const pull = account
const tooShort = 'expected 20 to 100 characters of A-Z, a-z, 0-9, _ and -'
const mistakes: [Record<string, unknown>, string][] = [
  [{}, ' expected token, pull or both, got neither'],
  [{ token: 'secret' }, ` token: ${tooShort}, got another string`],
  [{ token: `${token}/` }, ` token: ${tooShort}, got another string`],
  [{ token: null }, ' token: expected a string, got null'],
  [
    { pull: { ...pull, accountSid: '' } },
    ' pull: accountSid: expected letters, digits, _ and -, got an empty string',
  ],
  [{ pull: { ...pull, authToken: 7 } }, ' pull: authToken: expected a string, got number'],
  [
    { pull: { ...pull, appId: 'a b' } },
    ' pull: appId: expected a string without blanks, got another string',
  ],
  ...[0, 0.5, 3601, Number.NaN, '30', null].map((every): [Record<string, unknown>, string] => [
    { pull: { ...pull, every } },
    ` pull: every: expected seconds from 1 to 3600, got ${every}`,
  ]),
]

for (const [options, text] of mistakes) {
  test(`Refused at the start:${text}.`, () => {
    const expected = { name: 'TypeError', message: `ronglianReceipts:${text}` }
    assert.throws(() => ronglianReceipts(options as RonglianReceiptsOptions), expected)
  })
}

/** What is read from the vendor's example with other fields. */
const push = (fields: Record<string, unknown>): unknown =>
  ronglianReceipts({ token }).read(pushed(fields))

async function pulled(reply: Reply, signal = AbortSignal.timeout(5000)): Promise<Receipt[]> {
  await using vendor = await vendorServer(reply)
  const source = ronglianReceipts({ pull: { ...account, baseUrl: vendor.url } })
  return (await source.pull?.receipts({ signal })) ?? assert.fail()
}
