/** Runs a server as processes of this machine, in a temporary folder that goes when it goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startGuard } from './guard.ts'
import type { Host, Signal } from './service.ts'

export interface Program {
  command: string
  args: string[]
  env: Record<string, string | undefined>
}

/** In the environment of every process of a server, its grandchildren too: it names the folder. */
const MARK = 'SMS_VERIFY_TEST_SERVER'

/** Seconds a server gets to shut down in order. */
const GRACE = 20

/** `folder/pids` lists the process groups that run at the moment. */
const CLEAN_UP = `
for pid in $(cat "$1/pids"); do kill -KILL "-$pid"; done
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$1"
  [ -e "$1" ] || exit 0
  sleep 0.2
done`

/** The last of the programs is the server; those before it only serve it. */
export async function createLocalHost(
  name: string,
  programs: (folder: string) => Promise<Program[]>,
): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), `sms-verify-${name}-`))
  const guard = startGuard(CLEAN_UP, folder)
  const logFile = join(folder, 'server.log')
  const pidFile = join(folder, 'pids')
  let started: ChildProcess[] = []

  async function end(): Promise<void> {
    for (const child of started) signalGroup(child, 'SIGKILL')
    for (const child of started) await exit(child)
    await sweep(folder)
    started = []
    writeFileSync(pidFile, '')
  }

  return {
    folder,
    get pid() {
      const server = started.at(-1)
      return server && !hasExited(server) ? server.pid : undefined
    },
    async start() {
      await end()
      started = (await programs(folder)).map((program) => run(program, folder, logFile))
      // At once and in one go with the spawning: the guard knows only what is written here.
      writeFileSync(pidFile, started.map(({ pid }) => pid ?? '').join(' '))
    },
    async running() {
      return started.length > 0 && !started.some(hasExited)
    },
    async kill(signal) {
      const server = started.at(-1)
      if (!server) return
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') return signalGroup(server, signal)
      if (signal === 'SIGTERM') {
        // A frozen process would look at SIGTERM only after it has been thawed.
        signalGroup(server, 'SIGCONT')
        // To the one process: Erlang's port programs in the same group must outlive the shutdown.
        server.kill('SIGTERM')
        await exit(server, GRACE)
      }
      await end()
    },
    async log() {
      const text = await readFile(logFile, 'utf8').catch(() => '')
      return text.trim().split('\n').slice(-25).join('\n')
    },
    async remove() {
      await end()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
      await guard.dismiss()
    },
  }
}

/** A group of its own keeps the terminal's Ctrl-C away from the server. */
function run({ command, args, env }: Program, folder: string, logFile: string): ChildProcess {
  const log = openSync(logFile, 'a')
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...env, [MARK]: folder },
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.on('error', () => {})
  // A forgotten server must not keep a test file from ending; the guard then ends the server.
  child.unref()
  return child
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

async function exit(child: ChildProcess, seconds = Number.POSITIVE_INFINITY): Promise<void> {
  const until = Date.now() + seconds * 1_000
  while (!hasExited(child) && Date.now() < until) await delay(10)
}

function signalGroup(child: ChildProcess, signal: Signal): void {
  if (child.pid !== undefined) kill(-child.pid, signal)
}

function kill(pid: number, signal: Signal): void {
  try {
    process.kill(pid, signal)
  } catch {
    // ESRCH: it has ended by itself, which is what the signal was to achieve.
  }
}

/**
 * Port programs of the Erlang VM leave its group; they end when they miss it, or here. Without a
 * /proc (macOS) only the former.
 */
async function sweep(folder: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const left = processesOf(folder)
    if (left.length === 0) return
    if (tries > 50) for (const pid of left) kill(pid, 'SIGKILL')
    await delay(20)
  }
  throw new Error(`Processes ${processesOf(folder).join(', ')} of ${folder} do not end`)
}

function processesOf(folder: string): number[] {
  return processIds().filter((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
      return environment.split('\0').includes(`${MARK}=${folder}`)
    } catch {
      return false
    }
  })
}

function processIds(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}
