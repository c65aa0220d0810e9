/** Outages of a vendor, and a shorter run of mixed failures; `npm run test:providers` measures them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AMQP_URL, REDIS_URL } from './helper.ts'
import { playMixed } from './providers/mixed.ts'
import { OUTAGES, playOutage } from './providers/outages.ts'

const services = { redis: REDIS_URL, amqp: AMQP_URL }

describe('a chain of providers', { concurrency: 3 }, () => {
  for (const outage of OUTAGES) {
    test(`outlives the first one’s outage: ${outage.title}`, async () => {
      const { problems } = await playOutage(services, outage)
      assert.deepEqual(problems, [])
    })
  }
})

test('every send ends as its outcomes demand, and nobody is sent to twice', async () => {
  const { problems, sends } = await playMixed(services, 500)
  assert.deepEqual(problems, [])
  assert.equal(sends, 500)
})
