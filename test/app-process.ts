/**
 * An app with the plugin as a process of its own, which ends by itself when nothing keeps it alive any more: what a
 * forgotten timer or socket prevents. Run as a program, it is that process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'

export interface AppProcess {
  /** What came of registering, and how long it took. */
  started: Promise<{ ms: number; code?: string; message?: string; shown?: string }>
  /** Has it close the app. Resolves with how it ended: by itself, or not within 4 s. */
  close(): Promise<{ ms: number; end: 'by itself' | 'not at all' }>
}

export function startAppProcess(t: TestContext, options: object): AppProcess {
  const args = ['--import', 'tsx', 'test/app-process.ts', JSON.stringify(options)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return {
    started: once(child.stdout, 'data').then(([line]) => JSON.parse(String(line))),
    async close() {
      const startedAt = performance.now()
      child.stdin.end('close')
      const end = await Promise.race([
        exited.then(() => 'by itself' as const),
        sleep(4000, 'not at all' as const),
      ])
      return { ms: performance.now() - startedAt, end }
    },
  }
}

if (process.argv[1]?.endsWith('app-process.ts')) await main(JSON.parse(process.argv[2] as string))

async function main(options: SmsVerifyOptions): Promise<void> {
  const app = Fastify()
  const startedAt = performance.now()
  let error: (Error & { code?: string }) | undefined
  try {
    await app.register(smsVerify, options)
    await app.ready()
  } catch (caught) {
    error = caught as Error
  }
  const { inspect } = await import('node:util')
  const result = {
    ms: performance.now() - startedAt,
    code: error?.code,
    message: error?.message,
    shown: error && inspect(error, { depth: 10, showHidden: true }),
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
  process.stdin.resume()
  await once(process.stdin, 'end')
  process.stdin.destroy()
  await app.close()
}
