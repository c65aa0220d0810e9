/** Starts a Redis of the test's own. */
import { Redis } from 'ioredis'
import { createContainerHost } from './docker.ts'
import { createLocalHost } from './local.ts'
import { findPlace, type Place } from './place.ts'
import { freePorts } from './ports.ts'
import { findProgram, searchPath } from './programs.ts'
import { type Host, launch, type Service, type StartOptions } from './service.ts'

const REDIS = {
  name: 'Redis',
  program: 'redis-server',
  find: (path: string) => findProgram('redis-server', path),
  image: 'redis:7',
  packages: { apt: 'redis-server', brew: 'redis' },
  variable: { name: 'REDIS_URL', example: 'redis://127.0.0.1:6379' },
}

/** Stores nothing on disk unless `args` say so, such as `--appendonly yes`. */
export async function startRedis(options: StartOptions = {}): Promise<Service> {
  const { args = [], signal } = options
  const path = searchPath(options.path)
  const place = await findPlace(REDIS, path)
  const [port] = (await freePorts(1)) as [number]
  return launch({
    name: REDIS.name,
    url: `redis://127.0.0.1:${port}`,
    port,
    host: await createHost(place, port, args),
    origin: place.origin,
    probe: redisVersion,
    deadline: 30,
    signal,
  })
}

async function createHost(place: Place, port: number, args: string[]): Promise<Host> {
  const volatile = ['--save', '', '--appendonly', 'no', ...args]
  if ('docker' in place) {
    return createContainerHost(place.docker, {
      image: REDIS.image,
      ports: { inside: 6379, outside: port },
      args: ['redis-server', ...volatile],
    })
  }
  const network = ['--bind', '127.0.0.1', '--port', String(port)]
  return createLocalHost('redis', async (folder) => [
    {
      command: place.program,
      args: [...network, '--dir', folder, '--daemonize', 'no', ...volatile],
      env: process.env,
    },
  ])
}

/** Answers only when Redis does: while it loads its files, PING is refused. */
export async function redisVersion(url: string): Promise<string> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  let failure: Error | undefined
  redis.on('error', (error) => {
    failure = error
  })
  try {
    await redis.connect()
    await redis.ping()
    const server = await redis.info('server')
    return /^redis_version:(\S+)/m.exec(server)?.[1] ?? 'of unknown version'
  } catch (error) {
    // What rejects is only that the connection is closed; the event has said why.
    throw failure ?? error
  } finally {
    redis.disconnect()
  }
}
