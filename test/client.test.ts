/** The browser module where no browser is needed: its rules, against a real app. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { createVerification, type VerificationOptions } from '../src/client/index.ts'
import { solve } from '../src/client/puzzle.ts'
import type { SmsVerifyOptions } from '../src/plugin.ts'
import { build, codeOf, embedded, newPhone, recordingProvider, until, wrongCode } from './helper.ts'

interface Call {
  path: string
  headers: Record<string, string>
  body: Record<string, unknown>
}

/** A `fetch` that asks the app without a network, and what it was asked. */
function fetchOf(app: FastifyInstance) {
  const calls: Call[] = []
  const fetch: typeof globalThis.fetch = async (input, init = {}) => {
    const path = String(input)
    const headers = init.headers as Record<string, string>
    const payload = init.body as string | undefined
    calls.push({ path, headers, body: JSON.parse(payload ?? '{}') })
    const method = init.method as 'GET' | 'POST'
    const answer = await app.inject({ method, url: path, headers, ...(payload && { payload }) })
    return new Response(answer.body, {
      status: answer.statusCode,
      headers: answer.headers as Record<string, string>,
    })
  }
  return { fetch, calls }
}

const lostAnswer = (): never => {
  throw new TypeError('Failed to fetch')
}

async function open(
  t: TestContext,
  options: Partial<SmsVerifyOptions> = {},
  own: VerificationOptions = {},
) {
  const provider = recordingProvider()
  const app = await build(t, embedded({ provider, purposes: ['signup', 'login'], ...options }))
  const { fetch, calls } = fetchOf(app)
  const verification = createVerification({ fetch, ...own })
  t.after(() => verification.close())
  const code = async () => codeOf(provider, provider.messages.at(-1)?.id)
  return { app, provider, fetch, calls, verification, code }
}

test('From idle to verified, each state is told, and the proof is good for the purpose.', async (t) => {
  const own = { purpose: 'login', locale: 'en' }
  const { app, verification, code, provider, calls } = await open(t, {}, own)
  const seen: string[] = []
  const stop = verification.subscribe(({ status }) => {
    if (seen.at(-1) !== status) seen.push(status)
  })
  const phone = newPhone()
  const waiting = await verification.send(phone)
  assert.equal(waiting, verification.state)
  const { status, codeLength, expiresIn = 0, resendIn, checkIn, error } = waiting
  assert.deepEqual([status, codeLength, resendIn, checkIn, error], ['waiting', 6, 0, 0, undefined])
  // It has begun to run down, on a busy machine by more than a moment.
  assert.ok(expiresIn > 270 && expiresIn <= 300, `${expiresIn}`)
  await until('the SMS', () => provider.messages.length === 1)
  const verified = await verification.verify(await code())
  assert.equal(verified.purpose, 'login')
  assert.deepEqual(seen, ['idle', 'sending', 'waiting', 'checking', 'verified'])
  const redeemed = await app.smsVerify.redeem(verified.proof as string, { purpose: 'login' })
  assert.equal(redeemed.phone, phone)
  assert.deepEqual(calls[0]?.body, { phone, purpose: 'login', locale: 'en' })
  stop()
  verification.reset()
  assert.deepEqual([seen.at(-1), verification.state.status], ['verified', 'idle'])
})

test('A wrong code tells the checks left, one of another form is not even asked about, and the last one ends it.', async (t) => {
  const { verification, code, provider, calls } = await open(t, { code: { checks: 2 } })
  await verification.send(newPhone())
  await until('the SMS', () => provider.messages.length === 1)
  const bad = wrongCode(await code())
  assert.deepEqual((await verification.verify('12345')).error, {
    code: 'SMS_VERIFY_INVALID_REQUEST',
  })
  assert.ok(!calls.some(({ path }) => path === '/sms/verify'))
  const first = await verification.verify(`${bad.slice(0, 3)} ${bad.slice(3)}`)
  assert.deepEqual(
    [first.status, first.error],
    ['waiting', { code: 'SMS_VERIFY_WRONG_CODE', checksLeft: 1 }],
  )
  const last = await verification.verify(bad)
  assert.deepEqual(
    [last.status, last.error],
    ['failed', { code: 'SMS_VERIFY_WRONG_CODE', checksLeft: 0 }],
  )
})

