import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turnOver } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { openBroker } from './broker.ts'
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
  UNLIMITED,
  until,
  wrongCode,
} from './helper.ts'

const UNKNOWN = 'A'.repeat(24)
const GONE = { code: 'SMS_VERIFY_GONE', statusCode: 410 }

for (const mode of MODES) {
  test(`${mode}: The decorator proves a number without the routes.`, async (t) => {
    const options = { routes: false, purposes: ['login', 'sign-up'], defaultCountry: 'CN' }
    const { app, provider } = await start(t, mode, options)
    const { smsVerify } = app

    await t.test('send, verify and redeem give the number and the purpose, once.', async () => {
      const phone = newPhone()
      const sent = await smsVerify.send({ phone, purpose: 'sign-up', ip: '192.0.2.1' })
      assert.deepEqual(Object.keys(sent), ['id', 'expiresIn', 'resendIn', 'codeLength'])
      const code = await codeOf(provider, sent.id)
      const verified = await smsVerify.verify({ id: sent.id, code, ip: '192.0.2.1' })
      const { proof } = verified
      assert.deepEqual(verified, { phone, purpose: 'sign-up', proof })
      await assert.rejects(smsVerify.verify({ id: sent.id, code }), GONE)

      const before = Date.now()
      const { verifiedAt, ...redeemed } = await smsVerify.redeem(proof)
      assert.deepEqual(redeemed, { phone, purpose: 'sign-up' })
      assert.ok(verifiedAt instanceof Date)
      // On the clock of the store, which may not be that of the test to the millisecond.
      assert.ok(Math.abs(verifiedAt.getTime() - before) < 2000, `${verifiedAt}`)
      await assert.rejects(smsVerify.redeem(proof), GONE)
    })

    await t.test(
      'A proof for another purpose is refused, and stays good for its own.',
      async () => {
        const { id } = await smsVerify.send({ phone: newPhone() })
        const { proof } = await smsVerify.verify({ id, code: await codeOf(provider, id) })
        await assert.rejects(smsVerify.redeem(proof, { purpose: 'sign-up' }), GONE)
        // Of a host that hands on what it was sent.
        for (const purpose of ['', 5, null, ['login'], 'login\0', { toString: () => 'login' }]) {
          await assert.rejects(smsVerify.redeem(proof, { purpose: purpose as string }), GONE)
        }
        assert.equal((await smsVerify.redeem(proof, { purpose: 'login' })).purpose, 'login')
      },
    )

    await t.test('Of parallel redemptions one has the number.', async () => {
      const { id } = await smsVerify.send({ phone: newPhone() })
      const { proof } = await smsVerify.verify({ id, code: await codeOf(provider, id) })
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, () => smsVerify.redeem(proof)),
      )
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    })

    await t.test('What is no proof is gone, whatever it is.', async () => {
      const { id } = await smsVerify.send({ phone: newPhone() })
      for (const proof of [id, UNKNOWN, '', 'x', null, undefined, 5, {}, [UNKNOWN]]) {
        await assert.rejects(smsVerify.redeem(proof as string), GONE)
      }
    })

    await t.test('An idempotency key repeats the send; an id resends in it.', async () => {
      const phone = newPhone()
      const first = await smsVerify.send({ phone, idempotencyKey: 'a' })
      const again = await smsVerify.send({ phone, idempotencyKey: 'a' })
      assert.equal(again.id, first.id)
      const resent = await smsVerify.send({ phone, id: first.id, idempotencyKey: 'b' })
      assert.equal(resent.id, first.id)
      await smsVerify.send({ phone, id: first.id, idempotencyKey: 'b' })
      const code = await codeOf(provider, first.id, 2)
      await smsVerify.verify({ id: first.id, code })
      assert.ok(provider.messages.every(({ id, version }) => id !== first.id || version <= 2))
    })

    await t.test('The status is that of the route.', async () => {
      const { id } = await smsVerify.send({ phone: newPhone() })
      await until('sent', async () => (await smsVerify.status(id)).status === 'sent')
      const { expiresIn, ...rest } = await smsVerify.status(id)
      assert.ok(expiresIn > 290 && expiresIn <= 300)
      assert.deepEqual(rest, { status: 'sent', resendIn: 0, checksLeft: 5 })
      for (const unknown of [UNKNOWN, 'x', '', null, 5, {}]) {
        await assert.rejects(smsVerify.status(unknown as string), GONE)
      }
    })

    await t.test(
      'A cancelled verification is over; only a live one can be cancelled.',
      async () => {
        const { id } = await smsVerify.send({ phone: newPhone() })
        const code = await codeOf(provider, id)
        assert.equal(await smsVerify.cancel(id), true)
        await assert.rejects(smsVerify.verify({ id, code }), GONE)
        await assert.rejects(smsVerify.status(id), GONE)
        for (const unknown of [UNKNOWN, 'x', '', null, 5, {}]) {
          assert.equal(await smsVerify.cancel(unknown as string), false)
        }
        const other = await smsVerify.send({ phone: newPhone() })
        await smsVerify.verify({ id: other.id, code: await codeOf(provider, other.id) })
        assert.equal(await smsVerify.cancel(other.id), false)
      },
    )

    await t.test('Wrong requests are refused as by the routes.', async () => {
      const invalid = { code: 'SMS_VERIFY_INVALID_REQUEST', statusCode: 400 }
      const phone = newPhone()
      const sends: unknown[] = [
        ...[undefined, null, 'x', [], {}, { phone: 5 }, { phone, purpose: 'other' }],
        ...[
          { phone, trusted: 'yes' },
          { phone, extra: 1 },
          { phone, idempotencyKey: 'a b' },
        ],
        ...[
          { phone, ip: '' },
          { phone, ip: 5 },
        ],
      ]
      for (const request of sends) await assert.rejects(smsVerify.send(request as never), invalid)
      const verifies: unknown[] = [undefined, {}, { id: UNKNOWN }, { id: UNKNOWN, code: 123456 }]
      for (const request of verifies) {
        await assert.rejects(smsVerify.verify(request as never), invalid)
      }
      for (const job of [undefined, {}, { id: UNKNOWN }, { id: UNKNOWN, version: 0 }]) {
        await assert.rejects(smsVerify.publish(job as never), invalid)
      }
      const noPhone = { code: 'SMS_VERIFY_INVALID_PHONE', statusCode: 400 }
      for (const text of ['', 'x', '+86', null, 5, {}]) {
        await assert.rejects(smsVerify.unlock(text as string), noPhone)
        await assert.rejects(smsVerify.erase(text as string), noPhone)
      }
    })

    await t.test('A published job is delivered, and can only repeat what is allowed.', async () => {
      const { id } = await smsVerify.send({ phone: newPhone() })
      await codeOf(provider, id)
      await smsVerify.publish({ id, version: 1 })
      await smsVerify.publish({ id: UNKNOWN, version: 1 })
      const last = await smsVerify.send({ phone: newPhone() })
      await codeOf(provider, last.id)
      assert.equal(provider.messages.filter((message) => message.id === id).length, 1)
      assert.equal(provider.messages.filter((message) => message.id === UNKNOWN).length, 0)
    })
  })

  test(`${mode}: An unlocked number has no cooldown any more.`, async (t) => {
    const limits = { ...UNLIMITED, cooldown: [60] }
    const { app } = await start(t, mode, { limits, defaultCountry: 'CN' })
    const { smsVerify } = app
    const phone = newPhone()
    await smsVerify.send({ phone })
    await assert.rejects(smsVerify.send({ phone }), { code: 'SMS_VERIFY_TOO_MANY_REQUESTS' })
    // In whatever spelling.
    await smsVerify.unlock(`${phone.slice(3, 6)} ${phone.slice(6)}`)
    await smsVerify.send({ phone })
  })

  test(`${mode}: Nothing is known any more of an erased number.`, async (t) => {
    const limits = { ...UNLIMITED, cooldown: [60, 600], phone: { max: 3, window: 3600 } }
    const { app, provider } = await start(t, mode, { limits })
    const { smsVerify } = app
    const phone = newPhone()
    const proved = await smsVerify.send({ phone })
    const code = await codeOf(provider, proved.id)
    const { proof } = await smsVerify.verify({ id: proved.id, code })
    const live = await smsVerify.send({ phone })
    const liveCode = await codeOf(provider, live.id)
    await assert.rejects(smsVerify.verify({ id: live.id, code: wrongCode(liveCode) }))
    await smsVerify.erase(phone)
    await assert.rejects(smsVerify.redeem(proof), GONE)
    await assert.rejects(smsVerify.status(proved.id), GONE)
    await assert.rejects(smsVerify.verify({ id: live.id, code: liveCode }), GONE)
    assert.equal((await smsVerify.send({ phone })).resendIn, 60)
  })
}

