/** RabbitMQ runs out of memory, or so it thinks, and takes nothing until it has some again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RabbitMQ } from '../services/rabbitmq.ts'
import { linesOf } from './drain.ts'
import type { Verdict } from './judge.ts'
import { setAlarm } from './nemesis.ts'
import type { Scene } from './row.ts'

/** Milliseconds. */
const ALARM = 30_000
const PROMPT = 50
const RECOVERY = 2000

/** Until the broker has said so to a connection, which it does only when that one publishes. */
const NOTICE = 500

/** Bytes. */
const GROWTH = 20e6

export async function memoryAlarm(scene: Scene): Promise<void> {
  const { world, note, complain } = scene
  const [rabbitmq] = scene.nodes as [RabbitMQ]
  const [server] = world.servers
  // Slow, so that there is something left to deliver during the alarm, a third of it to be tried again.
  world.vendor.treat = ({ phone, nth }) => ({
    accept: nth > 0 || Number(phone) % 3 !== 0,
    after: 5000,
  })
  await sleep(2000)
  const before = (await server?.openings())?.rss ?? Number.NaN
  await world.fault('memory alarm', async () => {
    await setAlarm(rabbitmq, true)
    const from = Date.now() + NOTICE
    let most = 0
    while (Date.now() < from + ALARM) {
      await sleep(5000)
      most = Math.max(most, (await server?.openings())?.rss ?? 0)
    }
    const growth = most - before
    note(`memory of the API grew by ${(growth / 1e6).toFixed(1)} MB`)
    if (!(growth < GROWTH)) complain(`memory grew by ${growth} bytes during the alarm`)
    judgeAlarm(scene, from, Date.now())
    world.vendor.treat = () => ({ accept: true, after: 30 })
    await setAlarm(rabbitmq, false)
  })
}

function judgeAlarm({ world, load, note, complain }: Scene, from: number, to: number): void {
  const tries = load.sends.flatMap((send) => send.tries).filter(({ at }) => at > from && at < to)
  const others = tries.filter(({ status }) => status !== 503)
  const times = tries.map(({ ms }) => ms).sort((one, other) => one - other)
  const most = times[Math.floor(times.length * 0.99)] ?? Number.NaN
  note(`${tries.length} × 503 in ${most} ms (99 %), ${times.at(-1)} ms (longest)`)
  if (others.length > 0) complain(`${others.length} answers during the alarm were not 503`)
  if (!(most < PROMPT)) complain(`503 after ${most} ms`)
  const delivered = world.vendor.received.filter(({ at }) => at > from && at < to).length
  note(`${delivered} calls of the vendor meanwhile`)
  if (delivered === 0) complain('nothing was delivered during the alarm')
}

export function hasRecovered({ heal }: Verdict, { world, note, complain }: Scene): void {
  if (heal > RECOVERY) complain(`recovered ${heal} ms after the alarm`)
  const copies = linesOf(world).filter(({ event }) => event === 'sms.duplicate').length
  if (copies > 0) note(`${copies} jobs were queued twice and sent once`)
}
