/**
 * `npm run bench [-- row… --rounds N --smoke --write]`: how fast we are, each row as a share of a floor that does only what the
 * parts themselves cost, turn by turn in one run. The absolute figures depend on the machine and the minute; the shares less.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle } from '../bundle.ts'
import { compile } from '../test/compiled.ts'
import { AS_SHIPPED, startServices } from '../test/services.ts'
import { measure, type Result } from './row.ts'
import { ROWS } from './rows.ts'
import { asTables, describe, say, write } from './table.ts'
import { type Extent, inWorld } from './world.ts'

const FULL: Extent = { rounds: 5, sends: 1000, checks: 1500, jobs: 2000, many: 100_000 }

/** Shows that every row runs; its figures say nothing. */
const SMOKE: Extent = { rounds: 1, sends: 300, checks: 400, jobs: 300, many: 100 }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const names = ROWS.map(({ name }) => name)
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`no row ${unknown.join()}; there are ${names.join()}`)
if (values.write && positionals.length > 0)
  throw new Error('--write takes no rows: it writes whole tables')
const extent = values.smoke ? SMOKE : FULL
const rounds = values.rounds === undefined ? extent.rounds : Number(values.rounds)
const chosen = ROWS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))

const startedAt = performance.now()
await using modules = await compile()
await using published = await compile()
bundle(join(published.folder, 'src'))
await using services = await startServices({ rabbitmqArgs: AS_SHIPPED })
const { redis, rabbitmq } = services
const place = { ...extent, rounds, redis, rabbitmq }
const results: Result[] = []
for (const row of chosen) {
  const { folder } = row.byModule ? modules : published
  const lines = await inWorld({ ...place, folder }, (world) => measure(row, world))
  results.push(...lines)
  for (const line of lines) console.log(say(line))
}
console.log(`\n${describe(services)}\n\n${asTables(results)}`)
console.log(`\n${Math.round((performance.now() - startedAt) / 1000)} s`)
if (values.write) write(results, describe(services))
