import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type Hooks, safeHooks } from '../src/hooks.ts'
import type { Alert, BeforeSendContext, SmsVerifyOptions } from '../src/plugin.ts'
import {
  build,
  codeOf,
  createLog,
  embedded,
  MODES,
  newPhone,
  recordingProvider,
  start,
  UNLIMITED,
  until,
  wrongCode,
} from './helper.ts'

const REFUSED = { code: 'SMS_VERIFY_REFUSED', statusCode: 403 }
const CONTEXT: BeforeSendContext = {
  phone: '+8613800138000',
  country: 'CN',
  id: undefined,
  purpose: 'login',
  locale: undefined,
  ip: undefined,
  request: undefined,
}

test('beforeSend is told all that is known, and the request where there is one.', async (t) => {
  const told: BeforeSendContext[] = []
  const { app } = await start(t, 'embedded', {
    countries: ['CN', 'US'],
    defaultCountry: 'CN',
    purposes: ['login', 'sign-up'],
    beforeSend(context) {
      told.push(context)
      return 'allow'
    },
  })
  const phone = newPhone()
  await app.smsVerify.send({ phone: phone.slice(3) })
  const all = { phone: '+12125550123', purpose: 'sign-up', locale: 'en', ip: '192.0.2.1' }
  await app.smsVerify.send(all)
  const headers = { 'x-captcha': 'solved' }
  await app.inject({ method: 'POST', url: '/sms/send', payload: { phone }, headers })

  const { id } = await app.smsVerify.send({ phone, purpose: 'sign-up' })
  await app.smsVerify.send({ phone, id })

  const [bare, full, http, first, resend] = told
  const nothing = { id: undefined, locale: undefined, ip: undefined, request: undefined }
  assert.deepEqual(bare, { phone, country: 'CN', purpose: 'login', ...nothing })
  assert.deepEqual(full, { ...all, country: 'US', id: undefined, request: undefined })
  assert.equal(http?.request?.headers['x-captcha'], 'solved')
  assert.equal(http?.ip, '127.0.0.1')
  assert.deepEqual([first?.id, first?.purpose], [undefined, 'sign-up'])
  // The purpose is that of the verification, which the host knows by its id.
  assert.deepEqual([resend?.id, resend?.purpose], [id, undefined])
})

test('A verdict that allows lets the send through; every other refuses it.', async (t) => {
  const verdicts: [unknown, boolean][] = [
    ...[['allow', true] as const, ['trusted', true] as const, [true, true] as const].map(
      ([verdict, allowed]): [unknown, boolean] => [verdict, allowed],
    ),
    ...['refuse', false, undefined, null, 'Allow', 'yes', '', 1, 0, {}, []].map(
      (verdict): [unknown, boolean] => [verdict, false],
    ),
  ]
  for (const [verdict, allowed] of verdicts) {
    for (const beforeSend of [() => verdict, async () => verdict]) {
      const provider = recordingProvider()
      const app = await build(
        t,
        embedded({ provider, beforeSend: beforeSend as NonNullable<Hooks['beforeSend']> }),
      )
      const sent = app.smsVerify.send({ phone: newPhone() })
      if (allowed) await codeOf(provider, (await sent).id)
      else await assert.rejects(sent, REFUSED, String(verdict))
      await nextTurn()
      assert.equal(provider.messages.length, allowed ? 1 : 0)
    }
  }
})

test('A beforeSend that fails has refused, and what it said is in the log only.', async (t) => {
  const failures = [
    () => {
      throw new Error('the canary')
    },
    async () => {
      throw new Error('the canary')
    },
  ]
  for (const beforeSend of failures) {
    const written: string[] = []
    const logger = { level: 'error', stream: { write: (line: string) => written.push(line) } }
    const app = await build(t, embedded({ beforeSend }), { logger })
    const payload = { phone: newPhone() }
    const answer = await app.inject({ method: 'POST', url: '/sms/send', payload })
    assert.deepEqual([answer.statusCode, answer.json().code], [403, 'SMS_VERIFY_REFUSED'])
    assert.equal(answer.body.includes('canary'), false)
    const [line, ...others] = written.map((text) => JSON.parse(text))
    assert.deepEqual([line.event, line.hook, others.length], ['hook.failed', 'beforeSend', 0])
    assert.match(line.err.message, /the canary/)
  }
})

