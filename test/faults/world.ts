/** All that one round of one row runs on: Redis, RabbitMQ, web servers, consumers, a vendor, and proxies between them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SmsVerifyOptions } from '../../src/plugin.ts'
import { openProxy, type Proxy as TcpProxy } from '../proxy.ts'
import { freePorts } from '../services/ports.ts'
import { startRedis } from '../services/redis.ts'
import type { Endpoint, Service } from '../services/service.ts'
import { redisUsers, urlAs } from '../users.ts'
import type { Programs } from './build.ts'
import { createProgram, type Program } from './program.ts'
import { type Broker, openBroker } from './queues.ts'
import { startVendor, type Vendor } from './vendor.ts'

export type Delivery = 'at-least-once' | 'at-most-once'

export interface Setting {
  delivery: Delivery
  vendor: Vendor['name']
  servers: number
  consumers: number
  /** Which program they are. */
  consumer: 'consumer' | 'early'
  /** Deliveries in hand of one consumer. */
  concurrency: number
  /** Seconds that a code lives. */
  ttl: number
  /** Of the plugin, besides. */
  options: Partial<SmsVerifyOptions>
  /** Whether a crash of Redis takes nothing with it. */
  durable: boolean
  /** What they log. */
  logLevel: { server: string; consumer: string }
  /** Whether each program reaches Redis and RabbitMQ through proxies of its own. */
  proxied: boolean
  /** Milliseconds that the clocks are wrong by. */
  serverClock: number
  consumerClock: number
}

export interface Links {
  redis: TcpProxy
  amqp: TcpProxy
}

/** A program, and its proxies where the row has them. */
export type Member = Program & { links: Links | undefined }

/** The fault that takes accepted jobs with it. */
export const DELETION = 'queues deleted'

/** Something that was done to the world, by this process's clock. */
export interface Fault {
  what: string
  from: number
  to: number
}

export interface World extends AsyncDisposable {
  setting: Setting
  redis: Service
  /** The URLs of RabbitMQ, several of a cluster. */
  amqp: string[]
  broker: Broker
  vendor: Vendor
  servers: Member[]
  consumers: Member[]
  ports: number[]
  /** Of the consumers. */
  healthPorts: number[]
  faults: Fault[]
  /** Messages that were in queues which a fault has deleted. */
  deleted: number
  /** Does something and notes when it began and ended. */
  fault(what: string, act: () => Promise<unknown> | unknown): Promise<void>
  elapsed(): number
}

const SECRET = 'a secret of the fault suite of more than thirty-two bytes'

/** Redis that a crash takes nothing from, as the README asks for, with the users of docs/least-privilege.md. */
export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'everysec', ...redisUsers()]

/** Where nothing crashes: a busy disk would hold up every answer. */
const FORGETFUL = redisUsers()

export async function createWorld(
  programs: Programs,
  rabbitmq: Pick<Endpoint, 'url'>[],
  setting: Setting,
): Promise<World> {
  const endings: (() => Promise<unknown> | unknown)[] = []
  const amqp = rabbitmq.map(({ url }) => url)
  const queuePrefix = `faults-${process.pid}-${Math.random().toString(36).slice(2, 8)}`
  const redis = await startRedis({ args: setting.durable ? DURABLE : FORGETFUL })
  endings.push(() => redis.stop())
  const vendor = await startVendor(setting.vendor)
  endings.push(() => vendor.close())
  const broker = openBroker(amqp, queuePrefix)
  endings.push(() => broker.deleteQueues().catch(() => {}))
  const free = await freePorts(setting.servers + setting.consumers)
  const ports = free.slice(0, setting.servers)
  const healthPorts = free.slice(setting.servers)
  const options = { code: { ttl: setting.ttl }, ...setting.options }
  const startedAt = Date.now()

  async function member(
    options: Pick<Parameters<typeof createProgram>[0], 'name' | 'file' | 'started' | 'env'>,
    user: 'web' | 'consumer',
    clock: number,
  ): Promise<Member> {
    // Of a broker that we were given, where it has the users.
    const { AMQP_URL, WEB_AMQP_URL } = process.env
    const allowed = (url: string) => (WEB_AMQP_URL && url === AMQP_URL ? urlAs(url, user) : url)
    const urls = { redis: urlAs(redis.url, user), amqp: amqp.map(allowed) }
    const links = setting.proxied
      ? { redis: await openProxy(urls.redis), amqp: await openProxy(urls.amqp[0] as string) }
      : undefined
    const program = createProgram({
      ...options,
      preload: programs.preload,
      env: {
        ...options.env,
        REDIS_URL: links?.redis.url ?? urls.redis,
        AMQP_URL: links?.amqp.url ?? urls.amqp.join(),
        SMS_VERIFY_SECRET: SECRET,
        FAULTS_CLOCK_SKEW: String(clock),
      },
    })
    endings.push(async () => {
      await program.kill('SIGKILL')
      links?.redis.close()
      links?.amqp.close()
    })
    return Object.assign(program, { links })
  }

  const servers = await Promise.all(
    ports.map((port, i) =>
      member(
        {
          name: `server ${i + 1}`,
          file: programs.server,
          started: 'server.started',
          env: {
            PORT: String(port),
            OPTIONS: JSON.stringify(options),
            QUEUE_PREFIX: queuePrefix,
            LOG_LEVEL: setting.logLevel.server,
          },
        },
        'web',
        setting.serverClock,
      ),
    ),
  )
  const consumers = await Promise.all(
    Array.from({ length: setting.consumers }, (_, i) =>
      member(
        {
          name: `consumer ${i + 1}`,
          file: programs[setting.consumer],
          started: 'consumer.started',
          env: {
            ...vendor.env,
            SMS_QUEUE_PREFIX: queuePrefix,
            SMS_DELIVERY: setting.delivery,
            SMS_CONCURRENCY: String(setting.concurrency),
            SMS_HEALTH_PORT: String(healthPorts[i]),
            LOG_LEVEL: setting.logLevel.consumer,
          },
        },
        'consumer',
        setting.consumerClock,
      ),
    ),
  )
  async function end(): Promise<void> {
    for (const ending of endings.reverse()) await ending()
  }
  const starts = [...servers, ...consumers].map((program) => program.start())
  if (!(await withinSeconds(30, Promise.all(starts)))) {
    await end()
    throw new Error('the programs under test do not start')
  }

  const world: World = {
    setting,
    redis,
    amqp,
    broker,
    vendor,
    servers,
    consumers,
    ports,
    healthPorts,
    faults: [],
    deleted: 0,
    async fault(what, act) {
      const from = Date.now()
      await act()
      world.faults.push({ what, from, to: Date.now() })
      if (process.env.FAULTS_VERBOSE) console.log(`  ${world.elapsed()} ms: ${what}`)
    },
    elapsed: () => Date.now() - startedAt,
    [Symbol.asyncDispose]: end,
  }
  return world
}

async function withinSeconds(seconds: number, what: Promise<unknown>): Promise<boolean> {
  const late = sleep(seconds * 1000, false, { ref: false })
  return Promise.race([what.then(() => true), late])
}

/** Waits until it is so; false if it is not within that time. */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  ms: number,
): Promise<boolean> {
  const deadline = Date.now() + ms
  while (!(await isSo())) {
    if (Date.now() > deadline) return false
    await sleep(20)
  }
  return true
}
