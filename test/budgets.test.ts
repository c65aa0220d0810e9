import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { createBudgets } from '../src/budgets.ts'
import { safeHooks } from '../src/hooks.ts'
import { effectiveLimits } from '../src/limits.ts'
import { type Alert, LIMITS, type SmsVerifyOptions } from '../src/plugin.ts'
import { createSecrets } from '../src/secrets.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import {
  codeOf,
  createLog,
  MODES,
  newPhone,
  post,
  SECRET,
  start,
  UNLIMITED,
  until,
} from './helper.ts'
import { freePolicy, newRequest } from './store-contract.ts'

// In Redis a budget is shared by all apps with the same window.
const newWindow = () => randomInt(100_000, 1_000_000)

const status = async (app: FastifyInstance, phone: string) =>
  (await post(app, '/sms/send', { phone })).status

for (const mode of MODES) {
  test(`${mode}: A budget grows with what is verified.`, async (t) => {
    const total = { max: 2, window: newWindow(), share: 0.5 }
    const { app, provider } = await start(t, mode, { limits: { ...UNLIMITED, total } })
    const verify = async () => {
      const { id } = await app.smsVerify.send({ phone: newPhone() })
      await app.smsVerify.verify({ id, code: await codeOf(provider, id) })
    }
    for (let i = 0; i < 6; i++) await verify()
    // Half of the six that were verified, and not the floor of two. The last of them is noted a moment after its answer.
    for (let i = 0; i < 2; i++) assert.equal(await status(app, newPhone()), 202)
    await until('the third', async () => (await status(app, newPhone())) === 202, 2000)
    assert.equal(await status(app, newPhone()), 429)
  })

  test(`${mode}: A budget can be of money, by the prices of countries.`, async (t) => {
    const total = { max: 1, window: newWindow(), unit: 'price' as const }
    const prices = { CN: 0.25, default: 0.4 }
    const { app } = await start(t, mode, {
      countries: ['CN', 'GB'],
      limits: { ...UNLIMITED, total, prices },
    })
    assert.equal(await status(app, '+447400123456'), 202)
    assert.equal(await status(app, newPhone()), 202)
    assert.equal(await status(app, newPhone()), 202)
    // 0.1 is left.
    assert.equal(await status(app, newPhone()), 429)
    assert.equal(await status(app, '+447400123457'), 429)
  })

  test(`${mode}: In shadow mode nothing is refused by a limit, and what would be is in the log.`, async (t) => {
    const logged: { event: string; limit: string }[] = []
    const stream = { write: (line: string) => logged.push(JSON.parse(line)) }
    const limits: SmsVerifyOptions['limits'] = {
      ...UNLIMITED,
      mode: 'shadow',
      cooldown: [60],
      total: { max: 2, window: newWindow() },
      ip: { max: 1, window: newWindow() },
    }
    const { app } = await start(t, mode, { limits }, { logger: { level: 'info', stream } })
    const phone = newPhone()
    const sent = await post(app, '/sms/send', { phone })
    assert.equal(sent.body.resendIn, 60)
    for (let i = 0; i < 2; i++) assert.equal(await status(app, phone), 202)
    const shadows = logged.filter(({ event }) => event === 'limit.shadow')
    assert.deepEqual(
      shadows.map(({ limit }) => limit),
      ['phone', 'ip', 'phone', 'ip', 'total'],
    )
  })

  test(`${mode}: How many of a country's codes are entered can be asked for, and of a prefix's.`, async (t) => {
    const { app, provider } = await start(t, mode, {
      countries: ['IS'],
      limits: { ...UNLIMITED, conversion: { below: 0.2, sends: 1000 } },
    })
    const before = await app.smsVerify.conversion('IS')
    const phones = [0, 1, 2].map((i) => `+354611${String(i).padStart(4, '0')}`)
    const beforeOfPrefix = await app.smsVerify.conversion(phones[0] as string)
    for (const [i, phone] of phones.entries()) {
      await app.smsVerify.erase(phone)
      const { id } = await app.smsVerify.send({ phone })
      if (i === 0) await app.smsVerify.verify({ id, code: await codeOf(provider, id) })
    }
    await until('it is noted', async () => {
      const { sent, verified } = await app.smsVerify.conversion('IS')
      return sent === before.sent + 3 && verified === before.verified + 1
    })
    const { sent, verified } = await app.smsVerify.conversion(phones[2] as string)
    assert.deepEqual([sent, verified], [beforeOfPrefix.sent + 3, beforeOfPrefix.verified + 1])
    await assert.rejects(app.smsVerify.conversion('nowhere'), { code: 'SMS_VERIFY_INVALID_PHONE' })
  })
}

test('A conversion that falls below its threshold is told once a day.', async () => {
  const told: Alert[] = []
  const { logger, events } = createLog()
  const hooks = safeHooks({ onAlert: (alert) => void told.push(alert) }, logger)
  let clock = 1_790_000_000_000
  const store = createMemoryStore({ now: () => clock })
  const budgets = createBudgets({
    limits: effectiveLimits({ ...UNLIMITED, conversion: { below: 0.5, sends: 4 } }),
    store,
    secrets: createSecrets(SECRET),
    hooks,
    logger,
  })
  const send = async (country: string) => {
    const phone = { e164: newPhone(), country }
    const purse = budgets.ofSend(phone, undefined)
    const issued = await store.issue(newRequest(), freePolicy, purse)
    assert.ok(issued.verdict === 'issued' && issued.taken)
    const { taken } = issued
    budgets.tell(purse, taken)
    clock += 60_000
    return () => budgets.giveBackSends(phone, [{ at: taken.at, ip: '' }])
  }
  for (let i = 0; i < 100; i++) {
    const verify = await send('CN')
    // Of the one country a third, of the other one two thirds.
    if (i % 3 === 0) verify()
    const verifyToo = await send('GB')
    if (i % 3 !== 0) verifyToo()
  }
  await until('told', () => told.length > 0)
  assert.equal(told.length, 1)
  const [alert] = told
  assert.ok(alert?.kind === 'conversion' && alert.country === 'CN' && alert.window === 86_400)
  assert.ok(alert.share < 0.5 && alert.sends >= 4)
  assert.deepEqual(events(), ['conversion.low'])
})

test('The presets are accepted, and the strict one is stricter.', async (t) => {
  const strict = await start(t, 'embedded', { limits: 'strict' })
  for (const i of [1, 2, 3, 4, 5]) {
    assert.equal(await status(strict.app, `+86138${20_000_000 + i * 10_000}`), 202)
  }
  assert.equal(await status(strict.app, '+8613820990000'), 429)
  const balanced = await start(t, 'embedded', { limits: 'balanced' })
  for (const i of [1, 2, 3, 4, 5, 6]) {
    assert.equal(await status(balanced.app, `+86138${20_000_000 + i * 10_000}`), 202)
  }
  const own = await start(t, 'embedded', {
    limits: { ...LIMITS.strict, ip: { max: 1, window: 60 } },
  })
  assert.equal(await status(own.app, newPhone()), 202)
  assert.equal(await status(own.app, newPhone()), 429)
})
