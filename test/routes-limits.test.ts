import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { codeOf, MODES, newPhone, start, UNLIMITED, until, wrongCode } from './helper.ts'
import { assertProblem } from './problem.ts'

for (const mode of MODES) {
  test(`${mode}: Who waits for Retry-After is let in, and asking in vain does not make it longer.`, async (t) => {
    const { app } = await start(t, mode, { limits: { ...UNLIMITED, cooldown: [1, 2] } })
    const phone = newPhone()
    const first = await send(app, { phone })
    assert.equal(first.json().resendIn, 1)
    const startedAt = performance.now()
    const refusals = []
    for (let i = 0; i < 20; i++) refusals.push(await send(app, { phone }))
    for (const answer of refusals) assertTooMany(answer, 1)
    await sleep(1000 - (performance.now() - startedAt))

    // A millisecond for the two clocks, of which one ticks while the other does not.
    await sleep(1)
    const second = await send(app, { phone })
    assert.equal(second.statusCode, 202)
    assert.equal(second.json().resendIn, 2)
    assertTooMany(await send(app, { phone }), 2)
    assert.equal((await app.inject(`/sms/${second.json().id}`)).json().resendIn, 2)
  })

  test(`${mode}: Wrong codes from one address are limited over all verifications.`, async (t) => {
    const window = newWindow()
    const failedChecksPerIp = { max: 3, window }
    const { app, provider } = await start(t, mode, { limits: { ...UNLIMITED, failedChecksPerIp } })
    const ids = await Promise.all(
      Array.from({ length: 4 }, async () => (await send(app, { phone: newPhone() })).json().id),
    )
    const codes = await Promise.all(ids.map((id) => codeOf(provider, id)))
    const code = (i: number) => codes[i] as string

    // Right ones do not count.
    const good = await verify(app, { id: ids[3], code: code(3) }, '192.0.2.1')
    assert.equal(good.statusCode, 200)
    for (const i of [0, 1, 2]) {
      const answer = await verify(app, { id: ids[i], code: wrongCode(code(i)) }, '192.0.2.1')
      assertProblem(answer, 422, 'SMS_VERIFY_WRONG_CODE', { checksLeft: 4 })
    }
    // The right one too, else the answer would tell it apart.
    assertTooMany(await verify(app, { id: ids[0], code: code(0) }, '192.0.2.1'), window)
    assert.equal((await app.inject(`/sms/${ids[0]}`)).json().checksLeft, 4)
    const elsewhere = await verify(app, { id: ids[0], code: code(0) }, '192.0.2.2')
    assert.equal(elsewhere.statusCode, 200)
  })

  test(`${mode}: A crowd with right codes behind one address is let in, whatever else comes from there.`, async (t) => {
    const failedChecksPerIp = { max: 5, window: newWindow() }
    const { app, provider } = await start(t, mode, { limits: { ...UNLIMITED, failedChecksPerIp } })
    const crowd = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const { id } = (await send(app, { phone: newPhone() })).json()
        return { id, code: await codeOf(provider, id) }
      }),
    )
    let going = true
    const junk = Array.from({ length: 40 }, async () => {
      while (going) await verify(app, { id: 'A'.repeat(24), code: '000000' })
    })
    const answers = await Promise.all(crowd.map((each) => verify(app, each)))
    going = false
    await Promise.all(junk)
    assert.deepEqual([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  })

  test(`${mode}: Of parallel wrong codes from one address no more are looked at than may be.`, async (t) => {
    const failedChecksPerIp = { max: 5, window: newWindow() }
    const { app, provider } = await start(t, mode, { limits: { ...UNLIMITED, failedChecksPerIp } })
    const begun = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const { id } = (await send(app, { phone: newPhone() })).json()
        return { id, code: wrongCode(await codeOf(provider, id)) }
      }),
    )
    const answers = await Promise.all(begun.map((each) => verify(app, each)))
    const wrong = answers.filter(({ statusCode }) => statusCode === 422)
    assert.equal(wrong.length, 5)
    assert.equal(answers.filter(({ statusCode }) => statusCode === 429).length, 25)
  })

  test(`${mode}: The limit on wrong codes from one address grows with the right ones.`, async (t) => {
    const failedChecksPerIp = { max: 2, window: newWindow(), share: 0.5 }
    const { app, provider } = await start(t, mode, { limits: { ...UNLIMITED, failedChecksPerIp } })
    async function codeFor(): Promise<{ id: string; code: string }> {
      const { id } = (await send(app, { phone: newPhone() })).json()
      return { id, code: await codeOf(provider, id) }
    }
    for (let i = 0; i < 6; i++) assert.equal((await verify(app, await codeFor())).statusCode, 200)
    const { id, code } = await codeFor()
    const guess = () => verify(app, { id, code: wrongCode(code) })
    // Three, which is half of six; the last right one is noted a moment after its answer.
    for (let i = 0; i < 2; i++) assert.equal((await guess()).statusCode, 422)
    await until('the third', async () => (await guess()).statusCode === 422)
    assert.equal((await guess()).statusCode, 429)
  })

  test(`${mode}: A success gives back what its sends took from the budgets.`, async (t) => {
    const window = newWindow()
    const limits = { ...UNLIMITED, total: { max: 2, window }, ip: { max: 2, window } }
    const { app, provider } = await start(t, mode, { limits })
    // What is given back is not waited for.
    async function sendWhenThereIsRoom(body: object): Promise<string> {
      let answer = await send(app, body)
      await until('there is room', async () => {
        if (answer.statusCode === 429) answer = await send(app, body)
        return answer.statusCode === 202
      })
      return answer.json().id
    }
    for (let i = 0; i < 4; i++) {
      const phone = newPhone()
      const id = await sendWhenThereIsRoom({ phone })
      await sendWhenThereIsRoom({ phone, id })
      assertTooMany(await send(app, { phone: newPhone() }), window)
      const code = await codeOf(provider, id, 2)
      assert.equal((await verify(app, { id, code })).statusCode, 200)
    }
  })
}

