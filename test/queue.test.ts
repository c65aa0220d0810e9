import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMemoryQueue } from '../src/queue/memory.ts'
import { connectPublisher, type RabbitOptions } from '../src/queue/publisher.ts'
import type { Disposition, Job, Publisher } from '../src/queue/queue.ts'
import { connectSubscriber, type SubscriberOptions } from '../src/queue/subscriber.ts'
import { openBroker } from './broker.ts'
import { AMQP_URL, createLog, newQueuePrefix, until } from './helper.ts'
import { startProxy } from './proxy.ts'

const JOB: Job = { id: 'AAAAAAAAAAAAAAAAAAAAAAAA', version: 1 }
const RETRY = { backoff: 0.1, max: 3 }

async function publisher(t: TestContext, options: Partial<RabbitOptions> = {}): Promise<Publisher> {
  const publisher = await connectPublisher({
    amqp: AMQP_URL,
    queuePrefix: newQueuePrefix(),
    logger: createLog().logger,
    ...options,
  })
  t.after(() => publisher.close())
  return publisher
}

/** A subscriber that keeps what it gets and does with it as told. */
async function subscriber(
  t: TestContext,
  options: Partial<SubscriberOptions>,
  dispose: (attempt: number) => Disposition | Promise<Disposition> = () => ({ next: 'ack' }),
) {
  const deliveries: [Job, number][] = []
  const subscriber = await connectSubscriber(
    {
      amqp: AMQP_URL,
      queuePrefix: newQueuePrefix(),
      logger: createLog().logger,
      retry: RETRY,
      concurrency: 10,
      ...options,
    },
    {
      async deliver(job, attempt) {
        deliveries.push([job, attempt])
        return dispose(attempt)
      },
      unreadable: () => ({ next: 'dead', reason: 'unreadable' }),
    },
  )
  t.after(() => subscriber.close())
  return { deliveries, subscriber }
}

/** A subscriber behind a proxy, which has the job of that version in hand until `release`, when it gets it first. */
async function holding(t: TestContext, concurrency: number, version: number) {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { deliveries } = await subscriber(
    t,
    { amqp: proxy.url, queuePrefix, concurrency },
    async (): Promise<Disposition> => {
      const times = deliveries.filter(([job]) => job.version === version).length
      if (deliveries.at(-1)?.[0].version === version && times === 1) await held
      return { next: 'ack' }
    },
  )
  return { deliveries, release: () => release(), queuePrefix, proxy }
}

test('the queues are declared as promised', async (t) => {
  const queuePrefix = newQueuePrefix()
  await subscriber(t, { queuePrefix })
  const { channel } = await openBroker(t)
  const deadLetterTo = (queue: string) => ({
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    'x-dead-letter-strategy': 'at-least-once',
  })
  const send = `${queuePrefix}.send`
  const dead = `${queuePrefix}.dead`
  const expected = {
    [send]: { ...deadLetterTo(dead), 'x-delivery-limit': 20 },
    [dead]: { 'x-message-ttl': 86_400_000 },
    [`${queuePrefix}.retry.0.1s`]: { ...deadLetterTo(send), 'x-message-ttl': 100 },
    [`${queuePrefix}.retry.0.2s`]: { ...deadLetterTo(send), 'x-message-ttl': 200 },
    [`${queuePrefix}.retry.0.4s`]: { ...deadLetterTo(send), 'x-message-ttl': 400 },
  }
  // RabbitMQ refuses to declare a queue again with any other argument.
  for (const [queue, args] of Object.entries(expected)) {
    const options = { durable: true, arguments: { 'x-queue-type': 'quorum', ...args } }
    assert.equal((await channel.assertQueue(queue, options)).queue, queue)
  }
})

