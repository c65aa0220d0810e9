/** `GET /sms/:id/events` over real connections. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { StatusResult } from '../src/plugin.ts'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { MAX_LISTENERS_OF_ONE } from '../src/watcher.ts'
import {
  build,
  codeOf,
  connected,
  consume,
  embedded,
  MODES,
  newPhone,
  newQueuePrefix,
  REDIS_URL,
  recordingProvider,
  start,
  until,
} from './helper.ts'
import { assertProblem } from './problem.ts'
import { startProxy } from './proxy.ts'

const UNKNOWN = 'A'.repeat(24)

/** As a browser: connections are kept for the next request. */
const agent = new Agent({ keepAlive: true })

interface Stream {
  answer: IncomingMessage
  /** What was told so far, and when on the clock of `performance`. */
  told: (StatusResult & { at: number })[]
  statuses(): string[]
  /** All that came, as it came. */
  text(): string
  ended(): boolean
  /** As when the page is closed. */
  leave(): void
}

async function listen(app: FastifyInstance): Promise<string> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sms`
}

async function open(t: TestContext, base: string, id: string): Promise<Stream> {
  const asked = get(`${base}/${id}/events`, { agent })
  asked.on('error', () => {})
  t.after(() => asked.destroy())
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const told: Stream['told'] = []
  let text = ''
  let ended = false
  answer.setEncoding('utf8')
  answer.on('error', () => {})
  answer.on('data', (chunk: string) => {
    text += chunk
    const events = [...text.matchAll(/event: status\ndata: (.*)\n\n/g)].map(([, data]) => data)
    for (const data of events.slice(told.length)) {
      told.push({ ...JSON.parse(data as string), at: performance.now() })
    }
  })
  answer.on('end', () => {
    ended = true
  })
  return {
    answer,
    told,
    statuses: () => told.map(({ status }) => status),
    text: () => text,
    ended: () => ended,
    leave: () => asked.destroy(),
  }
}

const says = (stream: Stream, status: string, ms?: number): Promise<void> =>
  until(`the stream says ${status}`, () => stream.statuses().at(-1) === status, ms)

/** A provider whose answers the test gives. */
function slowProvider() {
  const answers: ((outcome: Outcome) => void)[] = []
  const provider = recordingProvider(() => new Promise((resolve) => answers.push(resolve)))
  return { provider, answers }
}

for (const mode of MODES) {
  test(`${mode}: A stream tells each state in turn and ends when the number is verified.`, async (t) => {
    const { provider, answers } = slowProvider()
    const queuePrefix = newQueuePrefix()
    const options = mode === 'embedded' ? embedded({ provider }) : connected({ queuePrefix })
    const app = await build(t, options)
    const base = await listen(app)
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    if (mode === 'embedded') await codeOf(provider, id)
    const stream = await open(t, base, id)
    if (mode === 'connected') {
      await says(stream, 'queued')
      await consume(t, { queuePrefix, provider })
    }
    await says(stream, 'sending')
    answers[0]?.({ class: 'ok' })
    await says(stream, 'sent')
    const code = await codeOf(provider, id)
    await app.smsVerify.verify({ id, code })
    await until('it ends', stream.ended)
    const states = ['queued', 'sending', 'sent', 'verified']
    assert.deepEqual(stream.statuses(), mode === 'embedded' ? states.slice(1) : states)

    const { statusCode, headers } = stream.answer
    assert.deepEqual(
      [statusCode, headers['content-type'], headers['cache-control']],
      [200, 'text/event-stream', 'no-store'],
    )
    // Not kept up by nginx, and no connection that a closing app would have to wait for.
    assert.deepEqual([headers['x-accel-buffering'], headers.connection], ['no', 'close'])
    assert.match(stream.text(), /^retry: 2000\n\n(event: status\ndata: \{.*\}\n\n)+$/)
    const { at, ...last } = stream.told.at(-1) ?? assert.fail()
    assert.deepEqual(last, (await app.inject(`/sms/${id}`)).json())

    // Over from the start: told once, and ended.
    const late = await open(t, base, id)
    await until('it ends', late.ended)
    assert.deepEqual(late.statuses(), ['verified'])
  })

  test(`${mode}: A refusal of the provider is told, with its reason, within a second.`, async (t) => {
    const reasons = {
      permanent_recipient: 'recipient',
      rate_recipient: 'rate',
      fraud_block: 'blocked',
      account: 'provider',
      permanent_request: 'provider',
      // After all repeats; the embedded mode takes 21 s for them.
      ...(mode === 'connected' && { retry: 'provider', ambiguous: 'provider' }),
    } as const
    const classes = Object.keys(reasons) as (keyof typeof reasons)[]
    const phones = classes.map(newPhone)
    const refusedAt = new Map<string, number>()
    const provider = recordingProvider(async ({ phone, id }: SmsMessage) => {
      await sleep(500)
      refusedAt.set(id, performance.now())
      return { class: classes[phones.indexOf(phone)] as Outcome['class'] }
    })
    const queuePrefix = newQueuePrefix()
    const options = mode === 'embedded' ? embedded({ provider }) : connected({ queuePrefix })
    if (mode === 'connected') {
      await consume(t, { queuePrefix, provider, retry: { backoff: 0.1, max: 3 } })
    }
    const app = await build(t, options)
    const base = await listen(app)
    await Promise.all(
      classes.map(async (outcome, i) => {
        const { id } = await app.smsVerify.send({ phone: phones[i] as string })
        const stream = await open(t, base, id)
        await until('it ends', stream.ended)
        const { at, status, reason } = stream.told.at(-1) ?? assert.fail()
        assert.deepEqual([status, reason], ['failed', reasons[outcome]])
        const ms = at - (refusedAt.get(id) ?? 0)
        assert.ok(ms < 1000, `${outcome}: ${ms} ms`)
        // It may arrive after all.
        await app.smsVerify.verify({ id, code: await codeOf(provider, id) })
      }),
    )
  })

  test(`${mode}: A stream ends when the life of the code is over.`, async (t) => {
    const { app } = await start(t, mode, { code: { ttl: 1 } })
    const base = await listen(app)
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    const stream = await open(t, base, id)
    await until('it ends', stream.ended, 5000)
    const { status, expiresIn, reason } = stream.told.at(-1) ?? assert.fail()
    const late = mode === 'connected' ? 'late' : undefined
    assert.deepEqual([status, expiresIn, reason], ['expired', 0, late])
  })

  test(`${mode}: What is not known is a problem, and HEAD is the answer without events.`, async (t) => {
    const { app } = await start(t, mode)
    const base = await listen(app)
    for (const id of [UNKNOWN, 'x', 'send', 'a'.repeat(100)]) {
      assertProblem(await app.inject(`/sms/${id}/events`), 410, 'SMS_VERIFY_GONE')
    }

    const { id } = await app.smsVerify.send({ phone: newPhone() })
    const head = async (id: string) => {
      const asked = request(`${base}/${id}/events`, { method: 'HEAD', agent }).end()
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      await once(answer.resume(), 'end')
      return [answer.statusCode, answer.headers['content-type'], answer.headers['cache-control']]
    }
    assert.deepEqual(await head(id), [200, 'text/event-stream', 'no-store'])
    const [status, , caching] = await head(UNKNOWN)
    assert.deepEqual([status, caching], [410, 'no-store'])
    // As those of the status: the host may have routes of its own there.
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) {
      for (const url of [`/sms/${id}`, `/sms/${id}/events`]) {
        assert.equal((await app.inject({ method, url })).statusCode, 404)
      }
    }
  })

  test(`${mode}: Several pages follow one verification, and there is an end of room.`, async (t) => {
    const { app, provider } = await start(t, mode)
    const base = await listen(app)
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    const opened = Array.from({ length: MAX_LISTENERS_OF_ONE }, () => open(t, base, id))
    const streams = await Promise.all(opened)
    await Promise.all(streams.map((stream) => says(stream, 'sent')))
    const full = await app.inject(`/sms/${id}/events`)
    assertProblem(full, 503, 'SMS_VERIFY_UNAVAILABLE', { retryAfter: 5 })
    assert.equal((await app.inject(`/sms/${id}`)).statusCode, 200)

    const [left, ...others] = streams as [Stream, ...Stream[]]
    left.leave()
    const another: Stream[] = []
    await until('there is room', async () => {
      const stream = await open(t, base, id)
      if (stream.answer.statusCode === 200) another.push(stream)
      return another.length > 0
    })
    await app.smsVerify.verify({ id, code: await codeOf(provider, id) })
    for (const stream of [...others, ...another]) {
      await until('it ends', stream.ended)
      assert.equal(stream.statuses().at(-1), 'verified')
    }
  })

  test(`${mode}: A resend is told to a stream that is open, a cancelled verification ends it.`, async (t) => {
    const { app, provider } = await start(t, mode)
    const base = await listen(app)
    const phone = newPhone()
    const { id } = await app.smsVerify.send({ phone })
    await codeOf(provider, id)
    const stream = await open(t, base, id)
    await says(stream, 'sent')
    // Later than 60 s by default: two will do to see that the life is a new one.
    await until('time passes', async () => (await app.smsVerify.status(id)).expiresIn < 298)
    const before = stream.told.length
    await app.smsVerify.send({ phone, id })
    await until('it is told', () => stream.told.length > before)
    assert.ok((stream.told.at(-1)?.expiresIn ?? 0) >= 299)
    await says(stream, 'sent')

    await app.smsVerify.cancel(id)
    await until('it ends', stream.ended)
    assert.equal(stream.statuses().at(-1), 'sent')
    assertProblem(await app.inject(`/sms/${id}/events`), 410, 'SMS_VERIFY_GONE')
  })

  test(`${mode}: An app that closes ends its streams within a second.`, async (t) => {
    const provider = recordingProvider()
    const app = await build(t, mode === 'embedded' ? embedded({ provider }) : connected())
    const base = await listen(app)
    const streams = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const { id } = await app.smsVerify.send({ phone: newPhone() })
        return open(t, base, id)
      }),
    )
    await until('they are open', () => streams.every(({ told }) => told.length > 0))
    const startedAt = performance.now()
    await app.close()
    const ms = performance.now() - startedAt
    assert.ok(ms < 1000, `${ms} ms`)
    await until('they end', () => streams.every((stream) => stream.ended()), 1000)
  })
}

test('Any web process tells it, whichever accepted the send.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(() => ({ class: 'permanent_recipient' }))
  const accepting = await build(t, connected({ queuePrefix }))
  const telling = await build(t, connected({ queuePrefix }))
  const { id } = await accepting.smsVerify.send({ phone: newPhone() })
  const stream = await open(t, await listen(telling), id)
  await says(stream, 'queued')
  await consume(t, { queuePrefix, provider })
  await until('it ends', stream.ended)
  assert.equal(stream.told.at(-1)?.reason, 'recipient')
})

test('For a client that has gone nothing is asked any more.', async (t) => {
  const proxy = await startProxy(t, REDIS_URL)
  const { held, preHandler } = gate()
  const app = await build(t, connected({ redis: proxy.url, routeOptions: { preHandler } }))
  const base = await listen(app)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  proxy.heard = []
  const asked = () => String(Buffer.concat(proxy.heard ?? [])).split(id).length - 1
  const staysSilent = async () => {
    await sleep(200)
    const before = asked()
    await sleep(1500)
    assert.equal(asked(), before)
  }

  const stream = await open(t, base, id)
  await until('it is asked for', () => asked() >= 3)
  stream.leave()
  await staysSilent()

  // Gone before the answer.
  held.closed = true
  const early = get(`${base}/${id}/events`, { agent }).on('error', () => {})
  await until('it is held', () => held.release !== undefined)
  early.destroy()
  await sleep(100)
  const before = asked()
  held.release?.()
  await until('it is answered', () => asked() > before)
  await staysSilent()
})

test('A stream that was asked for before the app closes does not keep it open.', async (t) => {
  const { held, preHandler } = gate()
  const app = await build(t, embedded({ routeOptions: { preHandler } }))
  const base = await listen(app)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  held.closed = true
  const opened = open(t, base, id)
  await until('it is held', () => held.release !== undefined)
  const closing = app.close()
  await sleep(100)
  held.release?.()
  const { answer, ended } = await opened
  assert.equal(answer.statusCode, 503)
  await until('it ends', ended, 1000)
  let closed = false
  closing.then(() => {
    closed = true
  })
  await until('it is closed', () => closed, 2000)
})

/** A hook that holds requests up while it is closed. */
function gate() {
  const held: { closed: boolean; release?: () => void } = { closed: false }
  const preHandler = async () => {
    if (!held.closed) return
    await new Promise<void>((resolve) => {
      held.release = resolve
    })
  }
  return { held, preHandler }
}

test('A Redis that is cut in the middle neither ends a stream nor is anything made up.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, REDIS_URL)
  const logged: { event?: string }[] = []
  const write = (line: string) => void logged.push(JSON.parse(line))
  const app = await build(t, connected({ queuePrefix, redis: proxy.url }), {
    logger: { level: 'warn', stream: { write } },
  })
  const base = await listen(app)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  const stream = await open(t, base, id)
  await says(stream, 'queued')

  proxy.refuse = true
  proxy.cut()
  await until('it is known', async () => (await app.inject(`/sms/${id}`)).statusCode === 503)
  const refused = await app.inject(`/sms/${id}/events`)
  assertProblem(refused, 503, 'SMS_VERIFY_UNAVAILABLE', { retryAfter: 5 })
  logged.length = 0
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider })
  await codeOf(provider, id)
  await sleep(1500)
  assert.deepEqual([stream.statuses(), stream.ended()], [['queued'], false])
  // Nothing for each question; that Redis is lost stands there.
  assert.deepEqual(logged, [])

  proxy.refuse = false
  await says(stream, 'sent')
  assert.deepEqual(stream.statuses(), ['queued', 'sent'])
})