test('Sends to one number are limited over all purposes and addresses.', async (t) => {
  const { app } = await start(t, 'embedded', {
    purposes: ['login', 'sign-up'],
    limits: { ...UNLIMITED, phone: [{ max: 2, window: 60 }] },
  })
  const phone = newPhone()
  assert.equal((await send(app, { phone, purpose: 'login' }, '192.0.2.1')).statusCode, 202)
  const second = await send(app, { phone, purpose: 'sign-up' }, '192.0.2.2')
  assert.equal(second.json().resendIn, 60)
  assertTooMany(await send(app, { phone, purpose: 'login' }, '192.0.2.3'), 60)
  assert.equal((await send(app, { phone: newPhone() })).statusCode, 202)
})

test('A fourth verification of a number has to wait until one of the three is over.', async (t) => {
  const { app, provider } = await start(t, 'embedded')
  const phone = newPhone()
  const ids = []
  for (let i = 0; i < 3; i++) ids.push((await send(app, { phone })).json().id)
  assertTooMany(await send(app, { phone }), 300)
  assert.equal((await send(app, { phone, id: ids[0] })).statusCode, 202)
  await verify(app, { id: ids[1], code: await codeOf(provider, ids[1]) })
  assert.equal((await send(app, { phone })).statusCode, 202)
})

test('An address is one IPv4 address, however written, or one /64 of IPv6.', async (t) => {
  const { app } = await start(t, 'embedded', {
    limits: { ...UNLIMITED, ip: { max: 1, window: 60 } },
  })
  const same = [
    ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'],
    ['198.51.100.7', '198.51.100.7:40001', '198.51.100.7:40002', '[::ffff:198.51.100.7]:1'],
    ['[2001:db8:7::1]', '[2001:db8:7::2]:443', '2001:db8:7::3'],
    ['unknown', 'no address', '_hidden', '203.0.113.5:x', '203.0.113.5, 203.0.113.6'],
    ['2001:db8::1', '2001:db8:0:0:ffff:ffff:ffff:ffff', '2001:0DB8::2'],
  ]
  for (const [first, ...others] of same) {
    assert.equal((await send(app, { phone: newPhone() }, first)).statusCode, 202)
    for (const ip of others) assertTooMany(await send(app, { phone: newPhone() }, ip), 60)
  }
  for (const ip of ['192.0.2.2', '2001:db8:0:1::1', '2001:db9::1']) {
    assert.equal((await send(app, { phone: newPhone() }, ip)).statusCode, 202, ip)
  }
})

test('An address in a forwarded header counts only where the host trusts the proxy.', async (t) => {
  const limits = { ...UNLIMITED, ip: { max: 1, window: 60 } }
  const forwarded = (app: FastifyInstance, ip: string) =>
    app.inject({
      method: 'POST',
      url: '/sms/send',
      payload: { phone: newPhone() },
      headers: { 'x-forwarded-for': ip, forwarded: `for=${ip}`, 'x-real-ip': ip },
      remoteAddress: '10.0.0.1',
    })
  const { app } = await start(t, 'embedded', { limits })
  assert.equal((await forwarded(app, '192.0.2.1')).statusCode, 202)
  assertTooMany(await forwarded(app, '192.0.2.2'), 60)

  const { app: behind } = await start(t, 'embedded', { limits }, { trustProxy: '10.0.0.0/8' })
  assert.equal((await forwarded(behind, '192.0.2.1')).statusCode, 202)
  assert.equal((await forwarded(behind, '192.0.2.2')).statusCode, 202)
  // What the client itself put in front of the proxy's word.
  assertTooMany(await forwarded(behind, '198.51.100.1, 192.0.2.2'), 60)
})