test('A beforeSend that takes 5 s has refused.', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { logger, lines } = createLog()
  const hooks = safeHooks({ beforeSend: () => new Promise(() => {}) }, logger)
  let ended = false
  const verdict = hooks.beforeSend(CONTEXT).finally(() => {
    ended = true
  })
  const refused = assert.rejects(verdict, REFUSED)
  t.mock.timers.tick(4999)
  await nextTurn()
  assert.equal(ended, false)
  t.mock.timers.tick(1)
  await refused
  assert.deepEqual([lines[0]?.event, lines[0]?.hook], ['hook.failed', 'beforeSend'])
  assert.match(String((lines[0] as { err?: Error }).err?.message), /no verdict within 5000 ms/)
})

test('A beforeSend that is in time leaves no timer behind, and one that fails late no error.', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { logger, lines } = createLog()
  const quick = safeHooks({ beforeSend: async () => 'trusted' as const }, logger)
  assert.equal(await quick.beforeSend(CONTEXT), 'trusted')
  t.mock.timers.tick(10_000)
  await nextTurn()
  assert.deepEqual(lines, [])

  let fail: (error: Error) => void = () => {}
  const late = new Promise<never>((_, reject) => {
    fail = reject
  })
  const slow = safeHooks({ beforeSend: () => late }, logger)
  const refused = assert.rejects(slow.beforeSend(CONTEXT), REFUSED)
  t.mock.timers.tick(5000)
  await refused
  // An unhandled rejection would end the test run.
  fail(new Error('too late'))
  await nextTurn()
  assert.equal(lines.length, 1)
})

test('Without hooks nobody is trusted, and nothing happens.', async () => {
  const { logger, lines } = createLog()
  const hooks = safeHooks({}, logger)
  assert.equal(await hooks.beforeSend(CONTEXT), 'allow')
  hooks.onVerified({ id: 'x', phone: 'x', purpose: 'x' })
  hooks.onDisabled({ phone: 'x' })
  await nextTurn()
  assert.deepEqual(lines, [])
})

for (const mode of MODES) {
  test(`${mode}: onVerified is told once, with what was proved.`, async (t) => {
    const told: unknown[] = []
    const { app, provider } = await start(t, mode, {
      purposes: ['sign-up'],
      onVerified: (verified) => void told.push(verified),
    })
    const phone = newPhone()
    const { id } = await app.smsVerify.send({ phone })
    const code = await codeOf(provider, id)
    await assert.rejects(app.smsVerify.verify({ id, code: wrongCode(code) }))
    const checks = await Promise.allSettled(
      Array.from({ length: 4 }, () => app.smsVerify.verify({ id, code })),
    )
    assert.equal(checks.filter(({ status }) => status === 'fulfilled').length, 1)
    await until('told', () => told.length > 0)
    await sleep(20)
    assert.deepEqual(told, [{ id, phone, purpose: 'sign-up' }])
  })

  test(`${mode}: A number is disabled after 100 wrong codes in a row; onDisabled is told once.`, async (t) => {
    const told: unknown[] = []
    const { app, provider } = await start(t, mode, {
      code: { checks: 10 },
      beforeSend: () => 'trusted',
      onDisabled: (disabled) => void told.push(disabled),
    })
    const { smsVerify } = app
    const phone = newPhone()
    const begin = async () => {
      const { id } = await smsVerify.send({ phone })
      return { id, code: await codeOf(provider, id) }
    }
    const guess = async ({ id, code }: { id: string; code: string }) =>
      assert.rejects(smsVerify.verify({ id, code: wrongCode(code) }), {
        code: 'SMS_VERIFY_WRONG_CODE',
      })
    for (let i = 0; i < 9; i++) {
      const verification = await begin()
      for (let i = 0; i < 10; i++) await guess(verification)
    }
    const last = await begin()
    const other = await begin()
    for (let i = 0; i < 9; i++) await guess(last)
    assert.deepEqual(told, [])
    await guess(last)
    await until('told', () => told.length > 0)

    // Not even the right code, nor a new one, whoever asks.
    await assert.rejects(smsVerify.verify(other), { code: 'SMS_VERIFY_GONE' })
    await assert.rejects(smsVerify.send({ phone, trusted: true }), REFUSED)
    assert.deepEqual(told, [{ phone }])
    await smsVerify.unlock(phone)
    const { phone: proved } = await smsVerify.verify(await begin())
    assert.equal(proved, phone)
  })

  test(`${mode}: onAlert is told at 80 % and at 100 % of a budget, once in its window.`, async (t) => {
    const told: Alert[] = []
    // In Redis a budget is shared by all apps with the same window.
    const window = 100_000 + Math.floor(performance.now())
    const { app } = await start(t, mode, {
      limits: { ...UNLIMITED, total: { max: 5, window } },
      onAlert: (alert) => void told.push(alert),
    })
    for (let i = 0; i < 5; i++) await app.smsVerify.send({ phone: newPhone() })
    for (let i = 0; i < 3; i++) {
      await assert.rejects(app.smsVerify.send({ phone: newPhone() }), {
        code: 'SMS_VERIFY_TOO_MANY_REQUESTS',
      })
    }
    await until('told', () => told.length > 1)
    const about = { kind: 'budget', budget: 'total', subject: 'all', max: 5, window }
    assert.deepEqual(told, [
      { ...about, used: 4, share: 0.8 },
      { ...about, used: 5, share: 1 },
    ])
  })
}

