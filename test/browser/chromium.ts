/** A Chromium for the browser tests: yours, or Debian's. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { findProgram, isExecutable, searchPath } from '../services/programs.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

const ADVICE = 'Install Chromium or Chrome, or set CHROMIUM_PATH to one'

/** The program; installed with apt-get where there is none and we may. */
export async function findChromium(env = process.env): Promise<string> {
  const { CHROMIUM_PATH } = env
  if (CHROMIUM_PATH) {
    if (await isExecutable(CHROMIUM_PATH)) return CHROMIUM_PATH
    throw new Error(`Expected a program at CHROMIUM_PATH, got ${CHROMIUM_PATH}\n${ADVICE}`)
  }
  const path = searchPath(env.PATH)
  const found = await search(path)
  if (found) return found
  const obstacle = await install(path)
  const installed = await search(path)
  if (installed) return installed
  throw new Error(`Expected a Chromium on the PATH, got none: ${obstacle}\n${ADVICE}`)
}

async function search(path: string): Promise<string | undefined> {
  for (const name of NAMES) {
    const program = await findProgram(name, path)
    if (program) return program
  }
  return undefined
}

/** Says why there is none after it. */
async function install(path: string): Promise<string> {
  if (!(await findProgram('apt-get', path))) return 'there is no apt-get here to install it with'
  if (process.getuid?.() !== 0) return 'apt-get could install it, but only for root'
  process.stdout.write('Installing chromium with apt-get ...\n')
  const script =
    'apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 chromium'
  const shell = spawn('/bin/sh', ['-c', script], {
    env: { ...process.env, PATH: path, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [status] = await once(shell, 'exit')
  return status === 0 ? 'apt-get has no program of it here' : `apt-get failed with ${status}`
}
