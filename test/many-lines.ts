/** Logs some hundred kilobytes and, in a later turn, says on stderr that it is alive. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { stdoutLines } from '../src/log.ts'

const logger = pino({}, stdoutLines())
for (let n = 0; n < 2000; n++) {
  logger.info({ n }, 'a line of about as many characters as one of an SMS that was sent')
  if (n % 100 === 0) await sleep(1)
}
process.stderr.write('alive')
