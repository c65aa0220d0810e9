/** On what a send and an SMS spend the time of their processes, by V8's profiler. */
import { sendMany } from '../load.ts'
import { OWNERS, type Owner, type Times } from '../programs/profile.ts'
import { fill, publishMany } from '../queue.ts'
import { type Figure, type Line, type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'
import { drain } from './consumer.ts'
import { loadPairs } from './embedded.ts'

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

/** What a line is about, what stands beside it, and on what it spends no time. */
const SEND = { title: 'one send', against: 'bare route', without: ['log'] }
const EMBEDDED = {
  title: 'a send or a check, embedded',
  against: 'bare routes that answer JSON',
  without: ['log', 'redis', 'rabbitmq'],
}
const SMS = { title: 'one SMS by HTTP', against: 'bare amqplib consumer', without: ['number'] }
type Subject = typeof SEND

const linesFor = ({ title, against, without }: Subject): [string, Line][] =>
  OWNERS.filter((owner) => !without.includes(owner)).map((owner) => [
    `${title} ${owner}`,
    { table: 'profile', title: `${title}: ${NAMES[owner]}`, unit: 'µs of CPU', against },
  ])

export const profileRow: Row = row({
  name: 'profile',
  byModule: true,
  lines: Object.fromEntries([SEND, EMBEDDED, SMS].flatMap(linesFor)),
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const { url: vendor } = await world.start('vendor')
    const web = await world.start('web', { queuePrefix })
    const bareWeb = await world.start('floor-web', { queuePrefix })
    const embedded = await world.start('embedded')
    const json = await world.start('floor-json')
    // By itself, so that a consumer that is far behind with other sends is no reason to refuse these.
    const ofSms = world.newPrefix()
    const filler = await world.start('web', { queuePrefix: ofSms })
    const consumer = await world.start('consumer', { queuePrefix: ofSms, vendor })
    const bareQueue = world.newPrefix()
    const bare = await world.start('floor-consumer', { queuePrefix: bareQueue, vendor })

    const times = async (program: Running, run: () => Promise<number>): Promise<Times> => {
      await program.ask('profile')
      const units = await run()
      const all = (await program.ask('profile')) as Times
      return Object.fromEntries(OWNERS.map((owner) => [owner, all[owner] / units])) as Times
    }
    const jobs = world.jobs / 2
    const sends = (program: Running) =>
      times(program, async () => (await sendMany(program.url, world.sends)).count)
    const pairs = (program: Running) =>
      times(program, async () => (await loadPairs(program.url, world.sends)).count)
    const drained = (program: Running) =>
      times(program, async () => (await drain(program, jobs)).count)
    // Its queue, which `publishMany` would make as well.
    await publishMany(world.rabbitmq.url, `${bareQueue}.floor`, 1)

    return warmed(async () => {
      const send = [await sends(web), await sends(bareWeb)] as const
      const both = [await pairs(embedded), await pairs(json)] as const
      await fill(filler, jobs)
      await publishMany(world.rabbitmq.url, `${bareQueue}.floor`, jobs)
      const sms = [await drained(consumer), await drained(bare)] as const
      return { ...figures(SEND, ...send), ...figures(EMBEDDED, ...both), ...figures(SMS, ...sms) }
    }, world.rounds)
  },
})

const figures = ({ title }: Subject, ours: Times, other: Times): Record<string, Figure> =>
  Object.fromEntries(
    OWNERS.map((owner) => {
      const beside = other[owner] > 0 ? { other: other[owner] } : {}
      return [`${title} ${owner}`, { ours: ours[owner], ...beside }]
    }),
  )
