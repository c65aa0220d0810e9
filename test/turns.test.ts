import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turnOver } from 'node:timers/promises'
import { createTurns } from '../src/turns.ts'

/** Begins so many, and notes which of them have. */
function begin(count: number, most: number): number[] {
  const turn = createTurns(most)
  const begun: number[] = []
  for (let i = 0; i < count; i++) turn().then(() => begun.push(i))
  return begun
}

test('Nothing is begun before all that has come in is read.', async () => {
  const begun = begin(3, 8)
  await Promise.resolve()
  assert.deepEqual(begun, [])
  await turnOver()
  assert.deepEqual(begun, [0, 1, 2])
})

test('Only so many are begun in a turn, in their order.', async () => {
  const begun = begin(20, 8)
  for (const expected of [8, 16, 20, 20]) {
    await turnOver()
    assert.deepEqual(
      begun,
      Array.from({ length: expected }, (_, i) => i),
    )
  }
})

test('What comes in later waits behind what is there.', async () => {
  const turn = createTurns(1)
  const begun: string[] = []
  for (const name of ['first', 'second']) turn().then(() => begun.push(name))
  await turnOver()
  turn().then(() => begun.push('later'))
  await turnOver()
  assert.deepEqual(begun, ['first', 'second'])
  await turnOver()
  assert.deepEqual(begun, ['first', 'second', 'later'])
})

test('Without a limit all are begun in one turn.', async () => {
  const begun = begin(100, Number.POSITIVE_INFINITY)
  await turnOver()
  assert.equal(begun.length, 100)
})
