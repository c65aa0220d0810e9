/** `npm run test:browser [file ...]`: the client as it is shipped, in a real Chromium. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findChromium } from './chromium.ts'

const FOLDER = 'test/browser'

process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`\n${error.message}\n\n`)
  return 1
})

async function main(words: string[]): Promise<number> {
  const CHROMIUM_PATH = await findChromium()
  const folder = await mkdtemp(join(tmpdir(), 'sms-verify-client-'))
  try {
    const built = await node(['--import', 'tsx', 'build.ts', folder], {})
    if (built !== 0) return built
    const all = readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'))
    const files = all.filter((name) => words.every((word) => name.includes(word)))
    if (files.length === 0) throw new Error(`No file of ${FOLDER} matches ${words.join(' ')}`)
    const limits = ['--test-timeout=120000', '--test-concurrency=1']
    const args = ['--import', 'tsx', '--test', '--test-reporter=spec', ...limits]
    return await node([...args, ...files.map((name) => join(FOLDER, name))], {
      CHROMIUM_PATH,
      CLIENT_FOLDER: join(folder, 'client'),
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function node(args: string[], env: Record<string, string>): Promise<number> {
  const child = spawn(process.execPath, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  const [code] = await once(child, 'exit')
  return code ?? 1
}
