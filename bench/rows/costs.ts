/** What one send, one check and one SMS cost in each process: what docs/scaling.md reckons with. */
import { type Cpu, cpuOf, perUnit } from '../cpu.ts'
import { loadChecks, loadSends, sendMany } from '../load.ts'
import { publishMany } from '../queue.ts'
import { type Figure, type Row, row } from '../row.ts'
import type { Running } from '../world.ts'

const WHERE = ['program', 'redis', 'rabbitmq'] as const

const linesFor = (what: string, program: string, against: string) =>
  WHERE.map((where) => {
    const name = { program, redis: 'Redis', rabbitmq: 'RabbitMQ' }[where]
    return [`${what} ${where}`, { title: `one ${what}: ${name}`, unit: 'µs of CPU', against }]
  })

export const costsRow: Row = row({
  name: 'costs',
  table: 'costs',
  lines: Object.fromEntries([
    ...linesFor('send', 'web process', 'bare route'),
    ...linesFor('check', 'web process', 'bare route'),
    ...linesFor('SMS', 'consumer, no-op provider', 'bare amqplib consumer'),
  ]),
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const floor = await world.start('floor-web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix })
    const bare = await world.start('floor-consumer', { queuePrefix: `${queuePrefix}-bare` })
    await publishMany(world.rabbitmq.url, `${queuePrefix}-bare.floor`, 1)

    /** What each unit cost, of as many as `run` says. */
    const cost = async (program: Running, run: () => Promise<number>): Promise<Cpu> => {
      const before = await cpuOf(world, program)
      const units = await run()
      return perUnit(before, await cpuOf(world, program), units)
    }
    const sends =
      ({ url }: Running) =>
      async () =>
        (await loadSends(url, world.seconds)).count
    const checks =
      ({ url }: Running, ids: string[]) =>
      async () =>
        (await loadChecks(url, ids, world.seconds / 2)).count
    const drain = (program: Running) => async () => (await program.ask('drain', world.jobs)).jobs

    return async () => {
      const send = [await cost(web, sends(web)), await cost(floor, sends(floor))]
      const ids = await sendMany(web.url, Math.max(world.jobs, 4000 * world.seconds))
      const check = [await cost(web, checks(web, ids)), await cost(floor, checks(floor, ids))]
      await publishMany(world.rabbitmq.url, `${queuePrefix}-bare.floor`, world.jobs)
      const sms = [await cost(consumer, drain(consumer)), await cost(bare, drain(bare))]
      return { ...figures('send', send), ...figures('check', check), ...figures('SMS', sms) }
    }
  },
})

function figures(what: string, [ours, other]: Cpu[]): Record<string, Figure> {
  return Object.fromEntries(
    WHERE.map((where) => [
      `${what} ${where}`,
      { ours: ours?.[where] ?? Number.NaN, other: other?.[where] ?? Number.NaN },
    ]),
  )
}
