/** CPU time by process, which says more on a busy machine than what a clock says. */
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import type { Figure, Line } from './row.ts'
import type { Running, World } from './world.ts'

/** Clock ticks a second of Linux, as it tells them to programs: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS = 100

/** Microseconds of CPU, of Redis, of RabbitMQ where it can be told, of a program, and of the vendor whom it calls. */
export interface Cpu {
  program: number
  redis: number
  rabbitmq: number
  vendor: number
}

/** So much work, at so many units a second. */
export interface Work {
  rate: number
  count: number
}

/** Runs, and answers with what each unit of the work cost. */
export async function withCost<Done extends Work>(
  world: World,
  { program, vendor }: { program: Running; vendor?: Running },
  run: () => Promise<Done>,
): Promise<Done & { cost: Cpu }> {
  const before = await cpuOf(world, program, vendor)
  const done = await run()
  const after = await cpuOf(world, program, vendor)
  const each = (name: keyof Cpu) => (after[name] - before[name]) / done.count
  const cost = {
    program: each('program'),
    redis: each('redis'),
    rabbitmq: each('rabbitmq'),
    vendor: each('vendor'),
  }
  return { ...done, cost }
}

/** Lines of the table of costs, for what is done by `program`, and for what stands beside it. */
export function costLines(what: string, program: string, against: string) {
  const lineFor = (where: string): Line => ({
    ...{ table: 'costs', title: `one ${what}: ${where}`, unit: 'µs of CPU', against },
  })
  return { program: lineFor(program), redis: lineFor('Redis'), rabbitmq: lineFor('RabbitMQ') }
}

/** The figures for such lines. */
export const costFigures = (ours: Cpu, other: Cpu) => {
  const beside = (name: keyof Cpu): Figure => ({ ours: ours[name], other: other[name] })
  return { program: beside('program'), redis: beside('redis'), rabbitmq: beside('rabbitmq') }
}

async function cpuOf(world: World, program: Running, vendor?: Running): Promise<Cpu> {
  return {
    program: (await program.ask('usage')).cpu,
    redis: await cpuOfRedis(world.redis.url),
    rabbitmq: await cpuOfBroker(world),
    vendor: vendor ? (await vendor.ask('usage')).cpu : 0,
  }
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
