/** That the bench runs; what it measures is nothing for a test. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import { load } from '../bench/load.ts'
import { createSideBySide, inTurn, measure, median, row } from '../bench/row.ts'
import type { World } from '../bench/world.ts'
import { programArgs } from './compiled.ts'

test('The bench measures a row of ours beside its floor, and refuses one that it does not know.', async () => {
  const bench = (...args: string[]) =>
    promisify(execFile)(process.execPath, [...programArgs('bench/run.ts'), ...args])
  const { stdout } = await bench('--smoke', 'noop')
  assert.match(stdout, /^\| `noop` \| .* messages\/s \| .* \(amqplib/m)
  await assert.rejects(bench('nothing'), /no row nothing; there are send,verify,/)
})

test('What is measured side by side runs one after the other, another one first each time, then the other way round.', async () => {
  const sideBySide = createSideBySide()
  const order: string[] = []
  const note = async (one: string) => order.push(one)
  assert.deepEqual(await sideBySide({ one: 'A', two: 'B' }, note), { one: 1, two: 2 })
  assert.deepEqual(await sideBySide({ one: 'A', two: 'B' }, note), { one: 4, two: 3 })
  for (let i = 0; i < 3; i++) await sideBySide({ one: 'A', two: 'B' }, note)
  assert.equal(order.join(''), 'AB BA BA AB AB'.replaceAll(' ', ''))
})

test('Of so many that are started another one runs each time.', async () => {
  let started = 0
  const round = await inTurn(2, async () => {
    const ours = ++started
    return async () => ({ rate: { ours } })
  })
  const rates = [await round(), await round(), await round()].map(({ rate }) => rate.ours)
  assert.deepEqual(rates, [1, 2, 1])
})

test('A row has as many rounds as it asks for, and its share is the median of theirs.', async () => {
  let ours = 0
  const result = await measure(
    row({
      name: 'some',
      lines: { rate: { title: '', unit: '', target: { share: { least: 0.5 } } } },
      times: 3,
      async prepare({ rounds }) {
        assert.equal(rounds, 9)
        return async () => ({ rate: { ours: ++ours, other: 10 } })
      },
    }),
    { rounds: 3 } as World,
  )
  assert.equal(ours, 9)
  assert.deepEqual(
    result.map(({ share, met }) => ({ share, met })),
    [{ share: 0.5, met: true }],
  )
})

test('A target of which a round measured nothing is an error.', async () => {
  const nothing = row({
    ...{ name: 'some', lines: { rate: { title: '', unit: '', target: { share: {} } } } },
    prepare: async () => async () => ({ rate: { ours: 1, other: Number.NaN } }),
  })
  await assert.rejects(
    measure(nothing, { rounds: 1 } as World),
    /^Error: some: rate was not measured/,
  )
})

test('A load is measured once each connection has had an answer.', async () => {
  const app = Fastify()
  app.post('/', async () => ({}))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const answered = (amount: number) =>
    load(app.listeningOrigin, [{ path: '/', body: '{}' }], amount, [200])
  const [one, two] = [await answered(50), await answered(100)]
  await app.close()
  assert.deepEqual([one.count, one.rate, one.p99], [50, Number.NaN, Number.NaN])
  assert.equal(two.count, 100)
  assert.ok(two.rate > 0 && two.p99 > 0)
})

test('The median of an even number of figures is between the two in the middle.', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(median([5, 1, 3]), 3)
})
