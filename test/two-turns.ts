/** Logs two lines in one turn and, in a later one, how often anything was written by then; and ends at once, as it is told. */
import fs from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pino } from 'pino'
import { stdoutLines } from '../src/log.ts'

let writes = 0
const { writeSync } = fs
fs.writeSync = (...args: unknown[]) => {
  writes++
  return (writeSync as (...args: unknown[]) => number)(...args)
}

const one = pino({}, stdoutLines())
const other = pino({}, stdoutLines())
one.info('first')
other.info('second')
await nextTurn()
await nextTurn()
one.info({ writes }, 'third')
if (process.argv[2] === 'throw') throw new Error('on purpose')
process.exit()
