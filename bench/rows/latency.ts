/** How long it takes from a person's request to the vendor's being asked, at a steady pace. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { machineTime } from '../clock.ts'
import { nextPhone } from '../load.ts'
import { quantile, type Row, row } from '../row.ts'

const PACE = 500

export const paceRow: Row = row({
  name: 'pace',
  table: 'targets',
  lines: {
    p50: {
      title: `request to call of the vendor at ${PACE} sends/s, median`,
      unit: 'ms',
      target: { value: { most: 3 } },
    },
    p99: { title: 'the same, slowest 1 %', unit: 'ms', target: { value: { most: 12 } } },
  },
  async prepare(world) {
    const vendor = await world.start('vendor')
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const consumer = await world.start('consumer', { queuePrefix, vendor: vendor.url })
    const count = Math.ceil(PACE * world.seconds)
    const round = async () => {
      const drained = consumer.ask('drain', count)
      // The consumer is connecting.
      await sleep(500)
      const asked = await sendAtPace(`${web.url}/sms/send`, count)
      await drained
      const calls = await vendor.ask('calls')
      const times = [...asked].map(([phone, at]) => (calls[phone] ?? Number.NaN) - at)
      return { p50: { ours: quantile(times, 0.5) }, p99: { ours: quantile(times, 0.99) } }
    }
    await round()
    return round
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