test('a job is persistent, has an id of its own and says nothing but its reference', async (t) => {
  const queuePrefix = newQueuePrefix()
  const jobs = await publisher(t, { queuePrefix })
  assert.equal(await jobs.publish(JOB), 'done')
  const broker = await openBroker(t)
  const [message] = await broker.drain(`${queuePrefix}.send`)
  assert.deepEqual(JSON.parse(String(message?.content)), { v: 1, ...JOB })
  const { messageId, deliveryMode, contentType, headers } = message?.properties ?? assert.fail()
  const attempt = headers?.['x-attempt']
  assert.deepEqual(
    { messageId, deliveryMode, contentType, attempt },
    {
      messageId: `${JOB.id}:1:1`,
      deliveryMode: 2,
      contentType: 'application/json',
      attempt: 1,
    },
  )
})

test('a job that cannot be routed has failed, although RabbitMQ confirms it', async (t) => {
  const queuePrefix = newQueuePrefix()
  const jobs = await publisher(t, { queuePrefix })
  const { channel } = await openBroker(t)
  await channel.deleteQueue(`${queuePrefix}.send`)
  assert.equal(await jobs.publish(JOB), 'failed')
  assert.equal(await jobs.publish(JOB), 'failed')
})

test('without a connection a job fails at once, and goes through again after the return', async (t) => {
  const proxy = await startProxy(t, AMQP_URL)
  const jobs = await publisher(t, { amqp: proxy.url })
  assert.equal(await jobs.publish(JOB), 'done')
  proxy.refuse = true
  proxy.cut()
  await until('it is noticed', () => !jobs.ready())
  const late = new Promise((resolve) => setImmediate(resolve, 'after having waited'))
  assert.equal(await Promise.race([jobs.publish(JOB), late]), 'failed')
  proxy.refuse = false
  await until('it is back', () => jobs.ready())
  assert.equal(await jobs.publish(JOB), 'done')
})

test('a job whose confirm is lost is unknown: it may be in the queue', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  const jobs = await publisher(t, { amqp: proxy.url, queuePrefix })
  const broker = await openBroker(t)
  proxy.mute = true
  const cut = jobs.publish(JOB)
  await until('it is in the queue', async () => (await broker.depth(`${queuePrefix}.send`)) === 1)
  proxy.cut()
  assert.equal(await cut, 'unknown')

  proxy.mute = false
  await until('it is back', () => jobs.ready())
  proxy.mute = true
  assert.equal(await jobs.publish(JOB), 'unknown')
})

test('a retry comes back as the next attempt after its delay, a dead letter with its reason', async (t) => {
  const queuePrefix = newQueuePrefix()
  const jobs = await publisher(t, { queuePrefix })
  const { deliveries } = await subscriber(t, { queuePrefix }, (attempt) =>
    attempt < 3
      ? { next: 'retry', attempt: attempt + 1, step: attempt }
      : { next: 'dead', reason: 'enough' },
  )
  const broker = await openBroker(t)
  await jobs.publish(JOB)
  await until('it is dead', async () => (await broker.depth(`${queuePrefix}.dead`)) === 1)
  assert.deepEqual(deliveries, [
    [JOB, 1],
    [JOB, 2],
    [JOB, 3],
  ])
  const [dead] = await broker.drain(`${queuePrefix}.dead`)
  const { 'x-reason': reason, 'x-attempt': attempt } = dead?.properties.headers ?? {}
  assert.deepEqual([reason, attempt], ['enough', 3])
})

test('jobs that wait in a longer delay do not hold up those in a shorter one', async (t) => {
  const queuePrefix = newQueuePrefix()
  const jobs = await publisher(t, { queuePrefix })
  const { deliveries } = await subscriber(
    t,
    { queuePrefix, retry: { backoff: 0.2, max: 5 } },
    (attempt) =>
      attempt === 1
        ? { next: 'retry', attempt: 2, step: deliveries.length === 1 ? 5 : 1 }
        : { next: 'ack' },
  )
  const slow = { ...JOB, version: 1 }
  const quick = { ...JOB, version: 2 }
  await jobs.publish(slow)
  await until('the first is delivered', () => deliveries.length === 1)
  await jobs.publish(quick)
  await until('the second is back', () => deliveries.length === 3, 2500)
  assert.deepEqual(deliveries[2], [quick, 2])
})

