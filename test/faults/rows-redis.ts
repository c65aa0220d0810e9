/** Rows in which Redis suffers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { openProxy } from '../proxy.ts'
import { startRedis } from '../services/redis.ts'
import { killRedis } from './nemesis.ts'
import { type Row, RUNS, type Scene } from './row.ts'
import { DURABLE, type Fault } from './world.ts'

export const REDIS_ROWS: Row[] = [
  {
    name: 'redis-sigkill',
    title: 'Redis SIGKILL + restart (AOF) ×3',
    sends: 3000,
    small: 300,
    mayRepeat: true,
    async plan(scene) {
      for (let i = 0; i < (scene.small ? 1 : 3); i++) {
        await sleep(scene.chance.between(500, 3000))
        await killRedis(scene)
      }
    },
  },
  {
    name: 'redis-failover',
    title: 'Redis fail-over to a replica 100 ms behind',
    sends: 3000,
    mayRepeat: true,
    mayForget: true,
    setting: { proxied: true },
    plan: failOver,
  },
  {
    name: 'redis-stall',
    title: 'Redis SIGSTOP 3 s ×3, its scripts forgotten every 0.2 s',
    sends: 3000,
    mayRepeat: true,
    load: { rate: 150 },
    plan: stall,
  },
  {
    name: 'redis-wipe',
    title: 'FLUSHALL with all jobs in the queue',
    sends: 1000,
    small: 200,
    runs: RUNS.slice(0, 1),
    plan: wipe,
    check({ ends }, { world, load, complain }) {
      const { from } = world.faults[0] as Fault
      // The consumers may have sent the first ones before they had stopped.
      const sent = new Set(
        world.vendor.received.flatMap(({ at, phone }) => (at < from ? [phone] : [])),
      )
      const queued = load.sends.filter((send) => send.startedAt < from && !sent.has(send.phone))
      if (ends.state_lost !== queued.length || queued.length === 0) {
        complain(`${ends.state_lost} of ${queued.length} state-lost`)
      }
    },
  },
]

async function stall({ world, chance, loading }: Scene): Promise<void> {
  const client = new Redis(world.redis.url)
  const flushing = (async () => {
    while (loading()) {
      await client.script('FLUSH')
      await sleep(200)
    }
  })()
  for (let i = 0; i < 3; i++) {
    await sleep(chance.between(1000, 3000))
    await world.fault('SIGSTOP of Redis', async () => {
      await world.redis.kill('SIGSTOP')
      await sleep(3000)
      await world.redis.kill('SIGCONT')
    })
  }
  await flushing
  client.disconnect()
}

async function wipe({ world, load }: Scene): Promise<void> {
  await Promise.all(world.consumers.map((consumer) => consumer.kill('SIGTERM')))
  await load.done
  const client = new Redis(world.redis.url)
  await world.fault('FLUSHALL', () => client.flushall())
  client.disconnect()
  await Promise.all(world.consumers.map((consumer) => consumer.start()))
}

async function failOver({ world, chance, load }: Scene): Promise<void> {
  const lag = await openProxy(world.redis.url)
  const port = new URL(lag.url).port
  const replica = await startRedis({ args: [...DURABLE, '--replicaof', '127.0.0.1', port] })
  const client = new Redis(replica.url, { retryStrategy: () => null })
  client.on('error', () => {})
  try {
    while (!(await client.info('replication')).includes('master_link_status:up')) await sleep(50)
    lag.delay = 100
    await sleep(chance.between(2000, 5000))
    await world.fault('fail-over of Redis', async () => {
      await world.redis.kill()
      lag.close()
      await client.replicaof('NO', 'ONE')
      for (const { links } of [...world.servers, ...world.consumers]) {
        if (links) links.redis.target = replica.url
      }
    })
    await load.done
  } finally {
    client.disconnect()
    // The round goes on with the replica; it is ended with the world's own Redis.
    const { stop } = world.redis
    world.redis.stop = async () => {
      await replica.stop()
      await stop()
    }
  }
}