test('In Redis there is no number, no code, no proof and no address, and nothing without an end.', async (t) => {
  const queuePrefix = newQueuePrefix()
  // A folder of keys of its own, so that all of it can be read.
  const client = new Redis(REDIS_URL, { keyPrefix: `${queuePrefix}:` })
  t.after(() => client.quit())
  // Not sent yet: the sealed code is still there.
  const provider = recordingProvider(() => ({ class: 'retry' }))
  await consume(t, { queuePrefix, redis: client, provider })
  const app = await build(
    t,
    connected({
      queuePrefix,
      redis: client,
      code: { length: 10 },
      limits: { cooldown: [1], ip: { max: 50, window: 60 }, prefix: { max: 50, window: 60 } },
    }),
  )
  const { smsVerify } = app
  const phone = newPhone()
  const ip = '203.0.113.77'
  const { id } = await smsVerify.send({ phone, ip, idempotencyKey: 'the-key-of-the-client' })
  const code = await codeOf(provider, id)
  await assert.rejects(smsVerify.verify({ id, code: wrongCode(code).padEnd(10, '0'), ip }), {
    code: 'SMS_VERIFY_WRONG_CODE',
  })

  const everything = await dump(client, queuePrefix)
  assert.ok(everything.length >= 5)
  const text = JSON.stringify(everything)
  for (const secret of [phone, phone.slice(3), code, ip, 'the-key-of-the-client']) {
    assert.equal(text.includes(secret), false, `${secret} in ${text}`)
  }
  // The failure count has to outlive everything (NIST SP 800-63B-4, 3.2.2); `erase` ends it.
  const endless = everything.filter(({ ttl }) => ttl < 0).map(({ key }) => key)
  assert.equal(endless.length, 1)
  assert.match(endless[0] ?? '', /\}:f:/)
  await smsVerify.erase(phone)
  const left = (await dump(client, queuePrefix)).map(({ key }) => key)
  assert.ok(
    left.every((key) => /\{budgets\}/.test(key)),
    left.join(),
  )
})

