import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { declareQueues } from '../src/queue/topology.ts'
import { openBroker } from './broker.ts'
import { startConsumerProcess } from './consumer-process.ts'
import {
  AMQP_URL,
  build,
  connected,
  consume,
  newPhone,
  newQueuePrefix,
  post,
  recordingProvider,
  until,
} from './helper.ts'

/** Runs `dead …` and gives what it printed, a line each. */
async function dead(t: TestContext, queuePrefix: string, ...args: string[]): Promise<string[]> {
  // The consumer's own user may not look into the dead queue.
  const operator = { AMQP_URL }
  const command = startConsumerProcess(
    t,
    ['dead', ...args, '--queue-prefix', queuePrefix],
    operator,
  )
  assert.equal(await command.exit, 0, command.output())
  return command.output().split('\n').filter(Boolean)
}

test('what can still be sent is replayed, and what cannot is named', async (t) => {
  const queuePrefix = newQueuePrefix()
  let works = false
  const provider = recordingProvider(() =>
    works ? { class: 'ok' } : { class: 'account', code: '20003' },
  )
  await consume(t, { queuePrefix, provider })
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const ids: string[] = []
  for (let i = 0; i < 4; i++) ids.push((await app.smsVerify.send({ phone: newPhone() })).id)
  const [alive, cancelled, erased, verified] = ids as [string, string, string, string]
  await until('all are dead', async () => (await broker.depth(`${queuePrefix}.dead`)) === 4)
  await broker.put(`${queuePrefix}.dead`, 'not a job')
  await app.smsVerify.cancel(cancelled)
  const gone = provider.messages.find(({ id }) => id === erased)
  await app.smsVerify.erase(gone?.phone as string)
  const code = provider.messages.find(({ id }) => id === verified)?.code
  assert.equal((await post(app, '/sms/verify', { id: verified, code })).status, 200)

  const says = {
    [alive]: / account {2}(replayed {2})?\d+ s left$/,
    [cancelled]: / account {2}(skipped {2})?there is a newer code, or it was cancelled$/,
    [erased]: / account {2}(skipped {2})?the store does not know it any more$/,
    [verified]: / account {2}(skipped {2})?it was sent$/,
    '-': / unknown {2}(skipped {2})?not a job$/,
  }
  const check = (lines: string[], last: string) => {
    assert.equal(lines.at(-1), last)
    assert.equal(lines.length, 6)
    for (const [id, pattern] of Object.entries(says)) {
      const line = lines.find((each) => each.includes(id === '-' ? '  -  ' : `  ${id}:1:1  `))
      assert.match(line ?? `no line for ${id} in ${lines}`, pattern)
      assert.match(line as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /)
    }
  }
  check(await dead(t, queuePrefix, 'list'), '5 dead letters, 1 of them can be replayed')
  check(await dead(t, queuePrefix, 'list'), '5 dead letters, 1 of them can be replayed')
  works = true
  check(await dead(t, queuePrefix, 'replay'), '1 dead letter replayed, 4 skipped')

  await until('it is sent', async () => (await app.smsVerify.status(alive)).status === 'sent')
  const [first, again] = provider.messages.filter(({ id }) => id === alive)
  assert.equal(again?.attempt, 2)
  assert.equal(again?.code, first?.code)
  assert.equal(provider.messages.length, 5)
  assert.equal(await broker.depth(`${queuePrefix}.dead`), 4)

  const letters = await broker.drain(`${queuePrefix}.dead`)
  for (const { properties, content } of letters) {
    const left = Number(properties.expiration)
    assert.ok(left > 86_000_000 && left <= 86_400_000, `${left} ms left`)
    if (content.toString() !== 'not a job')
      assert.equal(properties.headers?.['x-reason'], 'account')
  }
})

