/** `npm run test:attacks [attack…] [-- --small --write]` */
import { parseArgs } from 'node:util'
import { createBrokers } from '../faults/brokers.ts'
import { buildPrograms } from '../faults/build.ts'
import { ATTACKS, play } from './attacks.ts'
import { asTable, write } from './table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const names = ATTACKS.map(({ name }) => name)
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`no attack ${unknown.join()}; there are ${names.join()}`)
const chosen = ATTACKS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))

const programs = await buildPrograms()
const brokers = createBrokers()
const results = []
try {
  const { rabbitmq } = await brokers.forRow({ broker: 'shared' })
  const [{ url: amqp }] = rabbitmq as [{ url: string }]
  for (const attack of chosen) {
    const result = await play(attack, { programs, amqp, small: values.small }).catch(String)
    if (typeof result === 'string') {
      process.exitCode = 1
      console.log(`${attack.name}: FAILED\n  ${result}`)
      continue
    }
    results.push(result)
    const { name, seconds, problems } = result
    console.log(`${name}, ${seconds.toFixed(0)} s: ${problems.length > 0 ? 'FAILED' : 'ok'}`)
    for (const problem of problems) console.log(`  ${problem}`)
    if (problems.length > 0) process.exitCode = 1
  }
} finally {
  await brokers.stop()
  await programs[Symbol.asyncDispose]()
}
console.log(`\n${asTable(results)}`)
if (values.write) write(results)