test('Alerts name a country and a prefix, the log a pseudonym of the prefix, and both are silent about addresses.', async (t) => {
  const told: Alert[] = []
  const logged: string[] = []
  const one = { max: 1, window: 60 }
  const { app } = await start(
    t,
    'embedded',
    {
      limits: { ...UNLIMITED, ip: one, prefix: one, country: one },
      onAlert: (alert) => void told.push(alert),
    },
    { logger: { level: 'trace', stream: { write: (line: string) => logged.push(line) } } },
  )
  const phone = newPhone()
  await app.smsVerify.send({ phone, ip: '192.0.2.1' })
  await until('told', () => told.length >= 4)
  const subjects = new Map(
    told.flatMap((alert) => (alert.kind === 'budget' ? [[alert.budget, alert.subject]] : [])),
  )
  assert.deepEqual([...subjects.keys()].sort(), ['country', 'prefix'])
  assert.equal(subjects.get('country'), 'CN')
  const prefix = phone.slice(0, -4)
  assert.equal(subjects.get('prefix'), prefix)
  assert.ok(!logged.join().includes(prefix))
  const ofPrefix = logged.map((line) => JSON.parse(line)).filter((line) => line.budget === 'prefix')
  assert.equal(ofPrefix.length, 2)
  for (const { subject } of ofPrefix) assert.match(subject, /^[A-Za-z0-9_-]{16}$/)
})

test('A hook that fails, or never ends, changes and delays no answer.', async (t) => {
  const written: string[] = []
  const logger = { level: 'error', stream: { write: (line: string) => written.push(line) } }
  const failing: Partial<SmsVerifyOptions>[] = [
    {
      onVerified() {
        throw new Error('the canary')
      },
    },
    { onVerified: async () => Promise.reject(new Error('the canary')) },
    { onVerified: () => new Promise(() => {}) },
  ]
  for (const hooks of failing) {
    const provider = recordingProvider()
    const app = await build(t, embedded({ provider, ...hooks }), { logger })
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    const payload = { id, code: await codeOf(provider, id) }
    const answer = await app.inject({ method: 'POST', url: '/sms/verify', payload })
    assert.equal(answer.statusCode, 200)
  }
  await until('both are logged', () => written.length === 2)
  for (const line of written) {
    const { event, hook } = JSON.parse(line)
    assert.deepEqual([event, hook], ['hook.failed', 'onVerified'])
  }
})
