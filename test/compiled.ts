/** The checkout as JavaScript: with tsx each of the many processes of a test run takes a second more to start. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { startGuard } from './services/guard.ts'

/** Inside the checkout, where packages are found, and out of its way. */
const PLACE = 'node_modules/.cache'

/** What the sources read besides themselves. */
const FILES = ['package.json', 'demo/page.html', 'demo/page.css', 'test/vectors']

const TSC = 'node_modules/typescript/bin/tsc'

export interface Compiled extends AsyncDisposable {
  folder: string
}

/** Compiles everything that the tests run, without checking types, into a folder that goes when disposed of. */
export async function compile(): Promise<Compiled> {
  await mkdir(PLACE, { recursive: true })
  const folder = await mkdtemp(join(PLACE, 'fastify-sms-verify-'))
  const guard = startGuard('rm -rf "$1"', resolve(folder))
  const options = ['--noEmit', 'false', '--noCheck', '--sourceMap', '--outDir', folder]
  await promisify(execFile)(process.execPath, [TSC, '-p', 'test', ...options])
  for (const file of FILES) await cp(file, join(folder, file), { recursive: true })
  return {
    folder,
    async [Symbol.asyncDispose]() {
      await guard.dismiss()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What a program of the checkout is started with: compiled where this file is. */
export function programArgs(path: string): string[] {
  if (import.meta.filename.endsWith('.ts')) return ['--import', 'tsx', path]
  return [join(import.meta.dirname, '..', path.replace(/\.ts$/, '.js'))]
}
