/** Where a row runs: the services, the programs as processes of their own, and how long and how often it measures. */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { basename, join } from 'node:path'
import { Redis } from 'ioredis'
import { type Endpoint, type Service, startedHere } from '../test/services.ts'
import type { Answers, Ask, Details, Program, Question, Settings } from './programs/program.ts'
import { deleteQueues } from './queue.ts'

/** How much is measured. */
export interface Extent {
  rounds: number
  /** In one load. */
  sends: number
  /** Of wrong codes, in one load. */
  checks: number
  /** For the consumers, in one round. */
  jobs: number
  /** What waits or lives beside it where it is looked at what grows. */
  many: number
}

export interface World extends Extent {
  redis: Endpoint
  rabbitmq: Endpoint & Partial<Pick<Service, 'pid'>>
  /** Names queues that nobody else uses. */
  newPrefix(): string
  /** Starts a program; it ends with the row. */
  start(program: Program, settings?: Settings): Promise<Running>
  /** Runs when the row is over, the last one first. */
  after(end: () => Promise<unknown>): void
}

export interface Running {
  pid: number
  /** Where it listens; '' for programs that do not. */
  url: string
  ask<Name extends Ask>(name: Name, details?: Details): Promise<Answers[Name]>
  stop(): Promise<void>
}

export interface Place extends Extent {
  /** Where the compiled programs are. */
  folder: string
  redis: Endpoint
  rabbitmq: Endpoint
}

/** Runs `use` in a world of its own, and ends what it has started; what it has left behind would be in the way of the next. */
export async function inWorld<T>(place: Place, use: (world: World) => Promise<T>): Promise<T> {
  const ends: (() => Promise<unknown>)[] = []
  const prefixes: string[] = []
  const { redis, rabbitmq, folder } = place
  const world: World = {
    ...place,
    newPrefix() {
      const prefix = `bench-${randomBytes(4).toString('hex')}`
      prefixes.push(prefix)
      return prefix
    },
    after: (end) => void ends.unshift(end),
    async start(program, settings = {}) {
      const all = { redis: redis.url, amqp: rabbitmq.url, ...settings }
      const running = await startProgram(join(folder, `bench/programs/${program}.js`), all)
      ends.unshift(running.stop)
      return running
    },
  }
  let result: T
  try {
    result = await use(world)
  } finally {
    for (const end of ends) await end()
  }
  await deleteQueues(rabbitmq.url, prefixes)
  if (startedHere(redis)) await flush(redis.url)
  return result
}

async function flush(url: string): Promise<void> {
  const redis = new Redis(url)
  await redis.flushall()
  redis.disconnect()
}

/** Milliseconds for whatever a program is asked; they are asked for nothing that takes long. */
const PATIENCE = 60_000

async function startProgram(file: string, settings: Settings): Promise<Running> {
  const flags = process.env.BENCH_NODE_FLAGS?.split(' ') ?? []
  const child = fork(file, [JSON.stringify(settings)], {
    execArgv: flags,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const { url } = await answer<{ url: string }>(child, 0, `${basename(file)}: start`)
  let asked = 0
  return {
    pid: child.pid as number,
    url,
    async ask(name, details = {}) {
      const nth = ++asked
      child.send({ nth, name, details } satisfies Question)
      return answer(child, nth, `${basename(file)}: ${name}`)
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await exit
      clearTimeout(timer)
    },
  }
}

/** What it says to the question of that number; `about` is for the error where it says nothing. */
async function answer<T>(child: ChildProcess, nth: number, about: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      done()
    }
    const onMessage = (message: { nth: number; answer: T; error?: string }) => {
      if (message.nth !== nth) return
      settle(() => (message.error ? reject(new Error(message.error)) : resolve(message.answer)))
    }
    const fail = (why: string) => settle(() => reject(new Error(`${about}: ${why}`)))
    const onExit = () => fail('the program has ended')
    const timer = setTimeout(() => fail('the program does not answer'), PATIENCE)
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
}
