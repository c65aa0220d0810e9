/** The consumer, against a bare one and against BullMQ. */
import { costFigures, costLines, sum, withCost } from '../cpu.ts'
import type { Drained } from '../programs/program.ts'
import { fill, publishMany } from '../queue.ts'
import { createSideBySide, type Line, type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'

const MEGABYTE = 1e6

/** What one consumer of concurrency 512 can do at most with a provider that takes so many milliseconds. */
const LATENCY = 100
const SLOTS = 512
const IDEAL = (SLOTS * 1000) / LATENCY

const BARE = 'amqplib, prefetch 64, same call by node:http, no Redis'
const BULLMQ = 'BullMQ worker, concurrency 64, same call'
const BARE_NOOP = 'amqplib, prefetch 64, that acknowledges and nothing else'

export const rate = ({ jobs, from, to }: Drained): number => (jobs * 1000) / (to - from)

export const drain = async (program: Running, jobs: number) => ({
  rate: rate(await program.ask('drain', { jobs })),
  count: jobs,
})

/** One SMS in all processes together: where all of them share two cores, no rate is higher than that sum allows. */
const sumLine = (title: string): Line => ({
  ...{ table: 'sums', title, unit: 'µs of CPU', against: 'BullMQ worker' },
})

export const consumerRow: Row = row({
  name: 'consumer',
  times: 3,
  lines: {
    floor: {
      title: 'consumer, vendor that answers at once over HTTP',
      unit: 'messages/s',
      against: BARE,
      target: { share: { least: 0.6 } },
    },
    bullmq: {
      title: 'the same',
      unit: 'messages/s',
      against: BULLMQ,
      target: { share: { least: 1 } },
    },
    rss: {
      title: 'memory of that consumer, at most',
      unit: 'MB',
      against: 'that of the bare consumer',
      target: { value: { most: 120 } },
    },
    loaded: {
      title: 'the same before it has begun: Node and the libraries',
      unit: 'MB',
      against: 'that of the bare consumer',
    },
    parts: {
      table: 'parts',
      title: '`consumer`: two scripts, a seal opened, a line of the log',
      unit: 'messages/s',
      against: BARE,
    },
    partsPeer: { table: 'parts', title: 'the same', unit: 'messages/s', against: BULLMQ },
    partsRss: {
      table: 'parts',
      title: 'memory of that consumer of parts, at most',
      unit: 'MB',
      against: 'that of the bare consumer',
    },
    sum: sumLine('all processes together'),
    program: sumLine('of them the consumer'),
    redis: sumLine('of them Redis'),
    rabbitmq: sumLine('of them RabbitMQ'),
    vendor: sumLine('of them the vendor'),
    partsSum: sumLine('all together with the parts alone'),
    bareSum: sumLine('all together with a bare amqplib consumer, which does not ask Redis'),
  },
  async prepare(world) {
    const vendor = await world.start('vendor')
    const [queuePrefix, ofParts] = [world.newPrefix(), world.newPrefix()]
    const settings = { queuePrefix, vendor: vendor.url }
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', settings)
    const parts = await world.start('parts-consumer', { ...settings, queuePrefix: ofParts })
    const floor = await world.start('floor-consumer', settings)
    const bullmq = await world.start('peer-bullmq', settings)
    const memory = async (program: Running, when: 'rss' | 'maxRss') =>
      (await program.ask('usage'))[when] / MEGABYTE
    const loaded = { ours: await memory(consumer, 'rss'), other: await memory(floor, 'rss') }
    const run = (program: Running) =>
      withCost(world, { program, vendor }, () => drain(program, world.jobs))
    const sideBySide = createSideBySide()
    const round = async () => {
      await Promise.all([
        publishMany(world.rabbitmq.url, `${queuePrefix}.floor`, world.jobs),
        publishMany(world.rabbitmq.url, `${ofParts}.floor`, world.jobs),
        bullmq.ask('fill', { jobs: world.jobs }),
      ])
      await fill(web, world.jobs)
      const done = await sideBySide({ bare: floor, parts, ours: consumer, bullmq }, run)
      const { bare, ours } = done
      // RabbitMQ has nothing to do with it.
      const peer = { ...done.bullmq.cost, rabbitmq: 0 }
      const beside = (name: keyof typeof peer) => ({ ours: ours.cost[name], other: peer[name] })
      const other = sum(peer)
      const bareRss = await memory(floor, 'maxRss')
      return {
        floor: { ours: ours.rate, other: bare.rate },
        bullmq: { ours: ours.rate, other: done.bullmq.rate },
        rss: { ours: await memory(consumer, 'maxRss'), other: bareRss },
        partsRss: { ours: await memory(parts, 'maxRss'), other: bareRss },
        loaded,
        parts: { ours: done.parts.rate, other: bare.rate },
        partsPeer: { ours: done.parts.rate, other: done.bullmq.rate },
        sum: { ours: sum(ours.cost), other },
        ...{ program: beside('program'), redis: beside('redis'), vendor: beside('vendor') },
        rabbitmq: { ours: ours.cost.rabbitmq },
        partsSum: { ours: sum(done.parts.cost), other },
        bareSum: { ours: sum(bare.cost), other },
      }
    }
    return warmed(round, world.rounds)
  },
})

export const noopRow: Row = row({
  name: 'noop',
  times: 2,
  lines: {
    rate: {
      title: 'consumer, provider that does nothing (the aim is 16,700/s, a million a minute)',
      unit: 'messages/s',
      against: BARE_NOOP,
      target: { share: { least: 0.4 } },
    },
    parts: {
      table: 'parts',
      title: '`noop`: the same without the call',
      unit: 'messages/s',
      against: BARE_NOOP,
    },
    ...costLines('SMS', 'consumer, no-op provider', 'bare amqplib consumer'),
  },
  async prepare(world) {
    const [queuePrefix, ofParts] = [world.newPrefix(), world.newPrefix()]
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix })
    const parts = await world.start('parts-consumer', { queuePrefix: ofParts })
    const floor = await world.start('floor-consumer', { queuePrefix })
    const run = (program: Running) => withCost(world, { program }, () => drain(program, world.jobs))
    const sideBySide = createSideBySide()
    const round = async () => {
      for (const prefix of [queuePrefix, ofParts]) {
        await publishMany(world.rabbitmq.url, `${prefix}.floor`, world.jobs)
      }
      await fill(web, world.jobs)
      const done = await sideBySide({ bare: floor, parts, ours: consumer }, run)
      return {
        rate: { ours: done.ours.rate, other: done.bare.rate },
        parts: { ours: done.parts.rate, other: done.bare.rate },
        ...costFigures(done.ours.cost, done.bare.cost),
        // The bare one does not ask it.
        redis: { ours: done.ours.cost.redis },
      }
    }
    return warmed(round, world.rounds)
  },
})