const REFUSALS: [code: string, phone: string, options: Partial<SmsVerifyOptions>][] = [
  ['SMS_VERIFY_INVALID_PHONE', '+86 1', {}],
  ['SMS_VERIFY_INVALID_REQUEST', '', {}],
  ['SMS_VERIFY_COUNTRY_NOT_ALLOWED', '+12015550123', {}],
  ['SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED', '+861012345678', {}],
  ['SMS_VERIFY_REFUSED', '+8613800138000', { beforeSend: () => 'refuse' }],
]
for (const [code, phone, options] of REFUSALS) {
  test(`${code} is data of the state, and the next send is free.`, async (t) => {
    const { verification } = await open(t, options)
    const { status, error, resendIn } = await verification.send(phone)
    assert.deepEqual([status, error, resendIn], ['failed', { code }, 0])
  })
}

test('Too many sends: resendIn is what the server says, nothing is asked before, and another number is free.', async (t) => {
  const { app, verification, calls } = await open(t, { limits: { cooldown: [60] } })
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  const { status, error, resendIn } = await verification.send(phone)
  assert.deepEqual(
    [status, error],
    ['failed', { code: 'SMS_VERIFY_TOO_MANY_REQUESTS', retryAfter: 60 }],
  )
  assert.equal(resendIn, 60)
  const asked = calls.length
  await verification.send(phone)
  await verification.resend()
  assert.equal(calls.length, asked)
  assert.equal((await verification.send(newPhone())).status, 'waiting')
})

test('A resend is inside the verification, with a key of its own; a refused one leaves the code alive.', async (t) => {
  let verdict: 'allow' | 'refuse' = 'allow'
  const { verification, calls, provider } = await open(t, { beforeSend: () => verdict })
  await verification.send(newPhone())
  await until('the first SMS', () => provider.messages.length === 1)
  const { id } = provider.messages[0] as { id: string }
  await verification.resend()
  await until('the second SMS', () => provider.messages.length === 2)
  verdict = 'refuse'
  const { status, error } = await verification.resend()
  assert.deepEqual([status, error], ['waiting', { code: 'SMS_VERIFY_REFUSED' }])
  const sends = calls.filter(({ path }) => path === '/sms/send')
  assert.deepEqual(
    sends.map(({ body }) => body.id),
    [undefined, id, id],
  )
  assert.equal(new Set(sends.map(({ headers }) => headers['idempotency-key'])).size, 3)
  assert.equal((await verification.verify(await codeOf(provider, id, 2))).status, 'verified')
})

test('Answers lost on the way: the send is repeated with its key and makes one SMS; the check is not repeated.', async (t) => {
  const provider = recordingProvider()
  const app = await build(t, embedded({ provider }))
  const { fetch, calls } = fetchOf(app)
  const losses: (() => Response)[] = [
    // A proxy's, which is no word of the server's.
    () => new Response('<h1>Bad gateway</h1>', { status: 502 }),
    lostAnswer,
  ]
  const verification = createVerification({
    async fetch(url, init) {
      const answer = await fetch(url, init)
      const loss = init?.method === 'POST' ? losses.shift() : undefined
      return loss ? loss() : answer
    },
  })
  t.after(() => verification.close())
  assert.equal((await verification.send(newPhone())).status, 'waiting')
  const keys = calls
    .filter(({ path }) => path === '/sms/send')
    .map(({ headers }) => headers['idempotency-key'])
  assert.deepEqual([keys.length, new Set(keys).size], [3, 1])
  await until('the SMS', () => provider.messages.length === 1)
  const code = await codeOf(provider, provider.messages[0]?.id)
  losses.push(lostAnswer)
  const { error, status } = await verification.verify(code)
  assert.deepEqual([status, error], ['waiting', { code: 'SMS_VERIFY_UNREACHABLE' }])
  // It was carried out: its proof is lost, and the status says so.
  await until('the end', () => verification.state.status === 'failed')
  assert.deepEqual(verification.state.error, { code: 'SMS_VERIFY_GONE' })
  assert.equal(calls.filter(({ path }) => path === '/sms/verify').length, 1)
  assert.equal(provider.messages.length, 1)
})

