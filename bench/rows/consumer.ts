/** The consumer, against a bare one and against BullMQ. */
import { sendMany } from '../load.ts'
import type { Drained } from '../programs/program.ts'
import { publishMany } from '../queue.ts'
import { type Row, row, warmed } from '../row.ts'
import type { Running, World } from '../world.ts'

const MEGABYTE = 1e6

/** What one consumer of concurrency 512 can do at most with a provider that takes so many milliseconds. */
const LATENCY = 100
const SLOTS = 512
const IDEAL = (SLOTS * 1000) / LATENCY

/** Rounds that come first, unmeasured: V8 goes on compiling for so long, and a consumer runs for weeks. */
const WARM_UP = 6

export const rate = ({ jobs, from, to }: Drained): number => (jobs * 1000) / (to - from)

export const drain = async (program: Running, jobs: number): Promise<number> =>
  rate(await program.ask('drain', jobs))

export const consumerRow: Row = row({
  name: 'consumer',
  table: 'targets',
  lines: {
    floor: {
      title: 'consumer, vendor that answers at once over HTTP',
      unit: 'messages/s',
      against: 'amqplib, prefetch 64, same call by node:http, no Redis',
      target: { share: { least: 0.6 } },
    },
    bullmq: {
      title: 'the same',
      unit: 'messages/s',
      against: 'BullMQ worker, concurrency 64, same call',
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
  },
  async prepare(world) {
    const { url: vendor } = await world.start('vendor')
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix, vendor })
    const floor = await world.start('floor-consumer', { queuePrefix, vendor })
    const bullmq = await world.start('peer-bullmq', { queuePrefix, vendor })
    const memory = async (program: Running) => (await program.ask('usage')).rss / MEGABYTE
    const loaded = { ours: await memory(consumer), other: await memory(floor) }
    const round = async () => {
      await Promise.all([
        publishMany(world.rabbitmq.url, `${queuePrefix}.floor`, world.jobs),
        bullmq.ask('fill', world.jobs),
      ])
      await sendMany(web.url, world.jobs)
      const bare = await drain(floor, world.jobs)
      const ours = await drain(consumer, world.jobs)
      const peer = await drain(bullmq, world.jobs)
      return {
        floor: { ours, other: bare },
        bullmq: { ours, other: peer },
        rss: { ours: await memory(consumer), other: await memory(floor) },
        loaded,
      }
    }
    return warmed(round, WARM_UP)
  },
})

export const noopRow: Row = row({
  name: 'noop',
  table: 'targets',
  lines: {
    rate: {
      title: 'consumer, provider that does nothing (the aim is 16,700/s, a million a minute)',
      unit: 'messages/s',
      against: 'amqplib, prefetch 64, that acknowledges and nothing else',
      target: { share: { least: 0.4 } },
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix })
    const floor = await world.start('floor-consumer', { queuePrefix })
    const round = async () => {
      await publishMany(world.rabbitmq.url, `${queuePrefix}.floor`, world.jobs)
      await sendMany(web.url, world.jobs)
      const other = await drain(floor, world.jobs)
      return { rate: { ours: await drain(consumer, world.jobs), other } }
    }
    return warmed(round, WARM_UP)
  },
})

export const latencyRow: Row = row({
  name: 'slow-provider',
  table: 'targets',
  lines: {
    rate: {
      title: `consumer of concurrency ${SLOTS}, provider that takes ${LATENCY} ms`,
      unit: 'messages/s',
      against: 'the ideal',
      target: { share: { least: 0.8 } },
    },
  },
  async prepare(world) {
    const { web, consumer } = await startPair(world)
    const jobs = 2 * world.jobs
    return async () => {
      await sendMany(web.url, jobs)
      return { rate: { ours: await drain(consumer, jobs), other: IDEAL } }
    }
  },
})

async function startPair(world: World) {
  const queuePrefix = world.newPrefix()
  const settings = { queuePrefix, latency: LATENCY, concurrency: SLOTS }
  return {
    web: await world.start('web', { queuePrefix }),
    consumer: await world.start('consumer', settings),
  }
}
