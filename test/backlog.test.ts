import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEstimate, longestWait } from '../src/backlog.ts'
import {
  build,
  connected,
  consume,
  newPhone,
  newQueuePrefix,
  post,
  recordingProvider,
  until,
} from './helper.ts'

/** Looks once a second from `from` on, at a queue and at consumers that do so much in a second. */
function look(
  estimate: ReturnType<typeof createEstimate>,
  { from = 0, done = 1000, seconds = 0, depth = (_: number) => 0, pace = (_: number) => 0 },
): void {
  for (let second = 0; second <= seconds; second++) {
    estimate.update({ at: (from + second) * 1000, depth: depth(second), done })
    done += pace(second)
  }
}

test('a job waits for as long as the consumers need for those before it', () => {
  const estimate = createEstimate()
  look(estimate, { seconds: 20, depth: (second) => 90 * second + 1, pace: () => 10 })
  assert.equal(estimate.wait(20_000), 180_100)
  estimate.add()
  assert.equal(estimate.wait(20_000), 180_200)
})

test('nothing is said of a pace before it has been seen for ten seconds', () => {
  const estimate = createEstimate()
  look(estimate, { seconds: 9, depth: () => 5000, pace: () => 1 })
  assert.ok(estimate.wait(9_000) <= 1000)
})

test('consumers that were idle before are not slow', () => {
  const estimate = createEstimate()
  look(estimate, { seconds: 60, depth: () => 0, pace: () => 1 })
  look(estimate, { from: 61, seconds: 9, depth: () => 5000, pace: () => 500 })
  assert.equal(estimate.wait(70_000), 0)
})

test('a pause of all consumers does not make them slow', () => {
  const estimate = createEstimate()
  look(estimate, {
    seconds: 30,
    depth: (second) => 1 + 100 * second,
    pace: (second) => (second < 12 ? 0 : 300),
  })
  assert.equal(Math.round(estimate.wait(30_000)), Math.round(3001 / 0.3))
})

test('where nothing moves the wait is the time since it did', () => {
  const estimate = createEstimate()
  look(estimate, { seconds: 100, depth: () => 3, pace: (second) => (second < 12 ? 1 : 0) })
  assert.equal(estimate.wait(100_000), 88_000)
})

test('a sum that begins anew, and an empty queue, begin the estimate anew', () => {
  const estimate = createEstimate()
  look(estimate, { seconds: 20, depth: () => 900, pace: () => 10 })
  estimate.update({ at: 21_000, depth: 900, done: 5 })
  assert.equal(estimate.wait(21_000), 0)
  look(estimate, { from: 22, done: 5, seconds: 20, depth: () => 900, pace: () => 10 })
  assert.equal(estimate.wait(42_000), 90_000)
  estimate.update({ at: 43_000, depth: 0, done: 2000 })
  assert.equal(estimate.wait(43_000), 0)
})

test('a send is refused when its job would wait for more than half of the time in which it can be sent', () => {
  assert.equal(longestWait(300_000), 135_000)
  assert.equal(longestWait(60_000), 15_000)
  assert.equal(longestWait(30_000), 7_500)
})

test('slow consumers, and none, make sends 503 until they have caught up; a short queue does not', async (t) => {
  const slow = newQueuePrefix()
  const none = newQueuePrefix()
  const logged: string[] = []
  const logger = { level: 'info', stream: { write: (line: string) => logged.push(line) } }
  const lines = (event: string) => logged.filter((line) => line.includes(`"event":"${event}"`))
  const provider = recordingProvider(async () => {
    await new Promise((resolve) => setTimeout(resolve, 100))
    return { class: 'ok' }
  })
  await consume(t, { queuePrefix: slow, provider, concurrency: 2 })
  const code = { ttl: 60 }
  const app = await build(t, connected({ queuePrefix: slow, code }), { logger })
  const alone = await build(t, connected({ queuePrefix: none, code }))
  const send = () => post(app, '/sms/send', { phone: newPhone() })

  assert.equal((await post(alone, '/sms/send', { phone: newPhone() })).status, 202)
  for (let i = 0; i < 20; i++) {
    const accepted = await Promise.all(Array.from({ length: 30 }, send))
    assert.deepEqual([...new Set(accepted.map(({ status }) => status))], [202])
  }
  await until('sends are refused', async () => (await send()).status === 503, 20_000)
  await until('it is logged', () => lines('queue.slow').length === 1)
  const refused = await send()
  assert.equal(refused.body.code, 'SMS_VERIFY_UNAVAILABLE')
  assert.ok(refused.headers['retry-after'])

  await until('sends are taken again', async () => (await send()).status === 202, 40_000)
  await until('that is logged', () => lines('queue.recovered').length === 1)
  assert.equal((await post(alone, '/sms/send', { phone: newPhone() })).status, 503)
})
