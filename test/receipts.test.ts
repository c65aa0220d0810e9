/** Receipts from the vendor's request to the status of a verification, in both modes. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Outcome, SmsMessage, SmsProvider } from '../src/providers/provider.ts'
import type { Receipt, ReceiptSource } from '../src/receipts/receipt.ts'
import { signTwilio, twilioReceipts } from '../src/receipts/twilio.ts'
import {
  build,
  connected,
  consume,
  createLog,
  embedded,
  MODES,
  newPhone,
  newQueuePrefix,
  post,
  recordingProvider,
  until,
} from './helper.ts'
import { startRedis } from './services.ts'

const TOKEN = 'a-token_of-enough-length'

/** A vendor that posts its receipts as they are. */
const plainSource = (more: Partial<ReceiptSource> = {}): ReceiptSource => ({
  provider: 'recording',
  token: TOKEN,
  answer: { code: 0 },
  read({ body }) {
    if (body === 'forged' || body === 'malformed') return body
    return JSON.parse(body) as Receipt[]
  },
  ...more,
})

async function startWith(
  t: TestContext,
  mode: (typeof MODES)[number],
  more: {
    source?: Partial<ReceiptSource>
    answer?: (message: SmsMessage) => Outcome | Promise<Outcome>
  } = {},
) {
  const answer = more.answer ?? (({ key }) => ({ class: 'ok', messageId: `M${key}` }))
  const provider = recordingProvider(answer)
  const options = { receipts: [plainSource(more.source)] }
  const { logger, lines } = createLog()
  if (mode === 'embedded') {
    const app = await build(t, embedded({ provider, ...options }))
    return { app, provider, lines }
  }
  const queuePrefix = newQueuePrefix()
  await consume(t, { queuePrefix, provider, receipts: true, logger, retry: { backoff: 0.1 } })
  return { app: await build(t, connected({ queuePrefix, ...options })), provider, lines }
}

async function tell(app: FastifyInstance, receipts: unknown, token = TOKEN) {
  const payload = typeof receipts === 'string' ? receipts : JSON.stringify(receipts)
  const headers = { 'content-type': 'application/json' }
  return app.inject({ method: 'POST', url: `/sms/receipts/recording/${token}`, payload, headers })
}

/** A code is sent; answers the name that the vendor knows its SMS by. */
async function sendOne(app: FastifyInstance, provider: { messages: SmsMessage[] }) {
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await until('it is sent', async () => (await app.smsVerify.status(id)).status === 'sent')
  const message = provider.messages.find((each) => each.id === id) ?? assert.fail()
  return { id, message, messageId: `M${message.key}` }
}

for (const mode of MODES) {
  test(`${mode}: a receipt says what became of the SMS, and why`, async (t) => {
    const { app, provider } = await startWith(t, mode)
    const statusOf = async (id: string) => {
      const { status, reason } = await app.smsVerify.status(id)
      return [status, reason]
    }
    const one = await sendOne(app, provider)
    const answer = await tell(app, [{ messageId: one.messageId, state: 'delivered' }])
    assert.deepEqual([answer.statusCode, answer.json()], [200, { code: 0 }])
    assert.deepEqual(await statusOf(one.id), ['delivered', undefined])

    const two = await sendOne(app, provider)
    await tell(app, [{ messageId: two.messageId, state: 'failed', reason: 'recipient', code: '1' }])
    assert.deepEqual(await statusOf(two.id), ['failed', 'recipient'])
    // It may have arrived all the same.
    const { code } = two.message
    assert.equal((await post(app, '/sms/verify', { id: two.id, code })).status, 200)
    await tell(app, [{ messageId: two.messageId, state: 'delivered' }])
    assert.deepEqual(await statusOf(two.id), ['verified', undefined])
  })

  test(`${mode}: a receipt that comes before the answer to the call is not lost`, async (t) => {
    let app: FastifyInstance | undefined
    const started = await startWith(t, mode, {
      async answer({ key }) {
        await tell(app as FastifyInstance, [{ messageId: `M${key}`, state: 'delivered' }])
        return { class: 'ok', messageId: `M${key}` }
      },
    })
    app = started.app
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    const status = async () => (await started.app.smsVerify.status(id)).status
    await until('it has arrived', async () => (await status()) === 'delivered')
  })

  test(`${mode}: a receipt by our key ends the doubt about a call that was not answered`, async (t) => {
    const { app, provider } = await startWith(t, mode, { answer: () => ({ class: 'ambiguous' }) })
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    await until('it was asked', () => provider.messages.length > 0)
    const { key } = provider.messages[0] ?? assert.fail()
    const status = async () => (await app.smsVerify.status(id)).status
    await until('it is to be tried again', async () => (await status()) !== 'sending')
    await tell(app, [{ messageId: 'unheard of', key, state: 'delivered' }])
    assert.equal(await status(), 'delivered')
    const before = provider.messages.length
    // Longer than the waits of the consumer here; the embedded mode would take 3 s.
    await sleep(1000)
    assert.equal(provider.messages.length, before)
  })
}

