/** `npm run test:faults [row…] [supervisor] [soak] [-- --small --seed N --rounds N --minutes N --write]` */
import { parseArgs } from 'node:util'
import type { RabbitMQ } from '../services/rabbitmq.ts'
import { redisVersion, startRedis } from '../services/redis.ts'
import { createBrokers } from './brokers.ts'
import { buildPrograms } from './build.ts'
import { setAlarm } from './nemesis.ts'
import { play } from './play.ts'
import type { RowResult } from './row.ts'
import { ROWS } from './rows.ts'
import { soakRow } from './soak.ts'
import { playSupervisor, SUPERVISOR, supervisorLine } from './supervisor.ts'
import { asTable, runName, writeLine, writeTable } from './table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    minutes: { type: 'string', default: '60' },
    write: { type: 'boolean', default: false },
  },
})
const { small, write } = values
const rows = [...ROWS, soakRow(Number(values.minutes))]
const names = [...rows.map(({ name }) => name), SUPERVISOR]
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`no row ${unknown.join()}; there are ${names.join()}`)
// The soak takes an hour, and is played only by its name.
const chosen =
  positionals.length > 0
    ? rows.filter(({ name }) => positionals.includes(name))
    : ROWS.filter((row) => !small || row.small !== undefined)
const seed = Number(values.seed)
const rounds = values.rounds === undefined ? undefined : Number(values.rounds)

const programs = await buildPrograms()
const brokers = createBrokers()
const results: RowResult[] = []
try {
  for (const row of chosen) {
    for (const result of await play(row, { programs, brokers, small, seed, rounds })) {
      results.push(result)
      report(`${row.name}, ${runName(result.setting)}, ${result.seconds.toFixed(0)} s`, result)
    }
    if (write) writeTable(results, rows, await versions())
  }
  if (positionals.length === 0 || positionals.includes(SUPERVISOR)) await supervisor()
} finally {
  await brokers.stop()
  await programs[Symbol.asyncDispose]()
}
if (results.length > 0) console.log(`\n${await versions()}\n\n${asTable(results)}`)

async function supervisor(): Promise<void> {
  const { nodes, done } = await brokers.forRow({ broker: 'own' })
  try {
    const [rabbitmq] = nodes as [RabbitMQ]
    const extent = small ? { scripts: 20, stride: 250 } : { scripts: 200, stride: 1 }
    const alarm = (on: boolean) => setAlarm(rabbitmq, on)
    const result = await playSupervisor({ url: rabbitmq.url, seed, alarm, ...extent })
    report(SUPERVISOR, result)
    const line = supervisorLine(result, seed)
    console.log(line)
    if (write) writeLine(SUPERVISOR, `RabbitMQ ${brokers.version()}`, line)
  } finally {
    await done()
  }
}

function report(what: string, { problems }: { problems: string[] }): void {
  console.log(`${what}: ${problems.length > 0 ? 'FAILED' : 'ok'}`)
  for (const problem of problems) console.log(`  ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}

async function versions(): Promise<string> {
  await using redis = await startRedis()
  const version = await redisVersion(redis.url)
  return `Node ${process.versions.node}, Redis ${version}, RabbitMQ ${brokers.version()}.`
}
