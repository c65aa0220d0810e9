/** On what a send and an SMS spend the time of their processes, by V8's profiler. */
import { loadSends, sendMany } from '../load.ts'
import { OWNERS, type Owner, type Times } from '../programs/profile.ts'
import { publishMany } from '../queue.ts'
import { type Figure, type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'
import { drain } from './consumer.ts'

const NAMES: Record<Owner, string> = {
  http: 'HTTP, Fastify',
  redis: 'Redis: its client, what is asked',
  rabbitmq: 'RabbitMQ: its client, confirms, acknowledgements',
  crypto: 'seals, MACs, random numbers',
  number: 'the number',
  log: 'the log',
  rules: 'all else that is ours',
  node: 'Node and V8: sockets, promises, garbage',
}

const linesFor = (what: string, against: string, owners: Owner[]) =>
  owners.map((owner) => [
    `${what} ${owner}`,
    { title: `${what}: ${NAMES[owner]}`, unit: 'µs of CPU', against },
  ])

const SEND = 'one send'
const SMS = 'one SMS by HTTP'

export const profileRow: Row = row({
  name: 'profile',
  table: 'profile',
  lines: Object.fromEntries([
    ...linesFor(
      SEND,
      'bare route',
      OWNERS.filter((owner) => owner !== 'log'),
    ),
    ...linesFor(
      SMS,
      'bare amqplib consumer',
      OWNERS.filter((owner) => owner !== 'number'),
    ),
  ]),
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const { url: vendor } = await world.start('vendor')
    const web = await world.start('web', { queuePrefix })
    const bareWeb = await world.start('floor-web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix, vendor })
    const bareQueue = `${queuePrefix}-bare`
    const bare = await world.start('floor-consumer', { queuePrefix: bareQueue, vendor })

    const times = async (program: Running, run: () => Promise<number>): Promise<Times> => {
      await program.ask('profile')
      const units = await run()
      const all = (await program.ask('profile')) as Times
      return Object.fromEntries(OWNERS.map((owner) => [owner, all[owner] / units])) as Times
    }
    const sends = (program: Running) =>
      times(program, async () => (await loadSends(program.url, world.seconds / 2)).count)
    const drained = (program: Running) =>
      times(program, async () => {
        await drain(program, world.jobs)
        return world.jobs
      })
    // Its queue, which `publishMany` would make as well.
    await publishMany(world.rabbitmq.url, `${bareQueue}.floor`, 1)

    return warmed(async () => {
      const send = [await sends(web), await sends(bareWeb)] as const
      await sendMany(web.url, world.jobs)
      await publishMany(world.rabbitmq.url, `${bareQueue}.floor`, world.jobs)
      const sms = [await drained(consumer), await drained(bare)] as const
      return { ...figures(SEND, ...send), ...figures(SMS, ...sms) }
    })
  },
})

const figures = (what: string, ours: Times, other: Times): Record<string, Figure> =>
  Object.fromEntries(
    OWNERS.map((owner) => {
      const beside = other[owner] > 0 ? { other: other[owner] } : {}
      return [`${what} ${owner}`, { ours: ours[owner], ...beside }]
    }),
  )
