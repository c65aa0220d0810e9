/** `npm run test:faults [row…] [-- --small --seed N --rounds N --write]` */
import { parseArgs } from 'node:util'
import { redisVersion, startRedis } from '../services/redis.ts'
import { createBrokers } from './brokers.ts'
import { buildPrograms } from './build.ts'
import { play } from './play.ts'
import type { RowResult } from './row.ts'
import { ROWS } from './rows.ts'
import { asTable, runName, writeTable } from './table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
const { small, write } = values
const unknown = positionals.filter((name) => !ROWS.some((row) => row.name === name))
if (unknown.length > 0) {
  throw new Error(`no row ${unknown.join()}; there are ${ROWS.map(({ name }) => name).join()}`)
}
const chosen = ROWS.filter(({ name, small: isSmall }) =>
  positionals.length > 0 ? positionals.includes(name) : !small || isSmall !== undefined,
)

const programs = await buildPrograms()
const brokers = createBrokers()
const results: RowResult[] = []
try {
  for (const row of chosen) {
    const options = { programs, brokers, small, seed: Number(values.seed) }
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
    for (const result of await play(row, { ...options, rounds })) {
      results.push(result)
      const { setting, seconds, problems } = result
      const how = problems.length > 0 ? 'FAILED' : 'ok'
      console.log(`${row.name}, ${runName(setting)}: ${how} after ${seconds.toFixed(0)} s`)
      for (const problem of problems) console.log(`  ${problem}`)
    }
    if (write) writeTable(results, ROWS, await versions())
  }
} finally {
  await brokers.stop()
  await programs[Symbol.asyncDispose]()
}
console.log(`\n${await versions()}\n\n${asTable(results)}`)
process.exitCode = results.some(({ problems }) => problems.length > 0) ? 1 : 0

async function versions(): Promise<string> {
  await using redis = await startRedis()
  const version = await redisVersion(redis.url)
  return `Node ${process.versions.node}, Redis ${version}, RabbitMQ ${brokers.version()}.`
}
