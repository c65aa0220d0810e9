import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { Puzzle } from '../src/challenge.ts'
import { MODES, newPhone, post, start, UNLIMITED } from './helper.ts'
import { assertProblem } from './problem.ts'
import { solve } from './puzzle.ts'

const send = (app: FastifyInstance, payload: object, ip = '192.0.2.1') =>
  app.inject({ method: 'POST', url: '/sms/send', payload, remoteAddress: ip })

/** Asks without a solution; there has to be a puzzle. */
async function puzzleFor(app: FastifyInstance, payload: object, ip?: string): Promise<Puzzle> {
  const answer = await send(app, payload, ip)
  const { challenge } = answer.json()
  assertProblem(answer, 403, 'SMS_VERIFY_CHALLENGE_REQUIRED', { challenge })
  assert.match(challenge.puzzle, /^[0-9a-z]+\.\d+\.[\w-]{12}\.[\w-]{22}$/)
  return challenge
}

for (const mode of MODES) {
  test(`${mode}: Whoever solves the challenge gets a code, once, for this number from this address.`, async (t) => {
    const { app } = await start(t, mode, { challenge: 'on' })
    const phone = newPhone()
    const solution = await solve(await puzzleFor(app, { phone }))

    const refused = async (payload: object, ip?: string) =>
      assert.equal((await send(app, payload, ip)).json().code, 'SMS_VERIFY_CHALLENGE_REQUIRED')
    await refused({ phone: newPhone(), solution })
    await refused({ phone, solution }, '192.0.2.2')
    await refused({ phone, solution: `${solution}0` })
    assert.equal((await send(app, { phone, solution })).statusCode, 202)
    await refused({ phone, solution })
    // However the number is written.
    const another = await solve(await puzzleFor(app, { phone }))
    const spaced = `${phone.slice(0, 3)} ${phone.slice(3)}`
    assert.equal((await send(app, { phone: spaced, solution: another })).statusCode, 202)
  })

  test(`${mode}: Of parallel sends with one solution one gets a code.`, async (t) => {
    const { app } = await start(t, mode, { challenge: 'on' })
    const phone = newPhone()
    const solution = await solve(await puzzleFor(app, { phone }))
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => send(app, { phone, solution })),
    )
    assert.equal(answers.filter(({ statusCode }) => statusCode === 202).length, 1)
  })

  test(`${mode}: It is asked for from a share of a budget on, and gets harder.`, async (t) => {
    // In Redis a budget is shared by all apps with the same window.
    const total = { max: 4, window: randomInt(100_000, 1_000_000) }
    const { app } = await start(t, mode, { challenge: 0.5, limits: { ...UNLIMITED, total } })
    for (let i = 0; i < 2; i++)
      assert.equal((await send(app, { phone: newPhone() })).statusCode, 202)
    const bits = []
    for (let i = 0; i < 2; i++) {
      const phone = newPhone()
      const puzzle = await puzzleFor(app, { phone })
      bits.push(puzzle.bits)
      assert.equal((await send(app, { phone, solution: await solve(puzzle) })).statusCode, 202)
    }
    assert.deepEqual(bits, [18, 19])
    // What is used up is used up, whatever one solves.
    const phone = newPhone()
    const last = await puzzleFor(app, { phone })
    assert.equal(last.bits, 20)
    const answer = await send(app, { phone, solution: await solve(last) })
    assert.equal(answer.statusCode, 429)
  })
}

test('A hook can ask for it; without one and by default nobody does.', async (t) => {
  const phone = newPhone()
  const hook = await start(t, 'embedded', {
    beforeSend: (context) => (context.phone === phone ? 'challenge' : 'allow'),
  })
  assert.equal((await send(hook.app, { phone: newPhone() })).statusCode, 202)
  const solution = await solve(await puzzleFor(hook.app, { phone }))
  assert.equal((await send(hook.app, { phone, solution })).statusCode, 202)
  const { app } = await start(t, 'embedded')
  assert.equal((await send(app, { phone })).statusCode, 202)
})

test('A send that is refused anyway, and a repeated one, need no solution; a refusal by the number’s limits uses none up.', async (t) => {
  const { app } = await start(t, 'embedded', {
    challenge: 'on',
    limits: { ...UNLIMITED, cooldown: [60] },
  })
  const phone = newPhone()
  const ip = '127.0.0.1'
  const [first, second] = [await puzzleFor(app, { phone }, ip), await puzzleFor(app, { phone }, ip)]
  const key = { 'idempotency-key': 'one' }
  const payload = { phone, solution: await solve(first) }
  const sent = await post(app, '/sms/send', payload, key)
  assert.equal(sent.status, 202)
  assert.deepEqual((await post(app, '/sms/send', { phone }, key)).body.id, sent.body.id)
  for (let i = 0; i < 2; i++) {
    assert.equal((await send(app, { phone, solution: await solve(second) }, ip)).statusCode, 429)
  }
})

test('A solution of another form, of another maker, too easy or too late is none.', async (t) => {
  const { app } = await start(t, 'embedded', { challenge: 'on' })
  const phone = newPhone()
  const { puzzle, bits } = await puzzleFor(app, { phone })
  for (const solution of [
    '',
    'x',
    `${puzzle}`,
    `${puzzle}.`,
    `${puzzle}.-1`,
    5,
    `${puzzle}.1.2`,
    `${puzzle}.A`,
  ]) {
    assert.equal((await send(app, { phone, solution })).statusCode, 400, String(solution))
  }
  const [expires, , random, mac] = puzzle.split('.') as [string, string, string, string]
  const forged = [
    { puzzle: [expires, 1, random, mac].join('.'), bits: 1 },
    { puzzle: [`${expires}0`, bits, random, mac].join('.'), bits: 1 },
    { puzzle: [expires, bits, random, 'A'.repeat(22)].join('.'), bits },
  ]
  for (const each of forged) {
    const answer = await send(app, { phone, solution: await solve(each) })
    assert.equal(answer.json().code, 'SMS_VERIFY_CHALLENGE_REQUIRED')
  }
  // Too few zero bits.
  const easy = Array.from({ length: 50 }, (_, i) => `${puzzle}.${i.toString(36)}`).find(
    (solution) =>
      createHash('sha256').update(solution).digest().readUInt32BE() >>> (32 - bits) !== 0,
  )
  assert.equal((await send(app, { phone, solution: easy })).statusCode, 403)
})
