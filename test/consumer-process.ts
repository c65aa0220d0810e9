/** The consumer binary as a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { programArgs } from './compiled.ts'
import { CONSUMER, type LogLine, SECRET } from './helper.ts'

export interface ConsumerProcess {
  /** Its log, parsed. */
  lines: LogLine[]
  /** Everything it printed. */
  output(): string
  kill(signal: NodeJS.Signals): void
  /** Its exit code, or the signal that ended it. */
  exit: Promise<number | NodeJS.Signals>
}

/** Starts `sms-verify-consumer`; it is ended after the test. `env` goes over the services of the tests. */
export function startConsumerProcess(
  t: TestContext,
  args: string[],
  env: Record<string, string> = {},
): ConsumerProcess {
  const child = spawn(process.execPath, [...programArgs('src/cli.ts'), ...args], {
    env: {
      PATH: process.env.PATH,
      NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
      REDIS_URL: CONSUMER.redis,
      AMQP_URL: CONSUMER.amqp,
      SMS_VERIFY_SECRET: SECRET,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed: string[] = []
  const lines: LogLine[] = []
  createInterface(child.stdout).on('line', (line) => {
    printed.push(line)
    if (line.startsWith('{')) lines.push(JSON.parse(line))
  })
  createInterface(child.stderr).on('line', (line) => printed.push(line))
  // 'close' and not 'exit': by then everything it printed was read.
  const exit = once(child, 'close').then(([code, signal]) => code ?? signal)
  t.after(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return {
    lines,
    output: () => printed.join('\n'),
    kill: (signal) => child.kill(signal),
    exit,
  }
}
