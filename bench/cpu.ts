/** CPU time by process, which says more on a busy machine than what a clock says. */
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import type { Figure, Line } from './row.ts'
import type { Running, World } from './world.ts'

/** Clock ticks a second of Linux, as it tells them to programs: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS = 100

/** Microseconds of CPU, of each program, of Redis, and of RabbitMQ where it can be told. */
export type Cpu<Name extends string = string> = Record<Name | 'redis' | 'rabbitmq', number>

/** So many units. */
interface Work {
  count: number
}

/** Runs, and answers with what each unit of the work cost. */
export async function withCost<Name extends string, Done extends Work>(
  world: World,
  programs: Record<Name, Running>,
  run: () => Promise<Done>,
): Promise<Done & { cost: Cpu<Name> }> {
  const before = await cpuOf(world, programs)
  const done = await run()
  const after = await cpuOf(world, programs)
  const names = Object.keys(before) as (keyof Cpu<Name>)[]
  const cost = Object.fromEntries(
    names.map((name) => [name, (after[name] - before[name]) / done.count]),
  ) as Cpu<Name>
  return { ...done, cost }
}

/** Of all of them together. */
export const sum = (cost: Cpu): number => Object.values(cost).reduce((all, one) => all + one, 0)

/** Lines of the table of costs, for what is done by `program`, and for what stands beside it. */
export function costLines(what: string, program: string, against: string) {
  const lineFor = (where: string): Line => ({
    ...{ table: 'costs', title: `one ${what}: ${where}`, unit: 'µs of CPU', against },
  })
  return { program: lineFor(program), redis: lineFor('Redis'), rabbitmq: lineFor('RabbitMQ') }
}

/** The figures for such lines. */
export const costFigures = (ours: Cpu<'program'>, other: Cpu<'program'>) => {
  const beside = (name: keyof Cpu<'program'>): Figure => ({ ours: ours[name], other: other[name] })
  return { program: beside('program'), redis: beside('redis'), rabbitmq: beside('rabbitmq') }
}

async function cpuOf<Name extends string>(
  world: World,
  programs: Record<Name, Running>,
): Promise<Cpu<Name>> {
  const all = { redis: await cpuOfRedis(world.redis.url), rabbitmq: await cpuOfBroker(world) }
  for (const [name, program] of Object.entries<Running>(programs)) {
    Object.assign(all, { [name]: (await program.ask('usage')).cpu })
  }
  return all as Cpu<Name>
}

async function cpuOfRedis(url: string): Promise<number> {
  const redis = new Redis(url)
  try {
    const info = await redis.info('cpu')
    const seconds = (name: string) => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1])
    return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1e6
  } finally {
    redis.disconnect()
  }
}

/** Not a number where it is no process of this machine's Linux. */
async function cpuOfBroker({ rabbitmq }: World): Promise<number> {
  const pid = process.env.BENCH_RABBITMQ_PID ?? rabbitmq.pid
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // Behind the name, which may have blanks in it: utime and stime are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6
}
