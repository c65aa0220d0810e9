/** What a row of the table is, and how one round of it goes. */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { RabbitMQ } from '../services/rabbitmq.ts'
import type { Endpoint } from '../services/service.ts'
import { UNLIMITED } from '../unlimited.ts'
import type { Programs } from './build.ts'
import { drain } from './drain.ts'
import { judge, type Verdict } from './judge.ts'
import { type Chance, chanceFrom } from './random.ts'
import { type Load, type LoadOptions, startLoad } from './workload.ts'
import { createWorld, eventually, type Setting, type World } from './world.ts'

/** What a row's faults work on. */
export interface Scene {
  world: World
  load: Load
  chance: Chance
  /** RabbitMQ itself, where the row has one of its own; several are a cluster. */
  nodes: RabbitMQ[]
  /** Whether people still ask for codes. */
  loading(): boolean
  /** Whether this is the shortened selection. */
  small: boolean
  /** Says that something was not as promised. */
  complain(problem: string): void
  /** Says what else was measured. */
  note(measured: string): void
}

export interface Row {
  /** On the command line. */
  name: string
  /** In the table. */
  title: string
  sends: number
  rounds?: number
  /** Sends of the shortened selection, if the row is in it. */
  small?: number
  load?: Partial<Pick<LoadOptions, 'rate' | 'tries' | 'pause'>>
  setting?: Partial<Setting>
  /** What the row is run with, one after the other. @default at least once, then at most once, as Twilio */
  runs?: Partial<Setting>[]
  /** @default 'shared' */
  broker?: 'shared' | 'own' | 'cluster'
  /** A crash or an ambiguous answer may fall between the vendor's acceptance and our record of it. */
  mayRepeat?: boolean
  mayLose?: boolean
  mayForget?: boolean
  mayRefuse?: boolean
  /** Further statements of the verdict that must hold. */
  check?(verdict: Verdict, scene: Scene): Promise<void> | void
  /** Done beside the load. */
  plan?(scene: Scene): Promise<void>
}

export interface RowResult extends Verdict {
  row: Row
  setting: Setting
  rounds: number
  seed: number
  seconds: number
  /** What else was measured. */
  notes: string[]
}

export const SETTING: Setting = {
  delivery: 'at-least-once',
  vendor: 'twilio',
  servers: 1,
  consumers: 2,
  consumer: 'consumer',
  concurrency: 64,
  ttl: 300,
  options: { limits: UNLIMITED },
  durable: true,
  logLevel: { server: 'warn', consumer: 'info' },
  proxied: false,
  serverClock: 0,
  consumerClock: 0,
}

export const RUNS: Partial<Setting>[] = [
  { delivery: 'at-least-once' },
  { delivery: 'at-most-once' },
]

/** Milliseconds that the ends of all sends may take after the last of them. */
const DRAIN = 180_000

/** Milliseconds after the last fault in which a send must go through. */
const HEAL = 30_000

/** Seconds; worth a note, since the vendor is given 10. */
const LONG_PAUSE = 2

export interface RoundOptions {
  programs: Programs
  rabbitmq: Pick<Endpoint, 'url'>[]
  nodes: RabbitMQ[]
  run: Partial<Setting>
  seed: number
  small: boolean
}

export async function playRound(row: Row, options: RoundOptions): Promise<RowResult> {
  const { programs, rabbitmq, nodes, run, seed, small } = options
  const setting = { ...SETTING, ...row.setting, ...run }
  const startedAt = Date.now()
  // The vendor and the people live in this process: what it misses, they miss.
  const pauses = monitorEventLoopDelay()
  pauses.enable()
  const chance = chanceFrom(seed)
  await using world = await createWorld(programs, rabbitmq, setting)
  world.vendor.treat = ({ nth }) => ({
    accept: true,
    after: nth === 0 ? chance.between(10, 60) : 30,
  })
  const load = startLoad({
    ports: world.ports,
    count: small ? (row.small ?? 200) : row.sends,
    rate: 200,
    tries: 100,
    pause: 400,
    ...row.load,
    chance: chanceFrom(seed + 1),
  })
  let loading = true
  const loaded = load.done.then(() => {
    loading = false
  })
  const problems: string[] = []
  const notes: string[] = []
  const scene: Scene = {
    world,
    load,
    chance,
    nodes,
    small,
    loading: () => loading,
    complain: (problem) => problems.push(problem),
    note: (measured) => notes.push(measured),
  }
  await Promise.all([loaded, row.plan?.(scene)])
  await Promise.all([...world.servers, ...world.consumers].map((program) => program.up()))
  await probe(scene)
  const ends = await drain(world, load, DRAIN)
  const allowed = {
    dup: mayRepeat(row, setting),
    lost: row.mayLose ?? false,
    forgotten: row.mayForget ?? false,
    refused: row.mayRefuse ?? false,
  }
  const verdict = await judge(world, load, ends, allowed, chance)
  await row.check?.(verdict, scene)
  load.close()
  pauses.disable()
  const longest = pauses.max / 1e9
  if (longest > LONG_PAUSE) notes.push(`vendor and people paused for ${longest.toFixed(1)} s`)
  verdict.problems.push(...problems)
  const seconds = (Date.now() - startedAt) / 1000
  return { ...verdict, row, setting, rounds: 1, seed, seconds, notes }
}

/** With a key that the vendor knows again, and at most once, no handset rings twice whatever happens. */
const mayRepeat = (row: Row, { delivery, vendor }: Setting): boolean =>
  (row.mayRepeat ?? false) && delivery === 'at-least-once' && vendor === 'twilio'

/** Sends until one goes through that began after the last fault. */
async function probe({ world, load, complain }: Scene): Promise<void> {
  const lastFault = Math.max(...world.faults.map(({ to }) => to))
  if (world.faults.length === 0) return
  const rang = () => {
    const phones = new Set(
      load.sends.flatMap((send) => (send.startedAt >= lastFault ? [send.phone] : [])),
    )
    return world.vendor.received.some((sms) => sms.accepted && phones.has(sms.phone))
  }
  const under: Promise<unknown>[] = []
  const healed = await eventually(async () => {
    if (rang()) return true
    under.push(load.send())
    return eventually(rang, 500)
  }, HEAL)
  if (!healed) complain(`no SMS within ${HEAL / 1000} s after the last fault`)
  await Promise.all(under)
}