test('A 503 is told with its wait, and the next press is the same send.', async (t) => {
  const { fetch, provider, calls } = await open(t)
  let isDown = true
  const problem = { code: 'SMS_VERIFY_UNAVAILABLE', retryAfter: 1 }
  const verification = createVerification({
    async fetch(...args) {
      const answer = await fetch(...args)
      return isDown ? new Response(JSON.stringify(problem), { status: 503 }) : answer
    },
  })
  t.after(() => verification.close())
  const phone = newPhone()
  const { status, error, resendIn } = await verification.send(phone)
  assert.deepEqual([status, error, resendIn], ['failed', problem, 1])
  isDown = false
  await until('the wait', () => verification.state.resendIn === 0)
  assert.equal((await verification.resend()).status, 'waiting')
  assert.equal(
    new Set(
      calls
        .filter(({ path }) => path === '/sms/send')
        .map(({ headers }) => headers['idempotency-key']),
    ).size,
    1,
  )
  await until('the SMS', () => provider.messages.length === 1)
})

test('What is not of the plugin is told in its words: a rate limit of the host, and anything else.', async (t) => {
  const answers = [
    new Response('{"code":"FST_LIMIT"}', { status: 429, headers: { 'retry-after': '7' } }),
    new Response('{"code":"NOPE"}', { status: 401 }),
  ]
  const verification = createVerification({ fetch: async () => answers.shift() as Response })
  t.after(() => verification.close())
  const limited = await verification.send('1')
  assert.deepEqual(limited.error, { code: 'SMS_VERIFY_TOO_MANY_REQUESTS', retryAfter: 7 })
  assert.deepEqual((await verification.send('2')).error, { code: 'SMS_VERIFY_INTERNAL_ERROR' })
})

test('An answer to a send that another number has overtaken is not taken.', async (t) => {
  const { verification } = await open(t)
  const [first, second] = [newPhone(), newPhone()]
  const overtaken = verification.send(first)
  await verification.send(second)
  await overtaken
  assert.deepEqual([verification.state.status, verification.state.phone], ['waiting', second])
})

test('A double press is one send.', async (t) => {
  const { verification, calls } = await open(t, { limits: { cooldown: [60] } })
  const phone = newPhone()
  await Promise.all([verification.send(phone), verification.send(phone)])
  assert.equal(calls.filter(({ path }) => path === '/sms/send').length, 1)
  await verification.send(phone)
  assert.equal(calls.filter(({ path }) => path === '/sms/send').length, 1)
})

test('A challenge is solved; one that is never satisfied is given up.', async (t) => {
  const { verification, calls } = await open(t, { challenge: 'on' })
  assert.equal((await verification.send(newPhone())).status, 'waiting')
  const [, again] = calls.filter(({ path }) => path === '/sms/send')
  assert.match(String(again?.body.solution), /^[0-9a-z]+\.16\./)

  const challenge = { puzzle: 'never', bits: 1 }
  const body = JSON.stringify({ code: 'SMS_VERIFY_CHALLENGE_REQUIRED', challenge })
  const other = createVerification({ fetch: async () => new Response(body, { status: 403 }) })
  t.after(() => other.close())
  assert.deepEqual((await other.send('x')).error, { code: 'SMS_VERIFY_CHALLENGE_REQUIRED' })
})

test('Puzzles of every length are solved as SHA-256 wants it, and one that is not wanted any more is left.', async () => {
  for (let length = 0; length <= 130; length++) {
    const puzzle = 'x'.repeat(length)
    const solution = await solve(puzzle, 8, () => true)
    assert.ok(solution?.startsWith(`${puzzle}.`))
    const hash = createHash('sha256').update(String(solution)).digest()
    assert.equal(hash[0], 0, `${length} characters`)
  }
  let looks = 0
  assert.equal(await solve('x', 32, () => looks++ < 3), undefined)
})

test('An error page of a proxy counts by its status: it is waited for, or given up, and not asked again at once.', async (t) => {
  const html = { 'content-type': 'text/html' }
  const answers = [
    new Response('<h1>Slow down</h1>', { status: 429, headers: { ...html, 'retry-after': '9' } }),
    new Response('<h1>No</h1>', { status: 403, headers: html }),
    new Response('null', { status: 403 }),
  ]
  let asked = 0
  const verification = createVerification({
    fetch: async () => answers[asked++] as Response,
  })
  t.after(() => verification.close())
  const limited = await verification.send('1')
  assert.deepEqual(limited.error, { code: 'SMS_VERIFY_TOO_MANY_REQUESTS', retryAfter: 9 })
  assert.equal(limited.resendIn, 9)
  for (const phone of ['2', '3']) {
    const { error } = await verification.send(phone)
    assert.deepEqual(error, { code: 'SMS_VERIFY_INTERNAL_ERROR' })
  }
  assert.equal(asked, 3)
})

