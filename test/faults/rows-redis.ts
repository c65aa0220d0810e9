/** Rows in which Redis suffers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { openProxy } from '../proxy.ts'
import { startRedis } from '../services/redis.ts'
import { killRedis } from './nemesis.ts'
import type { Row, Scene } from './row.ts'
import { DURABLE } from './world.ts'

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
]

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
