/** The real Redis and the real RabbitMQ of the tests: yours, or ones started for them alone. */
import { rabbitMQVersion, startRabbitMQ } from './services/rabbitmq.ts'
import { redisVersion, startRedis } from './services/redis.ts'
import type { Endpoint, Service, StartOptions } from './services/service.ts'

export { AS_SHIPPED, startRabbitMQ } from './services/rabbitmq.ts'
export { startRedis } from './services/redis.ts'
export type { Endpoint, Service, Signal, StartOptions } from './services/service.ts'

export interface Services extends AsyncDisposable {
  redis: Endpoint
  rabbitmq: Endpoint
  /** Ends what was started here; what was found keeps running. */
  stop(): Promise<void>
}

export interface ServicesOptions extends Omit<StartOptions, 'args'> {
  /** Where REDIS_URL and AMQP_URL are read. @default process.env */
  env?: Record<string, string | undefined>
  /** For a RabbitMQ that is started. */
  rabbitmqArgs?: string[]
}

/** Uses REDIS_URL and AMQP_URL where they are set, each on its own, and starts what is missing. */
export async function startServices(options: ServicesOptions = {}): Promise<Services> {
  const { env = process.env, rabbitmqArgs = [], ...startOptions } = options
  const failed = new AbortController()
  const signal = startOptions.signal
    ? AbortSignal.any([startOptions.signal, failed.signal])
    : failed.signal
  const starts = [
    env.REDIS_URL
      ? findService('Redis', 'REDIS_URL', env.REDIS_URL, redisVersion)
      : startRedis({ ...startOptions, signal }),
    env.AMQP_URL
      ? findService('RabbitMQ', 'AMQP_URL', env.AMQP_URL, rabbitMQVersion)
      : startRabbitMQ({ ...startOptions, args: rabbitmqArgs, signal }),
  ] as const
  for (const start of starts) start.catch((error: unknown) => failed.abort(error))
  const [redis, rabbitmq] = await Promise.allSettled(starts)

  async function stop(): Promise<void> {
    const owned = [redis, rabbitmq].map((start) =>
      start.status === 'fulfilled' && startedHere(start.value) ? start.value.stop() : undefined,
    )
    await Promise.all(owned)
  }

  if (redis.status === 'rejected' || rabbitmq.status === 'rejected') {
    await stop()
    throw joined([redis, rabbitmq])
  }
  return { redis: redis.value, rabbitmq: rabbitmq.value, stop, [Symbol.asyncDispose]: stop }
}

/** Not one that was found. */
export function startedHere(endpoint: Endpoint): endpoint is Service {
  return 'stop' in endpoint
}

async function findService(
  name: string,
  variable: string,
  url: string,
  probe: (url: string) => Promise<string>,
): Promise<Endpoint> {
  try {
    return { name, url, version: await probe(url), origin: `found by ${variable}` }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const advice = `Correct ${variable}, or unset it to have a ${name} started`
    throw new Error(`Expected a ${name} at ${variable}, got: ${reason}\n${advice}`, { cause })
  }
}

/** A start given up because the other one failed has the other's error as its reason. */
function joined(starts: PromiseSettledResult<Endpoint>[]): Error {
  const reasons = new Set(starts.flatMap((it) => (it.status === 'rejected' ? [it.reason] : [])))
  const [first, ...others] = [...reasons]
  if (others.length === 0 && first instanceof Error) return first
  return new AggregateError(reasons, [...reasons].map((it) => it?.message ?? it).join('\n\n'))
}
