import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { statusStream } from '../src/stream.ts'
import type { StatusResult } from '../src/verification.ts'
import { createWatcher, MAX_LISTENERS, MAX_LISTENERS_OF_ONE } from '../src/watcher.ts'

const QUEUED: StatusResult = { status: 'queued', expiresIn: 300, resendIn: 60, checksLeft: 5 }
const SENT: StatusResult = { ...QUEUED, status: 'sent' }
const FULL = { code: 'SMS_VERIFY_UNAVAILABLE', retryAfter: 5 }

/** A store of one answer, and a clock that the test moves. */
function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const store = { answer: QUEUED as StatusResult | 'gone' | Error, asked: [] as string[] }
  const watcher = createWatcher(async (id) => {
    store.asked.push(id)
    if (store.answer instanceof Error) throw store.answer
    return store.answer
  })
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      t.mock.timers.tick(100)
      await turn()
    }
  }
  return { store, watcher, pass }
}

test('All who watch one verification share one question, and each is told.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  const told = Array.from({ length: 10 }, () => [] as unknown[])
  const stops = told.map((news) => watcher.watch('a', (each) => news.push(each)))
  await pass(2000)
  assert.deepEqual(store.asked, ['a', 'a', 'a', 'a', 'a'])
  for (const news of told) assert.deepEqual(news, Array(5).fill(QUEUED))

  stops.shift()?.()
  await pass(400)
  assert.deepEqual(
    told.map((news) => news.length),
    [5, ...Array(9).fill(6)],
  )
  for (const stop of [...stops, ...stops]) stop()
  await pass(5000)
  assert.equal(store.asked.length, 6)
})

test('What is sent is asked for less often after a while, until it changes.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  watcher.watch('a', () => {})
  store.answer = SENT
  await pass(10_000)
  assert.equal(store.asked.length, 25)
  await pass(10_000)
  assert.equal(store.asked.length, 30)
  store.answer = QUEUED
  await pass(2000 + 4000)
  assert.equal(store.asked.length, 41)

  store.answer = SENT
  await pass(12_000)
  const before = store.asked.length
  // Its page may have had another code sent.
  watcher.watch('a', () => {})
  await pass(2000)
  assert.equal(store.asked.length, before + 5)
})

test('A store that cannot be asked is asked again, and nothing is told meanwhile.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  const told: unknown[] = []
  watcher.watch('a', (news) => told.push(news))
  store.answer = new Error('down')
  await pass(4000)
  assert.deepEqual([store.asked.length, told], [10, []])
  store.answer = SENT
  await pass(400)
  assert.deepEqual(told, [SENT])
})

test('Who comes or goes while the store is asked is not told what it says then.', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const answers: ((news: StatusResult) => void)[] = []
  const watcher = createWatcher(() => new Promise((resolve) => answers.push(resolve)))
  const told: string[] = []
  watcher.watch('a', () => told.push('stays'))
  const stop = watcher.watch('a', () => told.push('goes'))
  t.mock.timers.tick(400)
  stop()
  watcher.watch('a', () => told.push('comes'))
  answers[0]?.(QUEUED)
  await turn()
  assert.deepEqual(told, ['stays'])
  t.mock.timers.tick(400)
  answers[1]?.(QUEUED)
  await turn()
  assert.deepEqual(told, ['stays', 'stays', 'comes'])
})

test('There is room for so many, for fewer of one, and again when one goes.', (t) => {
  const { watcher } = setUp(t)
  const watch = (id: string) => watcher.watch(id, () => {})
  const first = Array.from({ length: MAX_LISTENERS_OF_ONE }, () => watch('a'))
  assert.throws(() => watch('a'), FULL)
  const others = Array.from({ length: MAX_LISTENERS - first.length }, (_, i) => watch(`${i}`))
  assert.throws(() => watch('b'), FULL)
  others[0]?.()
  assert.throws(() => watch('a'), FULL)
  watch('b')
  assert.throws(() => watch('c'), FULL)
  first[0]?.()
  watch('a')
})

test('Closing tells everyone that it is over, and nobody is let in any more.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  const told: unknown[] = []
  const watch = (id: string) => {
    const stop = watcher.watch(id, (news) => {
      told.push(news)
      stop()
    })
  }
  for (const id of ['a', 'a', 'b']) watch(id)
  watcher.close()
  assert.deepEqual(told, ['gone', 'gone', 'gone'])
  assert.throws(() => watch('a'), FULL)
  await pass(5000)
  assert.deepEqual(store.asked, [])
})

test('A stream has a sign of life every 15 s, and none after its end.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  const stream = statusStream('a', QUEUED, watcher).setEncoding('utf8')
  const chunks: string[] = []
  stream.on('data', (chunk) => chunks.push(chunk))
  await pass(45_000)
  const opening = `retry: 2000\n\nevent: status\ndata: ${JSON.stringify(QUEUED)}\n\n`
  assert.deepEqual(chunks, [opening, ':\n\n', ':\n\n', ':\n\n'])
  store.answer = { ...QUEUED, status: 'delivered' }
  await pass(400)
  assert.deepEqual(chunks.slice(4), [`event: status\ndata: ${JSON.stringify(store.answer)}\n\n`])
  assert.equal(stream.readableEnded, true)
  const { length } = store.asked
  await pass(45_000)
  assert.deepEqual([chunks.length, store.asked.length], [5, length])
})

test('A stream that nobody reads asks no more after its end.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  statusStream('a', QUEUED, watcher)
  store.answer = { ...QUEUED, status: 'failed', reason: 'rate' }
  await pass(5000)
  assert.equal(store.asked.length, 1)
})

test('A stream tells what changes, and not the time that passes.', async (t) => {
  const { store, watcher, pass } = setUp(t)
  const stream = statusStream('a', SENT, watcher).setEncoding('utf8')
  const told: unknown[] = []
  stream.on('data', (chunk) => told.push(JSON.parse(/data: (.*)/.exec(chunk)?.[1] ?? '')))
  const tell = async (changes: Partial<StatusResult>) => {
    store.answer = { ...SENT, ...changes }
    await pass(400)
  }
  await tell({ expiresIn: 299, resendIn: 59 })
  await tell({ expiresIn: 250, resendIn: 10 })
  assert.deepEqual(told, [SENT])
  await tell({ expiresIn: 249, checksLeft: 4 })
  // A new code, sent between two questions.
  await tell({ expiresIn: 300, checksLeft: 4 })
  assert.deepEqual(told.slice(1), [
    { ...SENT, expiresIn: 249, checksLeft: 4 },
    { ...SENT, checksLeft: 4 },
  ])
})
