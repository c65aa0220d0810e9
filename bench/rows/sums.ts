/**
 * What one SMS by HTTP costs in all processes together, beside a queue that lives in Redis alone: where all of them share two cores, no
 * rate is higher than that sum allows.
 */
import { type Cpu, cpuOf, perUnit } from '../cpu.ts'
import { sendMany } from '../load.ts'
import { publishMany } from '../queue.ts'
import { type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'
import { drain } from './consumer.ts'

const UNIT = { unit: 'µs of CPU', against: 'BullMQ worker' }

type Costs = Cpu & { vendor: number }

const sum = ({ program, redis, rabbitmq, vendor }: Costs): number =>
  program + redis + rabbitmq + vendor

export const sumsRow: Row = row({
  name: 'sums',
  table: 'sums',
  lines: {
    ours: { title: 'all processes together', ...UNIT },
    program: { title: 'of them the consumer', ...UNIT },
    redis: { title: 'of them Redis', ...UNIT },
    rabbitmq: { title: 'of them RabbitMQ', ...UNIT },
    vendor: { title: 'of them the vendor', ...UNIT },
    parts: { title: 'all together with the parts alone', ...UNIT },
    bare: { title: 'all together with a bare amqplib consumer, which does not ask Redis', ...UNIT },
  },
  async prepare(world) {
    const vendor = await world.start('vendor')
    const settings = { vendor: vendor.url }
    const [ofParts, ofBare, queuePrefix] = [world.newPrefix(), world.newPrefix(), world.newPrefix()]
    const web = await world.start('web', { queuePrefix })
    const ours = await world.start('consumer', { queuePrefix, ...settings })
    const parts = await world.start('parts-consumer', { queuePrefix: ofParts, ...settings })
    const bare = await world.start('floor-consumer', { queuePrefix: ofBare, ...settings })
    const bullmq = await world.start('peer-bullmq', { queuePrefix, ...settings })

    const costsOf = async (program: Running): Promise<Costs> => {
      const cpuOfVendor = async () => (await vendor.ask('usage')).cpu
      const [before, vendorBefore] = [await cpuOf(world, program), await cpuOfVendor()]
      await drain(program, world.jobs)
      const [after, vendorAfter] = [await cpuOf(world, program), await cpuOfVendor()]
      return {
        ...perUnit(before, after, world.jobs),
        vendor: (vendorAfter - vendorBefore) / world.jobs,
      }
    }
    const round = async () => {
      await sendMany(web.url, world.jobs)
      for (const prefix of [ofParts, ofBare]) {
        await publishMany(world.rabbitmq.url, `${prefix}.floor`, world.jobs)
      }
      await bullmq.ask('fill', world.jobs)
      const own = await costsOf(ours)
      const peer = await costsOf(bullmq)
      const beside = (name: keyof Costs) => ({ ours: own[name], other: peer[name] })
      // RabbitMQ has nothing to do with it.
      const other = sum({ ...peer, rabbitmq: 0 })
      return {
        ours: { ours: sum(own), other },
        ...{ program: beside('program'), redis: beside('redis') },
        ...{ rabbitmq: { ours: own.rabbitmq }, vendor: beside('vendor') },
        parts: { ours: sum(await costsOf(parts)), other },
        bare: { ours: sum(await costsOf(bare)), other },
      }
    }
    return warmed(round, 2)
  },
})
