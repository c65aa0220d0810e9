/** What the programs of the bench have in common: settings come as an argument, questions and answers as messages. */

import { machineTime } from '../clock.ts'
import { startProfile, type Times } from './profile.ts'

export type Program =
  | 'web'
  | 'embedded'
  | 'floor-web'
  | 'floor-json'
  | 'consumer'
  | 'floor-consumer'
  | 'peer-bullmq'
  | 'parts-web'
  | 'parts-consumer'
  | 'vendor'
  | 'start'
  | 'floor-start'

/** Each program reads what it needs. */
export interface Settings {
  redis?: string
  amqp?: string
  queuePrefix?: string
  /** Where the vendor is; without one nothing is asked of anybody. */
  vendor?: string
  /** Milliseconds that the provider takes. */
  latency?: number
  concurrency?: number
}

/** What can be asked, and what is answered. */
export interface Answers {
  /** Microseconds of CPU since the start; bytes of memory that are resident, and the most that were. */
  usage: { cpu: number; rss: number; maxRss: number }
  /** Begins to look at what its time is spent on; asked again, ends it and answers. */
  profile: Times | undefined
  /** Consumes so many jobs, which must be there, of its own queues or of those named. */
  drain: Drained
  /** Puts so many jobs there, or those of sends to these numbers. */
  fill: undefined
  /** When each number was asked for since the last time, by `machineTime`. */
  calls: Record<string, number>
  /** Milliseconds that it took to import the plugin, and to have it ready. */
  start: { imported: number; ready: number }
}

/** What was done from one time to the other, by `machineTime`. */
export interface Drained {
  jobs: number
  from: number
  to: number
}

export type Ask = keyof Answers

/** Each question names what it needs. */
export interface Details {
  jobs?: number
  /** That of other queues than its own. */
  queuePrefix?: string
  phones?: string[]
}

type Handlers = {
  [Name in Ask]?: (details: Required<Details>) => Answers[Name] | Promise<Answers[Name]>
}

/** A question as it travels. */
export interface Question {
  nth: number
  name: Ask
  details: Details
}

export const settings = JSON.parse(process.argv[2] ?? '{}') as Required<Settings>

/** Says that the program is ready, and answers from then on. */
export function ready(url = '', handlers: Handlers = {}): void {
  const all: Handlers = { usage, profile, ...handlers }
  process.on('message', async ({ nth, name, details }: Question) => {
    const { queuePrefix } = settings
    try {
      const handler = all[name]
      if (!handler) throw new Error(`not a question for this program: ${name}`)
      const answer = await handler({ jobs: 0, queuePrefix, phones: [], ...details })
      process.send?.({ nth, answer })
    } catch (error) {
      process.send?.({ nth, error: String(error) })
    }
  })
  // Whatever becomes of the bench, no program stays behind.
  process.on('disconnect', () => process.exit())
  process.once('SIGTERM', () => process.exit())
  process.send?.({ nth: 0, answer: { url } })
}

function usage(): Answers['usage'] {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return {
    cpu: userCPUTime + systemCPUTime,
    rss: process.memoryUsage.rss(),
    maxRss: maxRSS * 1024,
  }
}

let stopProfile: (() => Promise<Times>) | undefined

async function profile(): Promise<Times | undefined> {
  const stop = stopProfile
  stopProfile = stop ? undefined : await startProfile()
  return stop?.()
}

/** Counts what is done until there are so many. The clock starts with the first tenth, when all connections are there. */
export function countTo(jobs: number): { add(more: number): void; reached: Promise<Drained> } {
  let done = 0
  let first = 0
  let from = 0
  let finish: (drained: Drained) => void = () => {}
  const reached = new Promise<Drained>((resolve) => {
    finish = resolve
  })
  return {
    reached,
    add(more) {
      if (more === 0) return
      done += more
      if (from === 0 && done >= jobs / 10) {
        first = done
        from = machineTime()
      }
      if (done >= jobs) finish({ jobs: done - first, from, to: machineTime() })
    },
  }
}
