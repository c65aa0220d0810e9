/** Installs the two servers on Debian and Ubuntu, where we are root: containers and CI machines. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from './programs.ts'

/**
 * The packages start their daemons on the standard ports unless policy-rc.d forbids it
 * (https://manpages.debian.org/invoke-rc.d). The one that is there is put back whatever happens;
 * the lock is for another test process that installs at the same time.
 */
const INSTALL = `
exec 9</etc/apt && flock 9
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
policy=/usr/sbin/policy-rc.d
kept=$policy.kept-by-sms-verify
restore() {
  rm -f "$policy"
  if [ -e "$kept" ]; then mv -f "$kept" "$policy"; fi
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$policy" ] && [ ! -e "$kept" ]; then mv "$policy" "$kept"; fi
printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy"
apt-get update 9<&-
apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
  redis-server rabbitmq-server 9<&-`

/** Both servers want it at the same moment, and it installs for both. */
let installation: Promise<string | undefined> | undefined

/** Says why it cannot be done or has failed; nothing when the packages are installed. */
export async function installWithApt(path: string): Promise<string | undefined> {
  if (!existsSync('/etc/debian_version') || !(await findProgram('apt-get', path))) {
    return 'there is no apt-get here to install it with'
  }
  if (process.getuid?.() !== 0) return 'apt-get could install it, but only for root'
  installation ??= install(path)
  return installation
}

async function install(path: string): Promise<string | undefined> {
  process.stdout.write('Installing redis-server and rabbitmq-server with apt-get ...\n')
  const folder = await mkdtemp(join(tmpdir(), 'sms-verify-apt-'))
  const logFile = join(folder, 'log')
  try {
    const status = await runScript(path, logFile)
    if (status === 0) return undefined
    const tail = readFileSync(logFile, 'utf8').trim().split('\n').slice(-8)
    return `apt-get failed:\n${tail.map((line) => `      ${line}`).join('\n')}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** In a session of its own: a Ctrl-C must not leave packages half configured. */
function runScript(path: string, logFile: string): Promise<number | null> {
  const log = openSync(logFile, 'a')
  return new Promise((resolve, reject) => {
    const shell = spawn('/bin/sh', ['-c', INSTALL], {
      env: { ...process.env, PATH: path },
      detached: true,
      stdio: ['ignore', log, log],
    })
    shell.once('error', reject)
    shell.once('exit', resolve)
    closeSync(log)
  })
}
