import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createProviderHealth, noteState } from '../src/provider-health.ts'
import type { BreakerOptions } from '../src/providers/chain.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import { createLog, until } from './helper.ts'

const BREAKER: BreakerOptions = { share: 0.5, least: 4, window: 30, pause: 10 }

/** Consumers of one queue on one store, whose clock stands still until it is moved. */
function clinic(t: TestContext) {
  let at = 0
  const store = createMemoryStore({ now: () => at })
  const alerts: unknown[] = []
  const open = (breaker: BreakerOptions | false = BREAKER) => {
    const { logger, lines, events } = createLog()
    const onAlert = (alert: unknown) => void alerts.push(alert)
    const health = createProviderHealth({ queue: 'q', store, breaker, onAlert, logger })
    t.after(() => health.close())
    return { health, lines, events }
  }
  const advance = (ms: number) => {
    at += ms
  }
  return { store, alerts, open, advance }
}

test('A provider that fails too often is told once, and known to all consumers within seconds.', async (t) => {
  const { open, alerts } = clinic(t)
  const [one, two] = [open(), open()]
  for (let n = 0; n < 4; n++) one.health.noteCall('p', 'CN', n % 2 ? 'retry' : 'ambiguous')
  await until('it is out here', async () => !(await one.health.admits('p', 'CN')))
  assert.deepEqual(alerts, [{ kind: 'provider', provider: 'p', country: 'CN', cause: 'calls' }])
  assert.deepEqual(
    one.lines.map(({ level, event, cause }) => [level, event, cause]),
    [['error', 'provider.open', 'calls']],
  )
  assert.ok(await one.health.admits('p', 'US'))
  assert.ok(await one.health.admits('other', 'CN'))
  // The other one has been sending well all the time.
  two.health.noteCall('other', 'CN', 'ok')
  await until('it is out there', async () => !(await two.health.admits('p', 'CN')))
  assert.deepEqual([two.events(), alerts.length], [[], 1])
})

test('What is about the number says nothing about the provider.', async (t) => {
  const { open, alerts } = clinic(t)
  const { health } = open()
  const outcomes = ['permanent_recipient', 'rate_recipient', 'fraud_block'] as const
  for (let n = 0; n < 30; n++) health.noteCall('p', 'CN', outcomes[n % 3] as 'fraud_block')
  for (let n = 0; n < 3; n++) health.noteCall('p', 'CN', 'permanent_request')
  await health.close()
  assert.ok(await health.admits('p', 'CN'))
  assert.deepEqual(alerts, [])
})

test('A refused account is out at once.', async (t) => {
  const { open, alerts } = clinic(t)
  const { health } = open()
  health.noteCall('p', 'CN', 'account')
  await until('it is out', async () => !(await health.admits('p', 'CN')))
  assert.deepEqual(alerts, [{ kind: 'provider', provider: 'p', country: 'CN', cause: 'account' }])
})

test('After the pause one message tries, and when it is answered all may again.', async (t) => {
  const { open, advance, store } = clinic(t)
  const { health, events } = open({ ...BREAKER, pause: 0.05 })
  for (let n = 0; n < 4; n++) health.noteCall('p', 'CN', 'retry')
  await until('it is out', async () => !(await health.admits('p', 'CN')))
  advance(50)
  await until('one may try', () => health.admits('p', 'CN'))
  assert.equal(await health.admits('p', 'CN'), false)
  const elsewhere = { queue: 'q', provider: 'p', country: 'CN', lease: 1000 }
  assert.equal(await store.probe(elsewhere), false)
  health.noteCall('p', 'CN', 'ok')
  await until('it is in again', () => health.admits('p', 'CN'))
  assert.deepEqual(events(), ['provider.open', 'provider.closed'])
})

test('Receipts that say so put a provider out, those about the number do not.', async (t) => {
  const { open, alerts } = clinic(t)
  const { health } = open()
  for (let n = 0; n < 30; n++)
    noteState(health, 'p', 'CN', { state: 'failed', reason: 'recipient' })
  for (let n = 0; n < 30; n++) noteState(health, 'q', 'CN', { state: 'delivered' })
  for (let n = 0; n < 20; n++) noteState(health, 'r', 'CN', { state: 'failed' })
  await health.close()
  assert.deepEqual(alerts, [{ kind: 'provider', provider: 'r', country: 'CN', cause: 'receipts' }])
})

test('So does it when hardly a code is entered, once people have had the time.', async (t) => {
  const { open, alerts, advance } = clinic(t)
  const { health } = open()
  const sent = { provider: 'p', country: 'CN', signal: 'codes', good: 0, bad: 1 } as const
  for (let n = 0; n < 60; n++) health.note(sent)
  await health.close()
  advance(121_000)
  health.note(sent)
  await health.close()
  assert.deepEqual(alerts, [{ kind: 'provider', provider: 'p', country: 'CN', cause: 'codes' }])
})

test('Without a breaker what is wrong is told, and everybody is asked all the same.', async (t) => {
  const { open, alerts } = clinic(t)
  const { health } = open(false)
  health.noteCall('p', 'CN', 'account')
  await health.close()
  assert.equal(alerts.length, 1)
  assert.ok(await health.admits('p', 'CN'))
})

test('While the store cannot be asked, what is known holds and nobody is told twice.', async () => {
  const { logger, lines } = createLog()
  const store = {
    ...createMemoryStore(),
    reportHealth: () => Promise.reject(new Error('no Redis')),
    probe: () => Promise.reject(new Error('no Redis')),
  }
  const onAlert = () => assert.fail()
  const options = { queue: 'q', store, breaker: BREAKER, onAlert, logger }
  const health = createProviderHealth(options)
  for (let n = 0; n < 9; n++) health.noteCall('p', 'CN', 'account')
  await health.close()
  assert.ok(await health.admits('p', 'CN'))
  assert.deepEqual(lines, [])
})