test('A job is published to the send queue as a reference, confirmed.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const phone = newPhone()
  const { id } = await app.smsVerify.send({ phone })
  // Resolved means that it is there: no waiting.
  const [message, ...others] = await broker.drain(`${queuePrefix}.send`)
  assert.equal(others.length, 0)
  assert.deepEqual(JSON.parse(String(message?.content)), { v: 1, id, version: 1 })
  await app.smsVerify.publish({ id, version: 7 })
  const [published] = await broker.drain(`${queuePrefix}.send`)
  assert.deepEqual(JSON.parse(String(published?.content)), { v: 1, id, version: 7 })
  assert.equal(published?.properties.messageId, `${id}:7:1`)
  assert.equal(published?.properties.deliveryMode, 2)
})

test('What the host says is trusted is not slowed down after many wrong codes.', async (t) => {
  const { app, provider } = await start(t, 'embedded')
  const { smsVerify } = app
  const phone = newPhone()
  for (let i = 0; i < 3; i++) {
    const { id } = await smsVerify.send({ phone })
    const code = wrongCode(await codeOf(provider, id))
    for (let i = 0; i < 5; i++) await assert.rejects(smsVerify.verify({ id, code }))
  }
  await assert.rejects(smsVerify.send({ phone }), { code: 'SMS_VERIFY_TOO_MANY_REQUESTS' })
  await smsVerify.send({ phone, trusted: true })
})

test('Without an address the limits by address do not apply.', async (t) => {
  const app = await build(t, embedded({ limits: { ...UNLIMITED, ip: { max: 1, window: 60 } } }))
  for (let i = 0; i < 5; i++) await app.smsVerify.send({ phone: newPhone() })
  await app.smsVerify.send({ phone: newPhone(), ip: '192.0.2.1' })
  await assert.rejects(app.smsVerify.send({ phone: newPhone(), ip: '192.0.2.1' }), {
    code: 'SMS_VERIFY_TOO_MANY_REQUESTS',
  })
})

interface Entry {
  key: string
  /** Milliseconds, -1 for ever. */
  ttl: number
  value: unknown
}

/** All keys of a client's folder with what they hold. */
async function dump(client: Redis, folder: string): Promise<Entry[]> {
  const keys = await client.keys(`${folder}:*`)
  return Promise.all(
    keys.map(async (key) => {
      const name = key.slice(folder.length + 1)
      const type = await client.type(name)
      if (type === 'string') return entry(client.get(name))
      if (type === 'hash') return entry(client.hgetall(name))
      assert.fail(type)

      async function entry(value: Promise<unknown>): Promise<Entry> {
        return { key, ttl: await client.pttl(name), value: await value }
      }
    }),
  )
}

test('A request counts as it was when it was made, whatever becomes of the object.', async (t) => {
  const { app, provider } = await start(t, 'embedded', {})
  const phones = [newPhone(), newPhone()]
  const request = { phone: '' }
  const sends = phones.map((phone) => app.smsVerify.send(Object.assign(request, { phone })))
  for (const { id } of await Promise.all(sends)) await codeOf(provider, id)
  assert.deepEqual(provider.messages.map(({ phone }) => phone).sort(), phones.sort())
})

test('A send and a check are answered where a test has taken the clocks over.', async (t) => {
  const { app } = await start(t, 'embedded', {})
  t.mock.timers.enable()
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await assert.rejects(app.smsVerify.verify({ id: UNKNOWN, code: '000000' }), GONE)
  assert.equal((await app.smsVerify.status(id)).status, 'queued')
})

for (const mode of MODES) {
  const most = mode === 'embedded' ? 20 : 8
  test(`${mode}: Of a burst of sends, ${most} are begun in a turn of the event loop.`, async (t) => {
    let begun = 0
    const beforeSend = () => {
      begun++
      return true
    }
    const { app } = await start(t, mode, { beforeSend })
    const sends = Array.from({ length: 20 }, () => app.smsVerify.send({ phone: newPhone() }))
    await turnOver()
    assert.equal(begun, most)
    await Promise.all(sends)
    assert.equal(begun, 20)
  })
}
