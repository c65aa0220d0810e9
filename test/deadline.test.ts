import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { withDeadline } from '../src/deadline.ts'
import { REDIS_URL } from './helper.ts'

/** Holds up the whole process. */
const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

test('a process that is held up past the deadline takes the answer that came in time', async (t) => {
  const redis = new Redis(REDIS_URL)
  t.after(() => redis.quit())
  await redis.ping()
  const answer = withDeadline(redis.ping(), 50, 'no answer')
  block(200)
  assert.equal(await answer, 'PONG')
})

test('what does not come in time is a rejection that says so', async () => {
  const never = new Promise(() => {})
  await assert.rejects(withDeadline(never, 20, 'no answer'), /^Error: no answer within 20 ms$/)
})
