import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { reachOf } from '../src/providers/receiver-address.ts'
import { signWebhook, type WebhookOptions, webhookProvider } from '../src/providers/webhook.ts'
import {
  answer,
  answerJson,
  message,
  type Reply,
  testHttpProvider,
  type VendorRequest,
  vendorServer,
} from '../src/testing/index.ts'
import { freePorts } from './services/ports.ts'

const vector = JSON.parse(
  readFileSync(new URL('vectors/webhook-vectors.json', import.meta.url), 'utf8'),
)

const secret = vector.secret
const otherSecret = `whsec_${Buffer.from('fedcba9876543210fedcba9876543210').toString('base64')}`
const url = 'https://receiver.example/sms'
const accepted = { status: 200, body: '{"id":"fedcba9876543210"}' }
const accept = answer(accepted.status, accepted.body)

testHttpProvider('webhook', {
  make: (baseUrl, fetch) =>
    webhookProvider({
      url: new URL('/sms', baseUrl).href,
      secret,
      allowPrivate: true,
      ...(fetch && { fetch }),
    }),
  accepted,
  refused: (text) => ({ status: 422, body: JSON.stringify({ id: text, error: text }) }),
  codeIn: ({ body }) => JSON.parse(body).data.code,
  secrets: [secret, secret.slice('whsec_'.length), vector.secretBytesUtf8],
  anyBody: true,
})

test('The signature is that of the vector.', () => {
  const { headers, body, secretBytesUtf8 } = vector
  const signature = signWebhook(
    [Buffer.from(secretBytesUtf8)],
    headers['webhook-id'],
    headers['webhook-timestamp'],
    body,
  )
  assert.equal(signature, headers['webhook-signature'])
})

test('The library of the standard verifies the request and reads the message from it.', async () => {
  const now = () => Math.floor(Date.now() / 1000) * 1000
  const { requests } = await send(
    { expiresIn: 250, attempt: 2, text: 'Ваш код 012345 — 验证码' },
    { now },
  )
  const { headers, body } = requests[0] as VendorRequest
  const payload = new Webhook(secret).verify(body, headers as Record<string, string>)
  const { phone, country, code, minutes, purpose, locales } = message
  const time = Number(headers['webhook-timestamp'])
  assert.deepEqual(payload, {
    type: 'sms.send',
    timestamp: new Date(time * 1000).toISOString(),
    data: {
      phone,
      country,
      code,
      text: 'Ваш код 012345 — 验证码',
      minutes,
      expiresIn: 250,
      purpose,
      locales,
      attempt: 2,
    },
  })
  const forged = body.replace('"012345"', '"543210"')
  assert.throws(() => new Webhook(secret).verify(forged, headers as Record<string, string>))
})

test('While the secret is changed, the holder of either one verifies the request, and nobody else.', async () => {
  const { requests } = await send({}, { secret: [otherSecret, secret] })
  const { headers, body } = requests[0] as VendorRequest
  const given = headers as Record<string, string>
  for (const each of [secret, otherSecret]) assert.ok(new Webhook(each).verify(body, given))
  const third = otherSecret.replace('Z', 'Y')
  assert.throws(() => new Webhook(third).verify(body, given), /No matching signature/)
})

test('Every attempt has the same id, and a time stamp and a signature of its own.', async () => {
  const [first, second] = await Promise.all([
    send({ attempt: 1 }, { now: () => 1_704_164_645_999 }),
    send({ attempt: 2 }, { now: () => 1_704_164_649_000 }),
  ])
  const headers = [first, second].map(({ requests }) => requests[0]?.headers ?? {})
  assert.deepEqual(
    headers.map((each) => each['webhook-id']),
    [message.key, message.key],
  )
  assert.deepEqual(
    headers.map((each) => each['webhook-timestamp']),
    ['1704164645', '1704164649'],
  )
  assert.notEqual(headers[0]?.['webhook-signature'], headers[1]?.['webhook-signature'])
})

test('The receiver does not get to know the id of the verification.', async () => {
  const { requests } = await send({ id: 'fedcba98765432100123456789abcdef' })
  assert.doesNotMatch(JSON.stringify(requests[0]), /fedcba9876543210/)
})