test('The checks of a verification that is over are not those of the next one.', async (t) => {
  const limits = { cooldown: false } as const
  const { verification, code, provider } = await open(t, { limits, code: { checks: 1 } })
  await verification.send(newPhone())
  await until('the SMS', () => provider.messages.length === 1)
  const over = await verification.verify(wrongCode(await code()))
  assert.deepEqual([over.status, over.checksLeft], ['failed', 0])
  await verification.resend()
  assert.notEqual(verification.state.checksLeft, 0)
  assert.equal((await verification.verify('1')).status, 'waiting')
  await until('the second SMS', () => provider.messages.length === 2)
  assert.equal((await verification.verify(await code())).status, 'verified')
})

test('A subscriber that throws is reported, and stops nothing.', async (t) => {
  const { verification } = await open(t)
  const reported: unknown[] = []
  const later = globalThis.queueMicrotask
  t.mock.method(globalThis, 'queueMicrotask', (run: () => void) =>
    later(() => {
      try {
        run()
      } catch (error) {
        reported.push(error)
      }
    }),
  )
  const seen: string[] = []
  const stop = verification.subscribe(() => {
    throw new Error('of the page')
  })
  verification.subscribe(({ status }) => seen.push(status))
  assert.equal((await verification.send(newPhone())).status, 'waiting')
  assert.deepEqual(seen.slice(0, 3), ['idle', 'sending', 'waiting'])
  assert.match(String(reported[0]), /of the page/)
  stop()
})

test('Where the events cannot be asked for, the status is.', async (t) => {
  Object.assign(globalThis, {
    EventSource: class {
      constructor() {
        throw new SyntaxError('no such address')
      }
    },
  })
  t.after(() => Reflect.deleteProperty(globalThis, 'EventSource'))
  const { verification, calls } = await open(t)
  assert.equal((await verification.send(newPhone())).status, 'waiting')
  await until('a question', () =>
    calls.some(({ path }) => /^\/sms\/[\w-]+$/.test(path) && !path.endsWith('send')),
  )
})

/** A connection on which nothing comes back, until the request is given up. */
function blackHole() {
  const signals: AbortSignal[] = []
  const fetch = (_: unknown, init?: RequestInit): Promise<Response> =>
    new Promise((_, reject) => {
      const signal = init?.signal as AbortSignal
      signals.push(signal)
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  return { fetch, signals }
}

test('A send into a black hole is given up after 15 s; before, it says that it goes on, and another number is free.', async (t) => {
  const { fetch, signals } = blackHole()
  const verification = createVerification({ fetch })
  t.after(() => verification.close())
  const begun = performance.now()
  const sent = verification.send('1')
  await until('the first loss', () => verification.state.error !== undefined, 12_000)
  assert.deepEqual(
    [verification.state.status, verification.state.error],
    ['sending', { code: 'SMS_VERIFY_UNREACHABLE' }],
  )
  await until('the end', () => verification.state.status === 'failed', 8000)
  await sent
  const took = performance.now() - begun
  assert.ok(took > 10_000 && took < 16_000, `${took} ms`)
  assert.equal(signals.length, 2)
  verification.send('2')
  assert.deepEqual([verification.state.status, verification.state.phone], ['sending', '2'])
})

test('close() lets go of the request in flight, and of the pause before the next one.', async () => {
  const { fetch, signals } = blackHole()
  const inFlight = createVerification({ fetch })
  const sent = inFlight.send('1')
  inFlight.close()
  await sent
  assert.equal(signals[0]?.aborted, true)

  let asked = 0
  const pausing = createVerification({
    async fetch() {
      asked++
      return lostAnswer()
    },
  })
  const lost = pausing.send('1')
  await until('the third try', () => asked === 3, 4000)
  const closedAt = performance.now()
  pausing.close()
  await lost
  assert.ok(performance.now() - closedAt < 1000)
  assert.equal(asked, 3)
})
