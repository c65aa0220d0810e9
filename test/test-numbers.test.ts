import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestNumber } from '../src/plugin.ts'
import { build, embedded, MODES, newPhone, post, start } from './helper.ts'

for (const mode of MODES) {
  test(`${mode}: A test number has its fixed code, no limits, and no SMS.`, async (t) => {
    const phone = newPhone()
    const testNumbers = [{ phone, code: '012345', until: '2099-01-31' }]
    const one = { max: 1, window: 60 }
    const { app, provider } = await start(t, mode, {
      testNumbers,
      limits: { cooldown: [60], phone: one, ip: one, prefix: one, total: false },
    })
    for (let i = 0; i < 5; i++) {
      const { status, body } = await post(app, '/sms/send', { phone })
      assert.equal(status, 202)
      assert.equal((await app.smsVerify.status(body.id as string)).status, 'sent')
      const wrong = await post(app, '/sms/verify', { id: body.id, code: '543210' })
      assert.equal(wrong.status, 422)
      const resent = await post(app, '/sms/send', { phone, id: body.id })
      assert.equal(resent.status, 202)
      const right = await post(app, '/sms/verify', { id: body.id, code: '012345' })
      assert.equal(right.status, 200)
      const { phone: proved } = await app.smsVerify.redeem(right.body.proof as string)
      assert.equal(proved, phone)
    }
    // However it is written; and other numbers are none.
    const national = `${phone.slice(0, 6)} ${phone.slice(6, 10)}-${phone.slice(10)}`
    assert.equal((await post(app, '/sms/send', { phone: national })).status, 202)
    assert.deepEqual(provider.messages, [])
    const other = await app.smsVerify.send({ phone: newPhone() })
    await assert.rejects(app.smsVerify.verify({ id: other.id, code: '012345' }), {
      code: 'SMS_VERIFY_WRONG_CODE',
    })
  })
}

test('After its end date a test number is like any other.', async (t) => {
  const phone = newPhone()
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  const { app, provider } = await start(t, 'embedded', {
    testNumbers: [{ phone, code: '012345', until: yesterday }],
    limits: { cooldown: [60] },
  })
  const { id } = await app.smsVerify.send({ phone })
  assert.equal((await app.smsVerify.status(id)).status === 'sent', provider.messages.length > 0)
  await assert.rejects(app.smsVerify.send({ phone }), { code: 'SMS_VERIFY_TOO_MANY_REQUESTS' })
})

test('A wrong test number fails the start, and its code is not shown.', async (t) => {
  const { NODE_ENV } = process.env
  t.after(() => {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = NODE_ENV
  })
  const phone = '+8613800138000'
  const cases: [numbers: unknown, says: string][] = [
    [[{ phone, code: '98765' }], 'a code of 6 digits for +86*********00, got 5'],
    [
      [{ phone: '+447400123456', code: '987654' }],
      'numbers that are accepted, got one that is not: Numbers of this country are not accepted here.',
    ],
    [
      [{ phone: 'me', code: '987654' }],
      'numbers that are accepted, got one that is not: This is not a phone number in a form that is accepted here.',
    ],
    [
      [{ phone, code: '987654', until: '2027-02-31' }],
      'a date as until of +86*********00, got 2027-02-31',
    ],
    [
      [{ phone, code: 'abcdef' }],
      "an array of { phone, code, until } such as { phone: '+8613800138000', code: '123456', until: '2027-01-31' }, got an array of 1",
    ],
    [
      { phone },
      "an array of { phone, code, until } such as { phone: '+8613800138000', code: '123456', until: '2027-01-31' }, got an object",
    ],
  ]
  const refusal = (says: string) => ({
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: `smsVerify: testNumbers: expected ${says}`,
  })
  for (const [testNumbers, says] of cases) {
    await assert.rejects(
      build(t, embedded({ testNumbers: testNumbers as TestNumber[] })),
      refusal(says),
    )
  }
  process.env.NODE_ENV = 'production'
  await assert.rejects(
    build(t, embedded({ testNumbers: [{ phone, code: '987654' }] })),
    refusal('until, in production, for +86*********00, got none'),
  )
  await build(t, embedded({ testNumbers: [{ phone, code: '987654', until: '2099-01-31' }] }))
})
