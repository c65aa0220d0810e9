import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Outcome } from '../src/providers/provider.ts'
import {
  build,
  codeOf,
  connected,
  embedded,
  MODES,
  newPhone,
  recordingProvider,
  start,
  until,
  wrongCode,
} from './helper.ts'
import { assertProblem } from './problem.ts'

const JSON_TYPE = 'application/json; charset=utf-8'
const ID = /^[A-Za-z0-9_-]{24}$/
const UNKNOWN = 'A'.repeat(24)

for (const mode of MODES) {
  test(`${mode}: The routes keep the contract.`, async (t) => {
    const { app, provider } = await start(t, mode, {
      countries: ['CN', 'GB'],
      defaultCountry: 'CN',
      purposes: ['login', 'sign-up'],
      beforeSend: ({ phone }) => !phone.endsWith('4321'),
    })

    await t.test('A send answers 202 with the id, the durations and the length.', async () => {
      const answer = await send(app, { phone: newPhone() })
      assert.equal(answer.statusCode, 202)
      assertNotStored(answer)
      const { id, expiresIn, ...rest } = answer.json()
      assert.match(id, ID)
      assert.ok(expiresIn === 300 || expiresIn === 299, `${expiresIn} s`)
      assert.deepEqual(rest, { resendIn: 0, codeLength: 6 })
    })

    await t.test('The right code answers 200 with the proof, once.', async () => {
      const phone = newPhone()
      const { id } = (await send(app, { phone })).json()
      const code = await codeOf(provider, id)
      const answer = await verify(app, { id, code })
      assert.equal(answer.statusCode, 200)
      assertNotStored(answer)
      const { proof, ...rest } = answer.json()
      assert.match(proof, ID)
      assert.deepEqual(rest, { verified: true, purpose: 'login' })
      assertProblem(await verify(app, { id, code }), 410, 'SMS_VERIFY_GONE')
      assert.equal((await app.smsVerify.redeem(proof)).phone, phone)
    })

    await t.test(
      'A wrong code answers 422 and counts; after five there are none left.',
      async () => {
        const { id } = (await send(app, { phone: newPhone() })).json()
        const code = await codeOf(provider, id)
        for (const checksLeft of [4, 3, 2, 1, 0]) {
          const answer = await verify(app, { id, code: wrongCode(code) })
          assertProblem(answer, 422, 'SMS_VERIFY_WRONG_CODE', { checksLeft })
        }
        assertProblem(await verify(app, { id, code }), 410, 'SMS_VERIFY_GONE')
      },
    )

    await t.test('A resend keeps the id and the checks, and the old code is dead.', async () => {
      const phone = newPhone()
      const { id } = (await send(app, { phone })).json()
      const first = await codeOf(provider, id)
      await verify(app, { id, code: wrongCode(first) })
      const answer = await send(app, { phone, id })
      assert.equal(answer.statusCode, 202)
      assert.equal(answer.json().id, id)
      const second = await codeOf(provider, id, 2)
      if (first !== second) {
        const dead = await verify(app, { id, code: first })
        assertProblem(dead, 422, 'SMS_VERIFY_WRONG_CODE', { checksLeft: 3 })
      }
      assert.equal((await verify(app, { id, code: second })).statusCode, 200)
    })

    await t.test('A resend that fits no live verification of the number answers 410.', async () => {
      const phone = newPhone()
      const { id } = (await send(app, { phone })).json()
      const foreign = [
        { phone: newPhone(), id },
        { phone, id: UNKNOWN },
        { phone, id: 'x' },
        { phone, id, purpose: 'sign-up' },
      ]
      for (const body of foreign) assertProblem(await send(app, body), 410, 'SMS_VERIFY_GONE')
      const code = await codeOf(provider, id)
      assert.equal((await verify(app, { id, code })).statusCode, 200)
      assertProblem(await send(app, { phone, id }), 410, 'SMS_VERIFY_GONE')
    })

    await t.test('The status follows the verification.', async () => {
      const { id } = (await send(app, { phone: newPhone() })).json()
      const code = await codeOf(provider, id)
      await until('sent', async () => (await status(app, id)).json().status === 'sent')
      await verify(app, { id, code: wrongCode(code) })
      const live = await status(app, id)
      assert.equal(live.statusCode, 200)
      assertNotStored(live)
      const { expiresIn, ...rest } = live.json()
      assert.ok(expiresIn >= 295 && expiresIn <= 300, `${expiresIn} s`)
      assert.deepEqual(rest, { status: 'sent', resendIn: 0, checksLeft: 4 })

      await verify(app, { id, code })
      const over = { status: 'verified', expiresIn: 0, resendIn: 0, checksLeft: 0 }
      assert.deepEqual((await status(app, id)).json(), over)
    })

    await t.test('HEAD is the status without a body.', async () => {
      const { id } = (await send(app, { phone: newPhone() })).json()
      const known = await app.inject({ method: 'HEAD', url: `/sms/${id}` })
      assert.deepEqual([known.statusCode, known.body], [200, ''])
      assertNotStored(known)
      const unknown = await app.inject({ method: 'HEAD', url: `/sms/${UNKNOWN}` })
      assert.deepEqual([unknown.statusCode, unknown.body], [410, ''])
    })

    await t.test(
      'The code of one verification is wrong for another, and costs only that.',
      async () => {
        const a = (await send(app, { phone: newPhone() })).json()
        const b = (await send(app, { phone: newPhone() })).json()
        const codes = [await codeOf(provider, a.id), await codeOf(provider, b.id)]
        if (codes[0] === codes[1]) return
        const crossed = await verify(app, { id: b.id, code: codes[0] })
        assertProblem(crossed, 422, 'SMS_VERIFY_WRONG_CODE', { checksLeft: 4 })
        assert.equal((await status(app, a.id)).json().checksLeft, 5)
      },
    )

    await t.test(
      'What is no number, country or type that is served has its own code.',
      async () => {
        const refused = [
          ['nonsense', 400, 'SMS_VERIFY_INVALID_PHONE'],
          ['+861380013', 400, 'SMS_VERIFY_INVALID_PHONE'],
          ['+12125550123', 403, 'SMS_VERIFY_COUNTRY_NOT_ALLOWED'],
          ['+881612345678', 403, 'SMS_VERIFY_COUNTRY_NOT_ALLOWED'],
          ['+449012345678', 403, 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'],
          ['+861088888888', 403, 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'],
          ['+8613800004321', 403, 'SMS_VERIFY_REFUSED'],
        ] as const
        for (const [phone, status, code] of refused) {
          assertProblem(await send(app, { phone }), status, code)
        }
      },
    )

    await t.test('A number in national form goes to its default country.', async () => {
      const phone = newPhone()
      const { id } = (await send(app, { phone: phone.slice(3) })).json()
      await codeOf(provider, id)
      assert.equal(provider.messages.find((message) => message.id === id)?.phone, phone)
    })

    await t.test('The purpose goes with the verification to the proof.', async () => {
      const phone = newPhone()
      const { id } = (await send(app, { phone, purpose: 'sign-up' })).json()
      await send(app, { phone, id })
      const code = await codeOf(provider, id, 2)
      const { purpose, proof } = (await verify(app, { id, code })).json()
      assert.equal(purpose, 'sign-up')
      assert.equal((await app.smsVerify.redeem(proof, { purpose: 'sign-up' })).purpose, 'sign-up')
    })

    await t.test('The locale goes to the provider.', async () => {
      const { id } = (await send(app, { phone: newPhone(), locale: 'en-GB' })).json()
      await codeOf(provider, id)
      const message = provider.messages.find((message) => message.id === id)
      assert.deepEqual(message?.locales, ['en-GB'])
      assert.match(message?.text ?? '', /is your code/)
    })

    await t.test('Without one it is what Accept-Language says, best first.', async () => {
      for (const [header, locale, locales, text] of [
        ['fr, en;q=0.5, zh;q=0.4', undefined, ['fr', 'en', 'zh'], /is your code/],
        ['zh;q=0.9, en', undefined, ['en', 'zh'], /is your code/],
        ['en', 'zh-HK', ['zh-HK'], /您的验证码是/],
        ['*, {code} {{7*7}} http://evil.example', undefined, [], /您的验证码是\d{6}，/],
        ['', undefined, [], /您的验证码是/],
      ] as const) {
        const headers = { 'accept-language': header }
        const payload = { phone: newPhone(), ...(locale && { locale }) }
        const answer = await app.inject({ method: 'POST', url: '/sms/send', payload, headers })
        assert.equal(answer.statusCode, 202)
        const { id } = answer.json()
        await codeOf(provider, id)
        const message = provider.messages.find((message) => message.id === id)
        assert.deepEqual(message?.locales, locales, header)
        assert.match(message?.text ?? '', text, header)
      }
    })

    await t.test(
      'A repeated Idempotency-Key gets the same answer and sends nothing more.',
      async () => {
        const phone = newPhone()
        const first = await send(app, { phone }, { 'idempotency-key': 'one' })
        await codeOf(provider, first.json().id)
        const again = await send(app, { phone }, { 'idempotency-key': 'one' })
        assert.equal(again.statusCode, 202)
        assert.equal(again.json().id, first.json().id)
        const other = await send(app, { phone }, { 'idempotency-key': 'two' })
        const others = await send(app, { phone: newPhone() }, { 'idempotency-key': 'one' })
        assert.equal(new Set([first, other, others].map((answer) => answer.json().id)).size, 3)
        await codeOf(provider, others.json().id)
        await codeOf(provider, other.json().id)
        assert.equal(provider.messages.filter((each) => each.phone === phone).length, 2)
      },
    )

    await t.test('A key that is none answers 400.', async () => {
      for (const key of ['', ' ', 'two words', 'ключ', 'x'.repeat(256)]) {
        const answer = await send(app, { phone: newPhone() }, { 'idempotency-key': key })
        assertProblem(answer, 400, 'SMS_VERIFY_INVALID_REQUEST')
      }
    })

    await t.test('Other methods than POST answer 405 and name POST.', async () => {
      for (const url of ['/sms/send', '/sms/verify']) {
        for (const method of ['GET', 'PUT', 'PATCH', 'DELETE'] as const) {
          const answer = await app.inject({ method, url })
          assertProblem(answer, 405, 'SMS_VERIFY_INVALID_REQUEST')
          assert.equal(answer.headers.allow, 'POST')
        }
        const head = await app.inject({ method: 'HEAD', url })
        assert.deepEqual([head.statusCode, head.headers.allow, head.body], [405, 'POST', ''])
      }
    })

    await t.test('All that is over, and all that never was, answers the same.', async () => {
      const wrong = (await send(app, { phone: newPhone() })).json().id
      const used = (await send(app, { phone: newPhone() })).json().id
      const cancelled = (await send(app, { phone: newPhone() })).json().id
      const code = await codeOf(provider, wrong)
      for (let i = 0; i < 5; i++) await verify(app, { id: wrong, code: wrongCode(code) })
      await verify(app, { id: used, code: await codeOf(provider, used) })
      assert.equal(await app.smsVerify.cancel(cancelled), true)

      const ids = [wrong, used, cancelled, UNKNOWN, 'x', '../send', 'a'.repeat(128)]
      const answers = await Promise.all(ids.map((id) => verify(app, { id, code: '123456' })))
      for (const answer of answers) {
        assertProblem(answer, 410, 'SMS_VERIFY_GONE')
        const { date, ...headers } = answer.headers
        const { date: _, ...first } = (answers[0] as LightMyRequestResponse).headers
        assert.deepEqual([answer.body, headers], [answers[0]?.body, first])
      }
      for (const id of [cancelled, UNKNOWN, 'x']) {
        assertProblem(await status(app, id), 410, 'SMS_VERIFY_GONE')
      }
    })
  })

  test(`${mode}: A code that has expired answers 410 and its status says so.`, async (t) => {
    const { app, provider } = await start(t, mode, { code: { ttl: 1 } })
    const { id, expiresIn } = (await send(app, { phone: newPhone() })).json()
    assert.ok(expiresIn <= 1)
    if (mode === 'embedded') await codeOf(provider, id)
    await until('expired', async () => (await status(app, id)).json().status === 'expired')
    assertProblem(await verify(app, { id, code: '000000' }), 410, 'SMS_VERIFY_GONE')
    assert.deepEqual((await status(app, id)).json(), {
      status: 'expired',
      expiresIn: 0,
      resendIn: 0,
      checksLeft: 0,
      // The consumer sends nothing with less than 30 s left; the embedded one has sent it in time.
      ...(mode === 'connected' && { reason: 'late' }),
    })
  })
}

test('The status says how far the sending is.', async (t) => {
  const waiting = await build(t, connected())
  const { id: queued } = (await send(waiting, { phone: newPhone() })).json()
  assert.equal((await status(waiting, queued)).json().status, 'queued')

  const answers: ((outcome: Outcome) => void)[] = []
  const provider = recordingProvider(() => new Promise((resolve) => answers.push(resolve)))
  const app = await build(t, embedded({ provider }))
  const { id } = (await send(app, { phone: newPhone() })).json()
  const code = await codeOf(provider, id)
  assert.equal((await status(app, id)).json().status, 'sending')
  answers[0]?.({ class: 'permanent_recipient' })
  await until('failed', async () => (await status(app, id)).json().status === 'failed')
  // The vendor may be wrong: whoever has the code can use it.
  assert.equal((await verify(app, { id, code })).statusCode, 200)
})

test('A code has the configured length, and only that length is one.', async (t) => {
  const { app, provider } = await start(t, 'embedded', { code: { length: 8, checks: 1 } })
  const sent = (await send(app, { phone: newPhone() })).json()
  assert.equal(sent.codeLength, 8)
  const code = await codeOf(provider, sent.id)
  assert.match(code, /^\d{8}$/)
  const short = await verify(app, { id: sent.id, code: code.slice(2) })
  assertProblem(short, 400, 'SMS_VERIFY_INVALID_REQUEST')
  assert.equal((await verify(app, { id: sent.id, code })).statusCode, 200)
})

test('Without purposes there is one called default.', async (t) => {
  const { app, provider } = await start(t, 'embedded')
  const { id } = (await send(app, { phone: newPhone(), purpose: 'default' })).json()
  const answer = await verify(app, { id, code: await codeOf(provider, id) })
  assert.equal(answer.json().purpose, 'default')
  const other = await send(app, { phone: newPhone(), purpose: 'login' })
  assertProblem(other, 400, 'SMS_VERIFY_INVALID_REQUEST')
})

test('Every send that the rules let through has the same form of answer.', async (t) => {
  const { app } = await start(t, 'embedded', { limits: { cooldown: [60], ip: false } })
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => send(app, { phone: newPhone() })),
  )
  for (const answer of answers) {
    const { id, ...rest } = answer.json()
    assert.deepEqual(rest, { expiresIn: rest.expiresIn, resendIn: 60, codeLength: 6 })
    assert.ok(rest.expiresIn === 300 || rest.expiresIn === 299)
    const { date, ...headers } = answer.headers
    const { date: _, ...first } = answers[0]?.headers ?? {}
    assert.deepEqual(headers, first)
  }
})

const send = (app: FastifyInstance, body: object, headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url: '/sms/send', payload: body, headers })

const verify = (app: FastifyInstance, body: object) =>
  app.inject({ method: 'POST', url: '/sms/verify', payload: body })

const status = (app: FastifyInstance, id: string) => app.inject(`/sms/${id}`)

function assertNotStored(answer: LightMyRequestResponse): void {
  assert.equal(answer.headers['content-type'], JSON_TYPE)
  assert.equal(answer.headers['cache-control'], 'no-store')
}
