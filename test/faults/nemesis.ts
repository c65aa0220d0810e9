/** Faults that several rows share. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RabbitMQ } from '../services/rabbitmq.ts'
import type { Scene } from './row.ts'
import { DELETION, type Member } from './world.ts'

/** Does it every `ms` while the load goes on. */
export async function every(
  { loading }: Scene,
  ms: number,
  act: () => Promise<unknown> | unknown,
): Promise<void> {
  while (loading()) {
    await sleep(ms)
    if (loading()) await act()
  }
}

/** Kills one of them and has it started again, without waiting for that. */
export async function killOne(scene: Scene, members: Member[]): Promise<void> {
  const victim = scene.chance.pick(members)
  await scene.world.fault(`SIGKILL of ${victim.name}`, () => victim.kill('SIGKILL'))
  void victim.start()
}

/** Kills the one broker and waits until it is back. */
export async function killBroker({ world, nodes }: Scene): Promise<void> {
  await world.fault('SIGKILL of RabbitMQ', async () => {
    await nodes[0]?.kill()
    await nodes[0]?.restart()
  })
}

/** Cuts all connections of one of them. */
export async function cutOne(scene: Scene, members: Member[]): Promise<void> {
  const victim = scene.chance.pick(members)
  await scene.world.fault(`connections of ${victim.name} cut`, () => {
    victim.links?.redis.cut()
    victim.links?.amqp.cut()
  })
}

/** For as long as that nothing passes between one of them and Redis and RabbitMQ. */
export async function freezeOne(scene: Scene, members: Member[], ms: number): Promise<void> {
  const victim = scene.chance.pick(members)
  const freeze = (frozen: boolean) => {
    victim.links?.redis.freeze(frozen)
    victim.links?.amqp.freeze(frozen)
  }
  await scene.world.fault(`${victim.name} cut off for ${ms} ms`, async () => {
    freeze(true)
    await sleep(ms)
    freeze(false)
  })
}

/** What the broker says to the servers is lost, and in the end the connections are. */
export async function dropConfirms({ world }: Scene, ms: number): Promise<void> {
  await world.fault('confirms dropped, then cut', async () => {
    for (const { links } of world.servers) if (links) links.amqp.mute = true
    await sleep(ms)
    for (const { links } of world.servers) {
      links?.amqp.cut()
      if (links) links.amqp.mute = false
    }
  })
}

export async function deleteQueues({ world }: Scene): Promise<void> {
  await world.fault(DELETION, async () => {
    world.deleted += await world.broker.deleteQueues()
  })
}

export async function killRedis({ world, chance }: Scene): Promise<void> {
  await world.fault('SIGKILL of Redis', async () => {
    await world.redis.kill()
    await sleep(chance.between(0, 1000))
    await world.redis.restart()
  })
}

export async function vendorDown({ world }: Scene, ms: number): Promise<void> {
  await world.fault('vendor down', async () => {
    await world.vendor.down()
    await sleep(ms)
    await world.vendor.up()
  })
}

/** Has RabbitMQ believe that it has no memory left, or that it has. */
export const setAlarm = (rabbitmq: RabbitMQ, on: boolean): Promise<unknown> =>
  rabbitmq.control('set_vm_memory_high_watermark', on ? '0.000001' : '0.4')