test('a subscriber survives cuts, deleted queues and the loss of its channel', async (t) => {
  const queuePrefix = newQueuePrefix()
  const proxy = await startProxy(t, AMQP_URL)
  const { logger, events } = createLog()
  const { deliveries, subscriber: jobs } = await subscriber(t, {
    amqp: proxy.url,
    queuePrefix,
    logger,
  })
  const broker = await openBroker(t)
  const probe = async (version: number) => {
    const body = JSON.stringify({ v: 1, id: JOB.id, version })
    await until(
      'a probe is delivered',
      async () => {
        // A queue that is just being declared again may lose or refuse one: then another is sent.
        await broker.put(`${queuePrefix}.send`, body).catch(() => {})
        await sleep(50)
        return deliveries.some(([job]) => job.version === version)
      },
      5000,
    )
  }
  await probe(1)
  proxy.cut()
  await probe(2)
  proxy.refuse = true
  proxy.cut()
  await sleep(300)
  assert.equal(jobs.ready(), false)
  proxy.refuse = false
  await probe(3)
  await broker.channel.deleteQueue(`${queuePrefix}.send`)
  await until(
    'it is back',
    () => events().filter((event) => event === 'amqp.connected').length >= 3,
  )
  await probe(4)
  await until('both connections are up', () => jobs.ready())
})

test('a retry queue, the dead queue and the send queue are there again soon after somebody deletes them', async (t) => {
  const queuePrefix = newQueuePrefix()
  const { deliveries, subscriber: jobs } = await subscriber(
    t,
    { queuePrefix, concurrency: 1 },
    (attempt) => {
      if (attempt === 1) return { next: 'retry', attempt: 2, step: 1 }
      return attempt === 2 ? { next: 'dead', reason: 'enough' } : { next: 'ack' }
    },
  )
  const sender = await publisher(t, { queuePrefix })
  const broker = await openBroker(t)
  for (const queue of ['retry.0.1s', 'dead', 'send']) {
    await broker.channel.deleteQueue(`${queuePrefix}.${queue}`)
    // A hand-over that finds no queue would hold the one place for ever.
    for (let i = 0; i < 2; i++) {
      const before = deliveries.length
      await until('a job is taken', async () => (await sender.publish(JOB)) === 'done', 15_000)
      await until('it has its retry', () => deliveries.length >= before + 2, 15_000)
    }
  }
  await until('all is up', () => jobs.ready() && sender.ready())
})

test('a queue that somebody deleted is not declared again before RabbitMQ has told its consumers', async (t) => {
  const queuePrefix = newQueuePrefix()
  const sender = await publisher(t, { queuePrefix })
  const { channel } = await openBroker(t)
  channel.on('error', () => {})
  await channel.deleteQueue(`${queuePrefix}.send`)
  assert.equal(await sender.publish(JOB), 'failed')
  await sleep(500)
  await assert.rejects(channel.checkQueue(`${queuePrefix}.send`), /404/)
  await until('it takes jobs', async () => (await sender.publish(JOB)) === 'done')
})

test('a delivery in hand when its channel is lost is not acknowledged on another one', async (t) => {
  const { deliveries, release, queuePrefix, proxy } = await holding(t, 1, JOB.version)
  const jobs = await publisher(t, { queuePrefix })
  await jobs.publish(JOB)
  await until('it is in hand', () => deliveries.length === 1)
  proxy.cut()
  await until('it is delivered again', () => deliveries.length === 2)
  release()
  const broker = await openBroker(t)
  await jobs.publish({ ...JOB, version: 2 })
  await until('the next one is delivered', () => deliveries.length === 3)
  await until('nothing is left', async () => (await broker.depth(`${queuePrefix}.send`)) === 0)
})

