/** What is asked of a logger, and where a consumer's own lines go. */
import { writeSync } from 'node:fs'
import { type DestinationStream, pino } from 'pino'

/** The four levels of pino, Fastify's loggers and most others. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/**
 * Where pino writes by itself, with the lines of one turn of the event loop written together: to hand each to another thread takes longer
 * than to make it. Those of the last turn are written when the process ends, unless it is killed.
 */
export function stdoutLines(): DestinationStream {
  // Who has put another `write` in its place wants to have it called.
  if (Object.hasOwn(process.stdout, 'write')) return process.stdout
  stdout ??= gathered(pino.destination(STDOUT))
  return stdout
}

const STDOUT = 1

/** One for the process: its lines stay in their order, and it listens for the end once. */
let stdout: DestinationStream | undefined

function gathered(destination: DestinationStream): DestinationStream {
  let lines = ''
  function release(): void {
    const all = lines
    lines = ''
    if (all !== '') destination.write(all)
  }
  // After pino, which writes what it was given before.
  process.on('exit', () => {
    try {
      writeSync(STDOUT, lines)
    } catch {
      // Nobody reads them, or not fast enough.
    }
  })
  return {
    write(line) {
      if (lines === '') setImmediate(release)
      lines += line
    },
  }
}