test('a replayed job that fails again is dead again, and a copy of it is not sent', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider(() => ({ class: 'permanent_request' }))
  await consume(t, { queuePrefix, provider })
  const app = await build(t, connected({ queuePrefix }))
  const broker = await openBroker(t)
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  const queue = `${queuePrefix}.dead`
  await until('it is dead', async () => (await broker.depth(queue)) === 1)
  await broker.put(queue, JSON.stringify({ v: 1, id, version: 1 }), { 'x-attempt': 1 })

  // The consumer may have made the attempt before the copy's turn comes, or not.
  const replayed = await dead(t, queuePrefix, 'replay')
  assert.match(replayed.at(-1) ?? '', /^[12] dead letters? replayed, [01] skipped$/)
  await until('it is dead again', async () => (await broker.depth(queue)) === 2)
  assert.deepEqual(
    provider.messages.map(({ attempt }) => attempt),
    [1, 2],
  )
  const listed = await dead(t, queuePrefix, 'list')
  const again = new RegExp(`  ${id}:1:2  \\S+  \\d+ s left$`)
  assert.ok(
    listed.some((line) => again.test(line)),
    listed.join('\n'),
  )
})

test('purge throws all away, without Redis', async (t) => {
  const queuePrefix = newQueuePrefix()
  const broker = await openBroker(t)
  await declareQueues(broker.channel, queuePrefix, [])
  assert.deepEqual(await dead(t, queuePrefix, 'list'), [
    '0 dead letters, 0 of them can be replayed',
  ])
  for (let i = 0; i < 3; i++) await broker.put(`${queuePrefix}.dead`, 'anything')
  const lines = await dead(t, queuePrefix, 'purge', '--redis-url', 'redis://127.0.0.1:1')
  assert.deepEqual(lines, ['3 dead letters thrown away'])
  assert.equal(await broker.depth(`${queuePrefix}.dead`), 0)
})

test('listing does not use dead letters up, however often', async (t) => {
  const queuePrefix = newQueuePrefix()
  const broker = await openBroker(t)
  await declareQueues(broker.channel, queuePrefix, [])
  for (let i = 0; i < 30; i++) await broker.put(`${queuePrefix}.dead`, `${i}`)
  for (let i = 0; i < 3; i++) await dead(t, queuePrefix, 'list')
  const letters = await broker.drain(`${queuePrefix}.dead`)
  assert.deepEqual(
    letters.map(({ content }) => Number(content)),
    Array.from({ length: 30 }, (_, i) => i),
  )
  assert.ok(letters.every(({ properties }) => !properties.headers?.['x-delivery-count']))
})

test('what is wrong with a command about dead letters is said in one line', async (t) => {
  const queuePrefix = newQueuePrefix()
  const broker = await openBroker(t)
  await declareQueues(broker.channel, queuePrefix, [])
  // A queue that is not there closes the channel.
  broker.channel.on('error', () => {})
  const misspelt = `${queuePrefix}x`
  const cases: [args: string[], exit: number, says: RegExp][] = [
    [['dead'], 2, /expected dead list, dead replay or dead purge, got dead$/],
    [['dead', 'bury'], 2, /got dead bury$/],
    [['dead', 'list', 'all'], 2, /got dead list all$/],
    [['alive'], 2, /got alive$/],
    [['dead', 'list', '--redis-url', 'redis://127.0.0.1:1'], 1, /cannot connect to Redis: .+/],
    [['dead', 'list', '--queue-prefix', misspelt], 1, /no queue '\S+x\.dead'/],
    [['dead', 'purge', '--amqp-url', 'amqp://127.0.0.1:1'], 1, /cannot connect to RabbitMQ: .+/],
    [['dead', 'list', '--min-remaining', 'x'], 1, /--min-remaining: expected a number, got x/],
  ]
  await Promise.all(
    cases.map(async ([args, exit, says]) => {
      const env = { SMS_QUEUE_PREFIX: queuePrefix, AMQP_URL }
      const command = startConsumerProcess(t, [...args, '-l', 'silent'], env)
      assert.equal(await command.exit, exit, `${args} ${command.output()}`)
      assert.match(command.output(), /^sms-verify-consumer: .*$/)
      assert.match(command.output(), says)
    }),
  )
  await assert.rejects(broker.depth(`${misspelt}.dead`), /404/)
})
