/** Faults that several rows share. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scene } from './row.ts'
import type { Member } from './world.ts'

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
