/** A program under test: killed, frozen and started again by the faults, as an init system would see it. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Openings } from './preload.ts'

export interface LogLine {
  event?: string
  id?: string
  version?: number
  attempt?: number
  result?: string
  [field: string]: unknown
}

export interface Program {
  readonly name: string
  readonly pid: number | undefined
  /** What it logged in all its lives. */
  readonly lines: LogLine[]
  /** What else it printed. */
  readonly others: string[]
  /** How it ended without having been told to. */
  readonly crashes: string[]
  /** How often it has been started. */
  readonly lives: number
  /** Starts it, again and again until it says that it is up. */
  start(): Promise<void>
  /** Resolves when the last start is over. */
  up(): Promise<void>
  /** Of signals that end it, resolves once it has ended. SIGTERM answers how it ended. */
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | undefined>
  openings(): Promise<Openings | undefined>
}

export interface ProgramOptions {
  name: string
  file: string
  preload: string
  args?: string[]
  env: Record<string, string>
  /** The event of the log line that says it is up. */
  started: string
}

export function createProgram(options: ProgramOptions): Program {
  const { name, file, preload, args = [], env, started } = options
  const lines: LogLine[] = []
  const others: string[] = []
  const crashes: string[] = []
  let lives = 0
  let child: ChildProcess | undefined
  let ended: Promise<number | NodeJS.Signals> | undefined
  let wanted = 0
  let starting = Promise.resolve()

  /** Resolves with whether it came up. */
  function live(): Promise<boolean> {
    lives++
    const turn = wanted
    const life = spawn(process.execPath, ['--import', preload, file, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    child = life
    let up = false
    let complaint = ''
    life.stderr?.on('data', (chunk) => {
      complaint = `${complaint}${chunk}`.slice(-2000)
      others.push(String(chunk))
    })
    return new Promise((resolve) => {
      createInterface({ input: life.stdout as NodeJS.ReadableStream }).on('line', (line) => {
        // The last line of a killed process may be cut off.
        const parsed = parse(line)
        if (!parsed) return void others.push(line)
        lines.push(parsed)
        if (parsed.event !== started) return
        up = true
        resolve(true)
      })
      // 'close' and not 'exit': by then everything it printed was read.
      ended = once(life, 'close').then(([code, signal]) => {
        if (child === life) child = undefined
        resolve(false)
        if (turn === wanted && up)
          crashes.push(`${name} ended with ${code ?? signal}: ${complaint}`)
        return code ?? signal
      })
    })
  }

  // It gives up when Redis or RabbitMQ are not there at its start.
  async function liveUntilUp(turn: number): Promise<void> {
    while (turn === wanted && !(await live())) await sleep(200)
  }

  return {
    name,
    get pid() {
      return child?.pid
    },
    get lives() {
      return lives
    },
    lines,
    others,
    crashes,
    start() {
      wanted++
      starting = liveUntilUp(wanted)
      return starting
    },
    up: () => starting,
    async kill(signal) {
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') return void child?.kill(signal)
      wanted++
      child?.kill(signal)
      return ended
    },
    async openings() {
      if (!child?.connected) return undefined
      const answer = once(child, 'message', { signal: AbortSignal.timeout(2000) })
      child.send('openings')
      return answer.then(
        ([openings]) => openings as Openings,
        () => undefined,
      )
    },
  }
}

function parse(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined
  }
}
