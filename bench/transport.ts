/**
 * `npm run bench:transport`: what one call to a vendor costs over our pools, over node:http and over the global fetch. All of
 * them go through `post`, turn by turn, against a server of its own process that answers at once.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus } from 'node:os'
import { post } from '../src/providers/http.ts'
import type { Fetch } from '../src/providers/provider.ts'

const ROUNDS = 5
const SECONDS = 2
const CONCURRENCY = [64, 256, 512]

const headers = { Accept: 'application/json', 'Content-Type': 'application/json;charset=utf-8' }
const body = JSON.stringify({ to: '13800138000', templateId: '1', datas: ['012345', '5'] })

const agent = new Agent({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY })
const nodeHttp: Fetch = (url, { method, headers, body, signal }) =>
  new Promise((resolve, reject) => {
    const length = { 'Content-Length': Buffer.byteLength(body) }
    const options = { agent, method, signal, headers: { ...headers, ...length } }
    request(url, options, (response) => {
      resolve({ status: response.statusCode ?? 0, body: response })
    })
      .on('error', reject)
      .end(body)
  })

/** None is that of our pools. */
const TRANSPORTS = { pools: undefined, 'node:http': nodeHttp, fetch: globalThis.fetch }

if (process.argv[2] === 'server') await serve()
else await compare()

async function compare(): Promise<void> {
  console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`)
  const execArgv = ['--import', 'tsx']
  const server = fork(import.meta.filename, ['server'], { execArgv })
  const [url] = (await once(server, 'message')) as [string]
  for (const concurrency of CONCURRENCY) {
    const results = Object.entries(TRANSPORTS).map(([name, fetch]) => ({
      name,
      fetch,
      loads: [] as Load[],
    }))
    for (let round = 0; round < ROUNDS; round++) {
      for (const { fetch, loads } of results) loads.push(await load(fetch, url, concurrency))
    }
    for (const { name, loads } of results) {
      const rate = median(loads.map(({ rate }) => rate))
      const cost = median(loads.map(({ cost }) => cost))
      console.log(`${concurrency} at once, ${name}: ${rate} calls/s, ${cost} µs of CPU each`)
    }
  }
  server.disconnect()
  process.exit()
}

interface Load {
  /** Calls in a second. */
  rate: number
  /** Microseconds of this process's CPU for one call. */
  cost: number
}

async function load(fetch: Fetch | undefined, url: string, concurrency: number): Promise<Load> {
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  let calls = 0
  const caller = async () => {
    while (performance.now() - start < SECONDS * 1000) {
      const signal = AbortSignal.timeout(10_000)
      const answer = await post(fetch, url, { headers, body, signal })
      if ('class' in answer) throw new Error(`no answer: ${answer.code}`)
      calls++
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - start) / 1000
  return { rate: Math.round(calls / seconds), cost: Math.round((user + system) / calls) }
}

/** A vendor that answers at once. */
async function serve(): Promise<void> {
  const answer = JSON.stringify({
    statusCode: '000000',
    templateSMS: { smsMessageSid: 'a'.repeat(32) },
  })
  // It closes no connection, for one that node:http or the global fetch keeps would fail their next turn.
  const server = createServer({ keepAliveTimeout: 600_000 }, (incoming, response) => {
    incoming.resume().on('end', () => response.end(answer))
  })
  // As many as come at once may wait to be accepted.
  await once(server.listen(0, '127.0.0.1', Math.max(...CONCURRENCY)), 'listening')
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}/SMS`)
  process.on('disconnect', () => process.exit())
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
