/** Logs two lines in one turn and, once they are written, by how many writes that was; and ends at once, as it is told. */
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { stdoutLines } from '../src/log.ts'

let writes = 0
const { write } = fs as unknown as { write(...args: unknown[]): void }
fs.write = ((...args: unknown[]) => {
  writes++
  write(...args)
}) as typeof fs.write

const one = pino({}, stdoutLines())
const other = pino({}, stdoutLines())
one.info('first')
other.info('second')
await sleep(100)
one.info({ writes }, 'third')
if (process.argv[2] === 'throw') throw new Error('on purpose')
process.exit()