for (const [status, expected] of [
  [200, { class: 'ok' }],
  [202, { class: 'ok' }],
  [204, { class: 'ok' }],
  [302, { class: 'ambiguous', alert: true }],
  [400, { class: 'permanent_request' }],
  [401, { class: 'account', alert: true }],
  [403, { class: 'account', alert: true }],
  [404, { class: 'permanent_request', alert: true }],
  [405, { class: 'permanent_request', alert: true }],
  [408, { class: 'retry' }],
  [409, { class: 'duplicate' }],
  [410, { class: 'permanent_recipient' }],
  [415, { class: 'permanent_request', alert: true }],
  [422, { class: 'permanent_request' }],
  [425, { class: 'retry' }],
  [429, { class: 'retry' }],
  [500, { class: 'ambiguous' }],
  [503, { class: 'ambiguous' }],
  [504, { class: 'ambiguous' }],
] as const) {
  test(`HTTP ${status} is ${expected.class}${'alert' in expected ? ' with an alert' : ''}.`, async () => {
    const { outcome } = await send({}, {}, answer(status, ''))
    assert.deepEqual(
      outcome,
      expected.class === 'ok' ? expected : { ...expected, code: `HTTP_${status}` },
    )
  })
}

test('HTTP 503 that says when to come again is retry.', async () => {
  const { outcome } = await send({}, {}, answer(503, '', { 'Retry-After': '30' }))
  assert.deepEqual(outcome, { class: 'retry', code: 'HTTP_503' })
})

test('The id in an answer is the id of the message, unless it may be something else.', async () => {
  for (const id of ['7', 'fedcba9876543210', 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W', message.key]) {
    const { outcome } = await send({}, {}, answerJson(200, { id }))
    assert.deepEqual(outcome, { class: 'ok', messageId: id })
  }
  for (const id of [
    '',
    1,
    null,
    { id: 1 },
    '+8613800138000',
    '13800138000',
    'sms-8613800138000-1',
    message.code,
    'a b'.repeat(9),
    'a'.repeat(65),
  ]) {
    const { outcome } = await send({}, {}, answerJson(200, { id }))
    assert.deepEqual(outcome, { class: 'ok' })
  }
})

test('The receiver of the README verifies, drops what it has seen, and refuses what is not signed.', async (t) => {
  const readme = readFileSync('README.md', 'utf8')
  const program = /### Webhook.*?```js\n(.*?)```/s.exec(readme)?.[1] ?? ''
  // Inside the checkout, where packages are found.
  await mkdir(join('node_modules', '.cache'), { recursive: true })
  const folder = await mkdtemp(join('node_modules', '.cache', 'receiver-'))
  const file = join(folder, 'receiver.mjs')
  await writeFile(file, program)
  const [port] = await freePorts(1)
  const env = { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) }
  const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(async () => {
    child.kill()
    await rm(folder, { recursive: true })
  })
  const address = `http://127.0.0.1:${port}/sms`
  const ours = webhookProvider({ url: address, secret, allowPrivate: true })
  const theirs = webhookProvider({ url: address, secret: otherSecret, allowPrivate: true })
  const signal = AbortSignal.timeout(60_000)
  const outcomes: Outcome[] = []
  for (const provider of [theirs, ours, ours]) {
    let outcome = await provider.send(message, { signal })
    // It is not there at once.
    while (outcome.code === 'ECONNREFUSED') {
      await sleep(50)
      outcome = await provider.send(message, { signal })
    }
    outcomes.push(outcome)
  }
  assert.deepEqual(outcomes, [
    { class: 'account', code: 'HTTP_401', alert: true },
    { class: 'ok', messageId: message.key },
    { class: 'duplicate', code: 'HTTP_409' },
  ])
  const [printed] = await once(child.stdout, 'data')
  assert.equal(String(printed), `Send to ${message.phone}: ${message.text}\n`)
})

test('It is idempotent where the receiver is said to be.', () => {
  assert.equal(webhookProvider({ url, secret }).idempotent, false)
  assert.equal(webhookProvider({ url, secret, idempotent: true }).idempotent, true)
})

