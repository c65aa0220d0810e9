/**
 * `npm run bench`: how fast the routes are, as a share of a floor that does only what Redis and RabbitMQ themselves cost,
 * measured turn by turn in one run. The absolute figures depend on the machine and the minute; the shares much less.
 */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon, { type Request, type Result } from 'autocannon'
import { startServices } from '../test/services.ts'
import type { Role } from './server.ts'

const ROUNDS = 5
const SECONDS = 3
const CONNECTIONS = 50

/** How many numbers were used. */
let numbers = 0

interface Row {
  name: string
  target: number
  /** What is sent, one request after the other. */
  requests(url: string): Promise<() => Request>
}

const ROWS: Row[] = [
  {
    name: 'POST /sms/send',
    target: 0.6,
    requests: async () => () => ({
      path: '/sms/send',
      body: JSON.stringify({ phone: nextPhone() }),
    }),
  },
  {
    // Wrong codes: a check that is counted and compared like a right one. Four of the five that each id has.
    name: 'POST /sms/verify',
    target: 0.75,
    async requests(url) {
      const ids = await manyIds(url)
      let next = 0
      return () => {
        const id = ids[Math.floor(next++ / 4) % ids.length]
        return { path: '/sms/verify', body: JSON.stringify({ id, code: '000000' }) }
      }
    },
  },
]

await using services = await startServices()
console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`)
for (const { name, version } of [services.redis, services.rabbitmq])
  console.log(`${name} ${version}`)
const queuePrefix = `bench-${randomBytes(4).toString('hex')}`
const servers = { ours: await startServer('ours'), floor: await startServer('floor') }
try {
  for (const row of ROWS) await measure(row)
} finally {
  for (const { stop } of Object.values(servers)) await stop()
}

async function measure({ name, target, requests }: Row): Promise<void> {
  const shares: number[] = []
  const results: Record<Role, Result[]> = { ours: [], floor: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const role of ['floor', 'ours'] as const) {
      const { url } = servers[role]
      results[role].push(await load(url, await requests(url)))
    }
    const [ours, floor] = [results.ours.at(-1), results.floor.at(-1)]
    shares.push((ours?.requests.average ?? 0) / (floor?.requests.average ?? 1))
  }
  const rate = (role: Role) =>
    Math.round(median(results[role].map((result) => result.requests.average)))
  const p99 = (role: Role) => median(results[role].map((result) => result.latency.p99))
  console.log(
    `${name}: ${median(shares).toFixed(2)} of the floor (target ${target.toFixed(2)});` +
      ` ${rate('ours')} and ${rate('floor')} requests/s, p99 ${p99('ours')} and ${p99('floor')} ms`,
  )
}

async function load(url: string, nextRequest: () => Request): Promise<Result> {
  const headers = { 'content-type': 'application/json' }
  const setupRequest = (request: Request): Request => ({ ...request, ...nextRequest() })
  const options = {
    url,
    method: 'POST',
    headers,
    connections: CONNECTIONS,
    duration: SECONDS,
  } as const
  const result = await autocannon({ ...options, requests: [{ setupRequest }] })
  const { '5xx': broken, errors, non2xx } = result
  const wrong = result.statusCodeStats ?? {}
  if (broken || errors)
    throw new Error(`${broken} × 5xx, ${errors} errors: ${JSON.stringify(wrong)}`)
  if (non2xx && !wrong['422']) throw new Error(`refused: ${JSON.stringify(wrong)}`)
  return result
}

/** Enough ids for one round of checks. */
async function manyIds(url: string): Promise<string[]> {
  const ids: string[] = []
  const worker = async () => {
    while (ids.length < 12_000) {
      const answer = await fetch(`${url}/sms/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ phone: nextPhone() }),
      })
      if (answer.status !== 202) throw new Error(`refused: ${answer.status} ${await answer.text()}`)
      ids.push(((await answer.json()) as { id: string }).id)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, worker))
  return ids
}

/** Mainland mobile numbers, each one once. */
function nextPhone(): string {
  const number = numbers++
  return `+861${38 + Math.floor(number / 1e8)}${String(number % 1e8).padStart(8, '0')}`
}

async function startServer(role: Role) {
  const { redis, rabbitmq } = services
  const args = [role, redis.url, rabbitmq.url, queuePrefix]
  const child = fork(new URL('./server.ts', import.meta.url), args, {
    execArgv: ['--import', 'tsx'],
  })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    url,
    async stop() {
      child.kill()
      if (child.exitCode === null) await Promise.race([once(child, 'exit'), sleep(5000)])
    },
  }
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
