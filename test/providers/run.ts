/** `npm run test:providers [-- --write]`: outages of a vendor, and ten thousand sends through one that fails in every way. */
import { parseArgs } from 'node:util'
import { startServices } from '../services.ts'
import { playMixed } from './mixed.ts'
import { OUTAGES, playOutage } from './outages.ts'
import { asTables, write } from './table.ts'

const SENDS = 10_000

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
await using running = await startServices()
const services = { redis: running.redis.url, amqp: running.rabbitmq.url }

const outages = []
for (const outage of OUTAGES) {
  const result = await playOutage(services, outage)
  outages.push(result)
  tell(outage.title, result.problems)
}
const mixed = await playMixed(services, SENDS)
tell(`${SENDS} sends, ${mixed.seconds.toFixed(0)} s`, mixed.problems)

const tables = asTables(outages, mixed)
console.log(`\n${tables}`)
if (values.write) write(tables)

function tell(title: string, problems: string[]): void {
  console.log(`${title}: ${problems.length > 0 ? 'FAILED' : 'ok'}`)
  for (const problem of problems.slice(0, 5)) console.log(`  ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}