test('Numbers that differ in the last four digits share a budget, other numbers do not.', async (t) => {
  const { app } = await start(t, 'embedded', {
    limits: { ...UNLIMITED, prefix: { max: 2, window: 60 } },
  })
  assert.equal((await send(app, { phone: '+8613800130000' })).statusCode, 202)
  assert.equal((await send(app, { phone: '+8613800139999' })).statusCode, 202)
  assertTooMany(await send(app, { phone: '+8613800135555' }), 60)
  assert.equal((await send(app, { phone: '+8613800140000' })).statusCode, 202)
})

test('Each country has a budget of its own.', async (t) => {
  const { app } = await start(t, 'embedded', {
    countries: ['CN', 'US', 'CA'],
    limits: { ...UNLIMITED, country: { max: 1, window: 60 } },
  })
  for (const phone of [newPhone(), '+12125550123', '+14165550123']) {
    assert.equal((await send(app, { phone })).statusCode, 202)
  }
  for (const phone of [newPhone(), '+12125550124', '+14165550124']) {
    assertTooMany(await send(app, { phone }), 60)
  }
})

test('The longest of several waits is the one that is told.', async (t) => {
  const { app } = await start(t, 'embedded', {
    limits: {
      ...UNLIMITED,
      cooldown: [5],
      phone: [
        { max: 1, window: 20 },
        { max: 1, window: 30 },
      ],
    },
  })
  const phone = newPhone()
  assert.equal((await send(app, { phone })).json().resendIn, 30)
  assertTooMany(await send(app, { phone }), 30)
})

test('A refused send takes nothing from any budget.', async (t) => {
  const { app, provider } = await start(t, 'embedded', {
    countries: ['CN'],
    beforeSend: ({ ip }) => ip !== '192.0.2.9',
    limits: { ...UNLIMITED, cooldown: [60], total: { max: 2, window: 60 } },
  })
  const phone = newPhone()
  assert.equal((await send(app, { phone })).statusCode, 202)
  for (let i = 0; i < 5; i++) {
    assertTooMany(await send(app, { phone }), 60)
    const foreign = await send(app, { phone: '+12125550123' })
    assertProblem(foreign, 403, 'SMS_VERIFY_COUNTRY_NOT_ALLOWED')
    const refused = await send(app, { phone: newPhone() }, '192.0.2.9')
    assertProblem(refused, 403, 'SMS_VERIFY_REFUSED')
    const gone = await send(app, { phone: newPhone(), id: 'A'.repeat(24) })
    assertProblem(gone, 410, 'SMS_VERIFY_GONE')
  }
  assert.equal((await send(app, { phone: newPhone() })).statusCode, 202)
  assertTooMany(await send(app, { phone: newPhone() }), 60)
  await until('both are sent', () => provider.messages.length === 2)
})

test('A repeated request is answered even when a budget has run out since.', async (t) => {
  const { app } = await start(t, 'embedded', {
    limits: { ...UNLIMITED, total: { max: 1, window: 60 } },
  })
  const phone = newPhone()
  const headers = { 'idempotency-key': 'a lost answer'.replaceAll(' ', '-') }
  const ask = () => app.inject({ method: 'POST', url: '/sms/send', payload: { phone }, headers })
  const first = await ask()
  assertTooMany(await send(app, { phone: newPhone() }), 60)
  const again = await ask()
  assert.equal(again.statusCode, 202)
  assert.equal(again.json().id, first.json().id)
})

test('Of many parallel sends to one number one is let through.', async (t) => {
  const { app, provider } = await start(t, 'embedded', {
    limits: { ...UNLIMITED, cooldown: [60] },
  })
  const phone = newPhone()
  const answers = await Promise.all(Array.from({ length: 100 }, () => send(app, { phone })))
  const statuses = answers.map(({ statusCode }) => statusCode).sort()
  assert.deepEqual(statuses, [202, ...new Array<number>(99).fill(429)])
  await until('one is sent', () => provider.messages.length > 0)
  assert.equal(provider.messages.length, 1)
})

/** In Redis these budgets are shared by all who have the same window: no other test has this one. */
const newWindow = (): number => randomInt(1000, 1_000_000)

const send = (app: FastifyInstance, body: object, remoteAddress = '127.0.0.1') =>
  app.inject({ method: 'POST', url: '/sms/send', payload: body, remoteAddress })

const verify = (app: FastifyInstance, body: object, remoteAddress = '127.0.0.1') =>
  app.inject({ method: 'POST', url: '/sms/verify', payload: body, remoteAddress })

/** 429 with a wait of so many seconds, of which a few may have gone by. */
function assertTooMany(answer: LightMyRequestResponse, wait: number): void {
  const { retryAfter } = answer.json()
  assertProblem(answer, 429, 'SMS_VERIFY_TOO_MANY_REQUESTS', { retryAfter })
  // Redis counts in sixtieths of a window, and one more to be sure.
  assert.ok(
    retryAfter >= Math.max(1, wait - 3) && retryAfter <= wait * (61 / 60),
    `${retryAfter} s`,
  )
}