/** All orders of a sequence. */
function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items]
  return items.flatMap((item, index) =>
    permutations(items.filter((_, other) => other !== index)).map((rest) => [item, ...rest]),
  )
}

/** https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks */
const ON_THE_WAY = ['queued', 'sending', 'sent']

/** As they are, all of them again, and each one twice. */
const REPEATS: ((order: string[]) => string[])[] = [
  (order) => order,
  (order) => [...order, ...order],
  (order) => order.flatMap((each) => [each, each]),
]

for (const [last, status, reason] of [
  ['delivered', 'delivered', undefined],
  ['undelivered', 'failed', 'recipient'],
] as const) {
  test(`every order of four callbacks of Twilio, ${last} among them, with repeats, before and after our own record, ends the same`, async (t) => {
    const [authToken, url] = ['token-of-the-account', 'https://example.com/sms/receipts/twilio']
    const accountSid = `AC${'0'.repeat(32)}`
    /** What is faster than the answer to our call, by number. */
    const early = new Map<string, string[]>()
    const sids = new Map<string, string>()

    const provider: SmsProvider = {
      name: 'twilio',
      async send({ phone, key }) {
        const sid = `SM${key}`
        sids.set(phone, sid)
        await callBack(sid, early.get(phone) ?? [])
        return { class: 'ok', messageId: sid }
      },
    }
    const queuePrefix = newQueuePrefix()
    const { logger, lines } = createLog()
    await consume(t, { queuePrefix, provider, receipts: true, logger })
    const receipts = [twilioReceipts({ accountSid, authToken, url })]
    const app = await build(t, connected({ queuePrefix, receipts }))

    async function callBack(sid: string, statuses: string[]): Promise<void> {
      for (const each of statuses) {
        const form = new URLSearchParams({ MessageSid: sid, MessageStatus: each })
        if (each === 'undelivered') form.set('ErrorCode', '30005')
        const headers = {
          'content-type': 'application/x-www-form-urlencoded',
          'x-twilio-signature': signTwilio(authToken, url, form),
        }
        const payload = form.toString()
        const address = '/sms/receipts/twilio'
        const answer = await app.inject({ method: 'POST', url: address, payload, headers })
        assert.equal(answer.statusCode, 200)
      }
    }

    async function play(callbacks: string[], before: number): Promise<void> {
      const phone = newPhone()
      early.set(phone, callbacks.slice(0, before))
      const { id } = await app.smsVerify.send({ phone })
      const recorded = () => lines.some((line) => line.event === 'sms.sent' && line.id === id)
      await until('it is recorded', recorded, 20_000)
      await callBack(String(sids.get(phone)), callbacks.slice(before))
      const found = await app.smsVerify.status(id)
      const story = `${callbacks.slice(0, before)} | ${callbacks.slice(before)}`
      assert.deepEqual([found.status, found.reason], [status, reason], story)
    }

    for (const repeat of REPEATS) {
      const plays = permutations([...ON_THE_WAY, last]).flatMap((order) => {
        const callbacks = repeat(order)
        const middle = callbacks.indexOf(last) + 1
        // All after our record; the last word, or all but it, before; all before.
        return [0, middle, middle - 1, callbacks.length].map((before) => play(callbacks, before))
      })
      await Promise.all(plays)
    }
  })
}

