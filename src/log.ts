/** What is asked of a logger, and where a consumer's own lines go. */
import { type DestinationStream, pino } from 'pino'

/** The four levels of pino, Fastify's loggers and most others. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/**
 * Stdout for pino. The lines of one turn of the event loop are written together, for a call of the system takes longer than to make a
 * line; and before the process ends, unless it is killed. Who reads them slowly is waited for: none is lost, and none piles up.
 */
export function stdoutLines(): DestinationStream {
  stdout ??= gathered(pino.destination({ dest: 1, sync: true }))
  return stdout
}

/** One for the process: its lines stay in their order, and it listens for the end once. */
let stdout: DestinationStream | undefined

function gathered(destination: DestinationStream): DestinationStream {
  let lines = ''
  function release(): void {
    if (lines !== '') destination.write(lines)
    lines = ''
  }
  process.on('exit', release)
  return {
    write(line) {
      if (lines === '') setImmediate(release)
      lines += line
    },
  }
}
