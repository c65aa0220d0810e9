/** How long it takes from a person's request to the vendor's being asked, at a steady pace. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { machineTime } from '../clock.ts'
import { type Cpu, sum, withCost } from '../cpu.ts'
import { nextPhone, sendMany } from '../load.ts'
import type { Program } from '../programs/program.ts'
import { createSideBySide, type Line, quantile, type Row, row } from '../row.ts'
import type { Running } from '../world.ts'

const PACE = 500

const BARE = 'bare route and bare consumer: one Lua script, one confirmed publish, one call'

/** The same with the parts alone. */
const partsLine = (title: string): Line => ({ table: 'parts', title, unit: 'ms', against: BARE })

const costLine = (title: string): Line => ({
  ...{ table: 'pace', title, unit: 'µs of CPU', against: BARE },
})

export const paceRow: Row = row({
  name: 'pace',
  lines: {
    p50: {
      title: `request to call of the vendor at ${PACE} sends/s, median`,
      unit: 'ms',
      against: BARE,
      target: { value: { most: 3 } },
    },
    p99: {
      title: 'the same, slowest 1 %',
      unit: 'ms',
      against: 'the same',
      target: { value: { most: 12 } },
    },
    parts50: partsLine(
      `\`pace\`: the parts of a send and of an SMS, request to call at ${PACE} sends/s, median`,
    ),
    parts99: partsLine('the same, slowest 1 %'),
    all: costLine('all processes together'),
    web: costLine('of them the web process'),
    consumer: costLine('of them the consumer'),
    redis: costLine('of them Redis'),
    rabbitmq: costLine('of them RabbitMQ'),
    vendor: costLine('of them the vendor'),
    asking: costLine('of them the one that asks'),
    partsAll: costLine('all together with the parts alone'),
  },
  async prepare(world) {
    const vendor = await world.start('vendor')
    const pair = async (web: Program, consumer: Program): Promise<Pair> => {
      const queuePrefix = world.newPrefix()
      const route = await world.start(web, { queuePrefix })
      return { route, worker: await world.start(consumer, { queuePrefix, vendor: vendor.url }) }
    }
    const ours = await pair('web', 'consumer')
    const parts = await pair('parts-web', 'parts-consumer')
    const bare = await pair('floor-web', 'floor-consumer')
    const count = world.sends

    const burst = async ({ route, worker }: Pair): Promise<void> => {
      await sendMany(route.url, count)
      await worker.ask('drain', { jobs: count })
    }
    const atPace = async ({ route, worker }: Pair): Promise<Paced> => {
      const drained = worker.ask('drain', { jobs: count })
      // The consumer is connecting.
      await sleep(500)
      const programs = { web: route, consumer: worker, vendor }
      const { asked, asking, cost } = await withCost(world, programs, async () => {
        const before = process.cpuUsage()
        const asked = await sendAtPace(`${route.url}/sms/send`, count)
        const { user, system } = process.cpuUsage(before)
        await drained
        return { asked, asking: (user + system) / count, count }
      })
      const calls = await vendor.ask('calls')
      const took = [...asked].map(([phone, at]) => (calls[phone] ?? Number.NaN) - at)
      return { took, cost: { asking, all: sum(cost) + asking, ...cost } }
    }
    // Twice as many as are measured: a process that is not warm has no time left at that pace.
    for (let i = 0; i < 2 * world.rounds; i++) {
      for (const each of [bare, parts, ours]) await burst(each)
    }
    // From now on it notes them.
    await vendor.ask('calls')
    const sideBySide = createSideBySide()
    const round = async () => {
      const done = await sideBySide({ bare, parts, ours }, atPace)
      const beside = (name: 'ours' | 'parts', figure: (of: Paced) => number) => ({
        ours: figure(done[name]),
        other: figure(done.bare),
      })
      const time = (name: 'ours' | 'parts', share: number) =>
        beside(name, ({ took }) => quantile(took, share))
      const cost = (of: keyof Paced['cost']) => beside('ours', ({ cost }) => cost[of])
      return {
        ...{ p50: time('ours', 0.5), p99: time('ours', 0.99) },
        ...{ parts50: time('parts', 0.5), parts99: time('parts', 0.99) },
        ...{ all: cost('all'), web: cost('web'), consumer: cost('consumer') },
        ...{ redis: cost('redis'), rabbitmq: cost('rabbitmq') },
        ...{ vendor: cost('vendor'), asking: cost('asking') },
        partsAll: beside('parts', ({ cost }) => cost.all),
      }
    }
    return round
  },
})

interface Pair {
  route: Running
  worker: Running
}

/** Milliseconds of each, and microseconds of CPU for one. */
interface Paced {
  took: number[]
  cost: Cpu<'web' | 'consumer' | 'vendor' | 'asking' | 'all'>
}

/** When each number's request began. Whatever becomes of earlier ones, the next begins at its time. */
async function sendAtPace(url: string, count: number): Promise<Map<string, number>> {
  const agent = new Agent({ keepAlive: true })
  const asked = new Map<string, number>()
  const answers: Promise<void>[] = []
  const begun = machineTime()
  while (asked.size < count) {
    while (asked.size < count && asked.size < ((machineTime() - begun) * PACE) / 1000) {
      const phone = nextPhone()
      asked.set(phone, machineTime())
      answers.push(post(url, agent, JSON.stringify({ phone })))
    }
    await sleep(1)
  }
  await Promise.all(answers)
  agent.destroy()
  return asked
}

function post(url: string, agent: Agent, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const outgoing = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      if (response.statusCode !== 202) reject(new Error(`expected 202, got ${response.statusCode}`))
      response.on('end', resolve)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