const reaches: [reach: ReturnType<typeof reachOf>, addresses: string[]][] = [
  [
    'public',
    ['1.1.1.1', '93.184.216.34', '172.32.0.1', '192.167.255.255', '100.128.0.1', '2606:4700::1111'],
  ],
  ['public', ['::ffff:1.1.1.1', '64:ff9b::101:101']],
  [
    'private',
    ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1', '100.127.255.255'],
  ],
  ['private', ['127.0.0.1', '127.255.255.255', '::1', 'fc00::1', 'fdff::1', '::127.0.0.1']],
  ['private', ['::ffff:127.0.0.1', '::ffff:a00:1', '64:ff9b::10.0.0.1', '64:ff9b::7f00:1']],
  // This network, link-local with the metadata services, and those that are elsewhere.
  [
    'never',
    ['0.0.0.0', '0.1.2.3', '::', '169.254.0.1', '169.254.169.254', 'fe80::1', 'fe80::1%eth0'],
  ],
  [
    'never',
    [
      '168.63.129.16',
      '100.100.100.200',
      'fd00:ec2::254',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
    ],
  ],
  // Multicast, broadcast, reserved, documentation, benchmarks.
  [
    'never',
    ['224.0.0.1', '239.255.255.255', '255.255.255.255', '240.0.0.1', 'ff02::1', '192.0.0.1'],
  ],
  [
    'never',
    ['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '2001:db8::1', '100::1', '3fff::1'],
  ],
  // IPv4 in other clothes: 6to4, its relays, Teredo, translated, a NAT64 of one's own. And site-local.
  [
    'never',
    [
      '2002:7f00:1::',
      '192.88.99.1',
      '2001::1',
      '::ffff:0:127.0.0.1',
      '64:ff9b:1::7f00:1',
      'fec0::1',
    ],
  ],
  ['never', ['', 'localhost', '1.1.1', '2130706433', '1.1.1.1.1']],
]

for (const [reach, addresses] of reaches) {
  for (const address of addresses) {
    test(`The address "${address}" is ${reach}.`, () => assert.equal(reachOf(address), reach))
    if (reach === 'public' || address === '') continue

    test(`A name that leads to "${address}" is refused${reach === 'never' ? ' always' : ''}.`, async () => {
      let connected = false
      await using receiver = await vendorServer(() => {
        connected = true
      })
      // The port is nobody's at that address; it is not even tried.
      const { port } = new URL(receiver.url)
      const resolve = resolving([address])
      const signal = AbortSignal.timeout(5000)
      for (const allowPrivate of reach === 'never' ? [false, true] : [false]) {
        const options = { url: `https://receiver.example:${port}/`, secret, allowPrivate }
        const outcome = await webhookProvider({ ...options, lookup: resolve }).send(message, {
          signal,
        })
        assert.deepEqual(outcome, { class: 'account', code: 'ADDRESS_REFUSED', alert: true })
      }
      assert.equal(connected, false)
    })
  }
}

for (const host of [
  '127.0.0.1',
  '2130706433',
  '0x7f.1',
  '017700000001',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '10.0.0.1',
]) {
  test(`The address ${host} in the URL is refused at the start, unless private ones are allowed.`, () => {
    const options = { url: `https://${host}/`, secret }
    assert.throws(() => webhookProvider(options), {
      name: 'TypeError',
      message: /expected a public/,
    })
    assert.ok(webhookProvider({ ...options, allowPrivate: true }))
  })
}

for (const host of ['169.254.169.254', '[fe80::1]', '0.0.0.0', '[fd00:ec2::254]']) {
  test(`The address ${host} in the URL is refused at the start in any case.`, () => {
    const options = { url: `https://${host}/`, secret, allowPrivate: true }
    assert.throws(() => webhookProvider(options), { name: 'TypeError', message: /expected a/ })
  })
}

test('One private address among public ones is refused.', async () => {
  const lookup = resolving(['93.184.216.34', '10.0.0.1'])
  const outcome = await webhookProvider({ url, secret, lookup }).send(message, {
    signal: AbortSignal.timeout(5000),
  })
  assert.deepEqual(outcome, { class: 'account', code: 'ADDRESS_REFUSED', alert: true })
})

test('A name that leads elsewhere the second time is refused then.', async () => {
  await using receiver = await vendorServer(answer(200, '', { Connection: 'close' }))
  const addresses = ['127.0.0.1', '169.254.169.254']
  const provider = webhookProvider({
    url: receiver.url.replace('127.0.0.1', 'receiver.example'),
    secret,
    allowPrivate: true,
    lookup: (...args) => resolving([addresses.shift() ?? ''])(...args),
  })
  const signal = AbortSignal.timeout(5000)
  assert.deepEqual(await provider.send(message, { signal }), { class: 'ok' })
  const outcome = await provider.send(message, { signal })
  assert.deepEqual(outcome, { class: 'account', code: 'ADDRESS_REFUSED', alert: true })
  assert.equal(receiver.requests.length, 1)
})

test('Plain http stays within private addresses.', async () => {
  const options = { url: 'http://receiver.example/', secret, allowPrivate: true }
  const outcome = await webhookProvider({ ...options, lookup: resolving(['93.184.216.34']) }).send(
    message,
    { signal: AbortSignal.timeout(5000) },
  )
  assert.deepEqual(outcome, { class: 'account', code: 'ADDRESS_REFUSED', alert: true })
})

test('A name that nobody knows is retry.', async () => {
  const error = Object.assign(new Error(), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
  const lookup: LookupFunction = (_, __, callback) => callback(error, '')
  const outcome = await webhookProvider({ url, secret, lookup }).send(message, {
    signal: AbortSignal.timeout(5000),
  })
  assert.deepEqual(outcome, { class: 'retry', code: 'ENOTFOUND' })
})

const malformed =
  'webhookProvider: secret: expected whsec_ and the Base64 of 24 to 64 bytes, got another string'
const notHttps =
  'webhookProvider: url: expected an https address without credentials and fragment, got another string'
const mistakes: [Record<string, unknown>, string][] = [
  [{ secret }, 'webhookProvider: url: expected a string, got undefined'],
  [{ url: 'http://receiver.example/', secret }, notHttps],
  [{ url: 'receiver.example', secret }, notHttps],
  [{ url: 'https://me:pass@receiver.example/', secret }, notHttps],
  [{ url: `${url}#top`, secret }, notHttps],
  [
    { url: 'ftp://receiver.example/', secret, allowPrivate: true },
    notHttps.replace('an https', 'an http(s)'),
  ],
  [
    { url: 'http://1.1.1.1/', secret, allowPrivate: true },
    'webhookProvider: url: expected a private address, got 1.1.1.1',
  ],
  [{ url }, 'webhookProvider: secret: expected a string, got undefined'],
  [{ url, secret: [] }, 'webhookProvider: secret: expected at least one, got none'],
  [{ url, secret: '0'.repeat(32) }, malformed],
  [{ url, secret: 'whsec_c2hvcnQ=' }, malformed],
  [{ url, secret: `whsec_${Buffer.alloc(65).toString('base64')}` }, malformed],
  [{ url, secret: [secret, 'whsec_'] }, malformed],
]

for (const [options, text] of mistakes) {
  test(`The settings ${JSON.stringify(options)} are refused at the start.`, () => {
    assert.throws(() => webhookProvider(options as unknown as WebhookOptions), {
      name: 'TypeError',
      message: text,
    })
  })
}

async function send(
  fields: Partial<SmsMessage>,
  options: Partial<WebhookOptions> = {},
  reply: Reply = accept,
): Promise<{ outcome: Outcome; requests: VendorRequest[] }> {
  await using receiver = await vendorServer(reply)
  const provider = webhookProvider({ url: receiver.url, secret, allowPrivate: true, ...options })
  const signal = AbortSignal.timeout(5000)
  return {
    outcome: await provider.send({ ...message, ...fields }, { signal }),
    requests: receiver.requests,
  }
}

/** A lookup in which every name has these addresses. */
function resolving(addresses: string[]): LookupFunction {
  return (_, { all }, callback) => {
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    if (all) callback(null, found)
    else callback(null, found[0]?.address ?? '', found[0]?.family)
  }
}
