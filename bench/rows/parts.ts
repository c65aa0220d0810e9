/**
 * How much of the floor is left for anybody who keeps the same promises: the floor with the parts that they need, and with
 * nothing else. A target above that share is out of reach; the distance from it to us is what our own code costs.
 */
import { loadChecks, loadSends } from '../load.ts'
import { publishMany } from '../queue.ts'
import { type Row, row } from '../row.ts'
import { drain } from './consumer.ts'
import { loadPairs } from './embedded.ts'

/** Checks ask for ids that nobody has to have sent. */
const IDS = Array.from(
  { length: 20_000 },
  (_, i) => `NdsvqT-I4G6YKoJsbwf${String(i).padStart(5, '0')}`,
)

export const partsRow: Row = row({
  name: 'parts',
  table: 'parts',
  lines: {
    send: {
      title:
        '`send`: a number parsed, two seals made, four MACs, six commands in the script and eight for all that go together',
      unit: 'requests/s',
      against: 'bare route: one Lua script, one confirmed persistent publish to a quorum queue',
    },
    verify: {
      title:
        '`verify`: three hashes and MACs, four commands in the script and two for all that go together',
      unit: 'requests/s',
      against: 'bare route: one Lua script',
    },
    embedded: {
      title:
        '`embedded`: a number parsed, two seals made and one opened, seven hashes and MACs for two requests',
      unit: 'requests/s',
      against: 'bare routes that answer JSON',
    },
    consumer: {
      title: '`consumer`: two scripts, a seal opened, a line of the log',
      unit: 'messages/s',
      against: 'amqplib, prefetch 64, same call by node:http, no Redis',
    },
    bullmq: {
      title: 'the same',
      unit: 'messages/s',
      against: 'BullMQ worker, concurrency 64, same call',
    },
    noop: {
      title: '`noop`: the same without the call',
      unit: 'messages/s',
      against: 'amqplib, prefetch 64, that acknowledges and nothing else',
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const { url: vendor } = await world.start('vendor')
    const web = await world.start('parts-web', { queuePrefix })
    const bareWeb = await world.start('floor-web', { queuePrefix })
    const embedded = await world.start('parts-web', { redis: '' })
    const bareJson = await world.start('floor-json')
    const withVendor = { queuePrefix, vendor }
    const consumer = await world.start('parts-consumer', withVendor)
    const bareConsumer = await world.start('floor-consumer', withVendor)
    const bullmq = await world.start('peer-bullmq', withVendor)
    const noop = await world.start('parts-consumer', { queuePrefix })
    const bareNoop = await world.start('floor-consumer', { queuePrefix })

    const seconds = world.seconds / 2
    const checks = async (url: string) => (await loadChecks(url, IDS, seconds)).rate
    const sends = async (url: string) => (await loadSends(url, seconds)).rate
    const pairs = async (url: string) => (await loadPairs(url, seconds)).rate
    const drained = async (program: typeof consumer) => {
      await publishMany(world.rabbitmq.url, `${queuePrefix}.floor`, world.jobs)
      return drain(program, world.jobs)
    }
    await checks(bareWeb.url)
    await sends(bareWeb.url)
    await pairs(bareJson.url)
    return async () => {
      const send = { other: await sends(bareWeb.url), ours: await sends(web.url) }
      const verify = { other: await checks(bareWeb.url), ours: await checks(web.url) }
      const both = { other: await pairs(bareJson.url), ours: await pairs(embedded.url) }
      const floor = { other: await drained(bareConsumer), ours: await drained(consumer) }
      await bullmq.ask('fill', world.jobs)
      const peer = await drain(bullmq, world.jobs)
      return {
        send,
        verify,
        embedded: both,
        consumer: floor,
        bullmq: { ours: floor.ours, other: peer },
        noop: { other: await drained(bareNoop), ours: await drained(noop) },
      }
    }
  },
})