export const slowProviderRow: Row = row({
  name: 'slow-provider',
  lines: {
    rate: {
      title: `consumer of concurrency ${SLOTS}, provider that takes ${LATENCY} ms`,
      unit: 'messages/s',
      against: 'the ideal',
      target: { share: { least: 0.8 } },
    },
    bare: {
      title: 'the same',
      unit: 'messages/s',
      against: `amqplib, prefetch ${SLOTS}, that waits as long and acknowledges`,
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const settings = { queuePrefix, latency: LATENCY, concurrency: SLOTS }
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', settings)
    const floor = await world.start('floor-consumer', settings)
    // Whole waves, since one that is not full takes as long, and of the tenth as well after which the clock starts. Many, since all
    // begin at once, and it takes some waves until they do not.
    const jobs = 20 * SLOTS
    const sideBySide = createSideBySide()
    const round = async () => {
      await publishMany(world.rabbitmq.url, `${queuePrefix}.floor`, jobs)
      await fill(web, jobs)
      const done = await sideBySide({ bare: floor, ours: consumer }, (program) =>
        drain(program, jobs),
      )
      return {
        rate: { ours: done.ours.rate, other: IDEAL },
        bare: { ours: done.ours.rate, other: done.bare.rate },
      }
    }
    // A round has five times as many messages as those of the others.
    return warmed(round, 1)
  },
})
