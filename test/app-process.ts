/**
 * Apps with the plugin in a process of their own, which ends by itself when nothing keeps it alive any more: what a
 * forgotten timer or socket prevents. Run as a program, this is that process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import { programArgs } from './compiled.ts'

/** What came of a start or a close: how long it took, what the error said, and all that it would show. */
export interface Result {
  ms: number
  message?: string
  shown?: string
}

export interface AppProcess {
  /** One for each of the options. */
  started: Promise<Result[]>
  /** Has it close the apps. Resolves with what came of that, and whether the process ended by itself within 5 s. */
  close(): Promise<{ closed: Result[]; ended: boolean }>
}

/** Starts an app with each of the options, all at once. */
export function startAppProcess(t: TestContext, options: object[]): AppProcess {
  const args = [...programArgs('test/app-process.ts'), JSON.stringify(options)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const nextLine = async () => JSON.parse((await lines.next()).value ?? '[]') as Result[]
  return {
    started: nextLine(),
    async close() {
      child.stdin.end()
      const closed = await nextLine()
      const ended = await Promise.race([exited, sleep(5000, false, { ref: false })])
      return { closed, ended: ended !== false }
    },
  }
}

if (process.argv[1] === import.meta.filename) {
  const options: SmsVerifyOptions[] = JSON.parse(process.argv[2] as string)
  const apps = options.map(() => Fastify())
  const say = async (results: Promise<Result>[]) =>
    console.log(JSON.stringify(await Promise.all(results)))
  await say(
    apps.map((app, i) =>
      resultOf(async () => {
        await app.register(smsVerify, options[i] as SmsVerifyOptions)
        await app.ready()
      }),
    ),
  )
  process.stdin.resume()
  await once(process.stdin, 'end')
  await say(apps.map((app) => resultOf(() => app.close())))
}

async function resultOf(run: () => Promise<void>): Promise<Result> {
  const startedAt = performance.now()
  const error: unknown = await run().then(
    () => undefined,
    (error) => error,
  )
  const ms = performance.now() - startedAt
  if (!error) return { ms }
  const { message } = error as Error
  return { ms, message, shown: inspect(error, { depth: 10, showHidden: true }) }
}