test('what is settled behind a slow delivery is acknowledged, and the slow one is not', async (t) => {
  const { deliveries, release, queuePrefix, proxy } = await holding(t, 3, 2)
  const jobs = await publisher(t, { queuePrefix })
  for (const version of [1, 2, 3, 4, 5, 6]) await jobs.publish({ ...JOB, version })
  await until('the others are not held up', () => deliveries.length === 6)
  await sleep(100)
  proxy.cut()
  await until('it is delivered again', () => deliveries.length === 7)
  release()
  const broker = await openBroker(t)
  await until('nothing is left', async () => (await broker.depth(`${queuePrefix}.send`)) === 0)
  await sleep(300)
  const versions = deliveries.map(([{ version }]) => version)
  assert.deepEqual(versions, [1, 2, 3, 4, 5, 6, 2])
})

test('several addresses are tried in turn', async (t) => {
  const jobs = await publisher(t, { amqp: ['amqp://127.0.0.1:1', AMQP_URL] })
  assert.equal(await jobs.publish(JOB), 'done')
})

test('a broker that is not there, says nothing, or has other queues fails the start with the reason', async (t) => {
  const silent = createServer(() => {})
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  t.after(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const otherQueues = newQueuePrefix()
  const { channel } = await openBroker(t)
  await channel.assertQueue(`${otherQueues}.send`, { durable: true })
  const startedAt = Date.now()
  await Promise.all([
    assert.rejects(publisher(t, { amqp: 'amqp://127.0.0.1:1' }), {
      message: /^cannot connect to RabbitMQ: .*ECONNREFUSED/,
    }),
    assert.rejects(publisher(t, { amqp: `amqp://127.0.0.1:${port}` }), {
      message: /^cannot connect to RabbitMQ: .*TIMEDOUT/,
    }),
    assert.rejects(publisher(t, { queuePrefix: otherQueues }), {
      message: /^cannot connect to RabbitMQ: .*PRECONDITION_FAILED/,
    }),
    assert.rejects(publisher(t, { amqp: new URL('/no-such-vhost', AMQP_URL).href }), {
      message: /^cannot connect to RabbitMQ: /,
    }),
  ])
  assert.ok(Date.now() - startedAt < 5000, `${Date.now() - startedAt} ms`)
})

test('close ends although the broker has fallen silent', async (t) => {
  const proxy = await startProxy(t, AMQP_URL)
  const jobs = await publisher(t, { amqp: proxy.url })
  proxy.mute = true
  const startedAt = Date.now()
  await jobs.close()
  assert.ok(Date.now() - startedAt < 4000)
  assert.equal(await jobs.publish(JOB), 'failed')
})

test('the memory queue takes a job the same way', async () => {
  const queue = createMemoryQueue(RETRY, 2)
  assert.equal(await queue.publish(JOB), 'done')
  const deliveries: [Job, number][] = []
  let inHand = 0
  let most = 0
  const jobs = queue.subscribe(async (job, attempt) => {
    deliveries.push([job, attempt])
    most = Math.max(most, ++inHand)
    await sleep(20)
    inHand--
    if (job.version === 1 && attempt < 3)
      return { next: 'retry', attempt: attempt + 1, step: attempt }
    return job.version === 1 ? { next: 'dead', reason: 'enough' } : { next: 'ack' }
  })
  for (let version = 2; version <= 6; version++) await queue.publish({ ...JOB, version })
  await until('all are done', () => deliveries.length === 8)
  assert.equal(most, 2)
  assert.deepEqual(
    deliveries.filter(([job]) => job.version === 1).map(([, attempt]) => attempt),
    [1, 2, 3],
  )
  await jobs.close()
  assert.equal(queue.ready(), false)
  assert.equal(await queue.publish(JOB), 'failed')
})
