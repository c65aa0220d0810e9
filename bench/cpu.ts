/** CPU time by process, which says more on a busy machine than what a clock says. */
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import type { Running, World } from './world.ts'

/** Clock ticks a second of Linux, as it tells them to programs: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS = 100

/** Microseconds of CPU since the start, of Redis, of RabbitMQ where it can be told, and of a program. */
export interface Cpu {
  redis: number
  rabbitmq: number
  program: number
}

export async function cpuOf(world: World, program: Running): Promise<Cpu> {
  const { cpu } = await program.ask('usage')
  return {
    program: cpu,
    redis: await cpuOfRedis(world.redis.url),
    rabbitmq: await cpuOfBroker(world),
  }
}

/** What each unit of the work in between took. */
export const perUnit = (before: Cpu, after: Cpu, units: number): Cpu => ({
  program: (after.program - before.program) / units,
  redis: (after.redis - before.redis) / units,
  rabbitmq: (after.rabbitmq - before.rabbitmq) / units,
})

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
