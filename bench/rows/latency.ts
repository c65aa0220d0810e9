/** How long it takes from a person's request to the vendor's being asked, at a steady pace. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { machineTime } from '../clock.ts'
import { nextPhone, sendMany } from '../load.ts'
import { quantile, type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'

const PACE = 500

export const paceRow: Row = row({
  name: 'pace',
  table: 'targets',
  lines: {
    p50: {
      title: `request to call of the vendor at ${PACE} sends/s, median`,
      unit: 'ms',
      against: 'bare route and bare consumer: one Lua script, one confirmed publish, one call',
      target: { value: { most: 3 } },
    },
    p99: {
      title: 'the same, slowest 1 %',
      unit: 'ms',
      against: 'the same',
      target: { value: { most: 12 } },
    },
  },
  async prepare(world) {
    const vendor = await world.start('vendor')
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix, vendor: vendor.url })
    const bareWeb = await world.start('floor-web', { queuePrefix })
    const bareConsumer = await world.start('floor-consumer', { queuePrefix, vendor: vendor.url })
    const count = Math.ceil(PACE * world.seconds)

    const warmUp = async (route: Running, worker: Running): Promise<void> => {
      const drained = worker.ask('drain', world.jobs)
      await sendMany(route.url, world.jobs)
      await drained
      await vendor.ask('calls')
    }
    const run = async (route: Running, worker: Running): Promise<number[]> => {
      const drained = worker.ask('drain', count)
      // The consumer is connecting.
      await sleep(500)
      const asked = await sendAtPace(`${route.url}/sms/send`, count)
      await drained
      const calls = await vendor.ask('calls')
      return [...asked].map(([phone, at]) => (calls[phone] ?? Number.NaN) - at)
    }
    await warmUp(bareWeb, bareConsumer)
    await warmUp(web, consumer)
    return warmed(async () => {
      const bare = await run(bareWeb, bareConsumer)
      const ours = await run(web, consumer)
      const figure = (share: number) => ({
        ours: quantile(ours, share),
        other: quantile(bare, share),
      })
      return { p50: figure(0.5), p99: figure(0.99) }
    })
  },
})

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
