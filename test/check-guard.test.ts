import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCheckGuard } from '../src/store/check-guard.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import type { CheckVerdict, Purse } from '../src/store/store.ts'

const purse: Purse = {
  budgets: [{ key: 'an address', window: 60_000, max: 2, share: 0, units: 1 }],
  soft: false,
}

function guardOn(store: Parameters<typeof createCheckGuard>[0]) {
  const guard = createCheckGuard(store)
  return (check: () => Promise<CheckVerdict>) => guard(purse, check)
}

const wrong = async () => ({ verdict: 'wrong', checksLeft: 4 }) as const
const verified = { verdict: 'verified', purpose: 'login', sealedPhone: '', spent: [] } as const
const right = async () => ({ ...verified, spent: [] })

test('What a check came to is said although a wrong one cannot be counted.', async () => {
  const store = createMemoryStore()
  const guard = guardOn({ ...store, spend: () => Promise.reject(new Error('the store is down')) })
  assert.deepEqual(await guard(wrong), await wrong())
})

test('A check that fails, or a store that does, keeps nobody waiting.', async () => {
  const store = createMemoryStore()
  let down = false
  const usage: typeof store.usage = (all) =>
    down ? Promise.reject(new Error('the store is down')) : store.usage(all)
  const guard = guardOn({ ...store, usage })
  let fail: (error: Error) => void = () => {}
  const failing = () => new Promise<never>((_, reject) => (fail = reject))
  const first = guard(failing)
  const second = guard(right)
  const third = guard(right)
  const fourth = guard(right)
  assert.deepEqual(await second, verified)
  fail(new Error('cut'))
  await assert.rejects(first, /cut/)
  assert.deepEqual(await Promise.all([third, fourth]), [verified, verified])
  down = true
  await assert.rejects(guard(right), /the store is down/)
  down = false
  assert.deepEqual(await guard(right), verified)
})

test('When the last wrong code is spent, all who wait are told how long.', async () => {
  const guard = guardOn(createMemoryStore())
  const answers = await Promise.all(Array.from({ length: 10 }, () => guard(wrong)))
  assert.equal(answers.filter(({ verdict }) => verdict === 'wrong').length, 2)
  const waits = answers.flatMap((answer) => ('wait' in answer ? [answer.wait] : []))
  assert.equal(waits.length, 8)
  for (const wait of waits) assert.ok(wait > 0 && wait <= 60_000)
})