test('who does not know the token finds nothing, and junk and forgeries change nothing', async (t) => {
  const { app, provider } = await startWith(t, 'embedded')
  const { id, messageId } = await sendOne(app, provider)
  const receipt = [{ messageId, state: 'failed' }]
  for (const token of ['', 'x', `${TOKEN}x`, TOKEN.slice(1), '%00', 'a'.repeat(200)]) {
    const { statusCode } = await tell(app, receipt, token)
    assert.ok(statusCode === 404 || statusCode === 414, `${token}: ${statusCode}`)
  }
  assert.equal((await tell(app, 'forged')).statusCode, 403)
  assert.equal((await tell(app, 'malformed')).statusCode, 400)
  const large = JSON.stringify('x'.repeat(300_000))
  assert.equal((await tell(app, large)).statusCode, 413)
  const url = `/sms/receipts/recording/${TOKEN}`
  assert.equal((await app.inject({ method: 'GET', url })).statusCode, 404)
  assert.equal(
    (await tell(app, [{ messageId: 'of somebody else', state: 'failed' }])).statusCode,
    200,
  )
  assert.equal((await app.smsVerify.status(id)).status, 'sent')
})

test('the log shows no token', async (t) => {
  const lines: string[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => void lines.push(line) } }
  const options = embedded({ receipts: [plainSource()] })
  const app = await build(t, options, { logger })
  await tell(app, [{ messageId: 'unknown', state: 'failed' }])
  await tell(app, 'forged')
  const url = `/sms/receipts/recording/${TOKEN}`
  for (const method of ['GET', 'PUT', 'DELETE'] as const) {
    assert.equal((await app.inject({ method, url })).statusCode, 404)
  }
  assert.equal((await app.inject({ method: 'POST', url: `${url}/` })).statusCode, 404)
  // What cannot be read, and what a source against its contract throws at.
  assert.equal((await tell(app, '{')).statusCode, 500)
  assert.equal((await tell(app, JSON.stringify('x'.repeat(300_000)))).statusCode, 413)
  assert.ok(lines.some((line) => line.includes('receipt.forged')))
  assert.ok(lines.every((line) => !line.includes(TOKEN)))
})

test('a code that was entered is confirmed to the vendor, and a vendor that is down harms nobody', async (t) => {
  const confirmed: string[] = []
  const { app, provider } = await startWith(t, 'embedded', {
    source: {
      async confirm(messageId) {
        confirmed.push(messageId)
        throw new Error('HTTP 500')
      },
    },
  })
  const { id, message, messageId } = await sendOne(app, provider)
  assert.equal((await post(app, '/sms/verify', { id, code: message.code })).status, 200)
  await until('it is confirmed', () => confirmed.length > 0)
  assert.deepEqual(confirmed, [messageId])
})

test('while the store cannot be asked the vendor is told to come again, and the log shows no token', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  const lines: string[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => void lines.push(line) } }
  const options = connected({ redis: redis.url, receipts: [plainSource()] })
  const app = await build(t, options, { logger })
  await redis.kill()
  const answer = await tell(app, [{ messageId: 'unknown', state: 'failed' }])
  assert.deepEqual([answer.statusCode, answer.headers['retry-after']], [503, '5'])
  assert.ok(lines.every((line) => !line.includes(TOKEN)))
})

test('a confirmation that throws at once does not cost the person the proof', async (t) => {
  const { app, provider } = await startWith(t, 'embedded', {
    source: {
      confirm() {
        throw new Error('at once')
      },
    },
  })
  const { id, message } = await sendOne(app, provider)
  const { status, body } = await post(app, '/sms/verify', { id, code: message.code })
  assert.deepEqual([status, typeof body.proof], [200, 'string'])
})

test('a vendor that does not push is asked, and what could not be had is asked for again', async (t) => {
  let asked = 0
  let waiting: Receipt[] = []
  const pull = {
    every: 0.05,
    async receipts() {
      if (asked++ % 2 === 0) throw new Error('503')
      const given = waiting
      waiting = []
      return given
    },
  }
  const source: ReceiptSource = { provider: 'recording', pull, read: () => 'forged' }
  const provider = recordingProvider(({ key }) => ({ class: 'ok', messageId: `M${key}` }))
  const app = await build(t, embedded({ provider, receipts: [source] }))
  const { id, messageId } = await sendOne(app, provider)
  waiting = [{ messageId, state: 'delivered' }]
  const status = async () => (await app.smsVerify.status(id)).status
  await until('it has arrived', async () => (await status()) === 'delivered')
  assert.ok(asked >= 2)
  const url = '/sms/receipts/recording'
  assert.equal((await app.inject({ method: 'POST', url, payload: {} })).statusCode, 403)
})
