/** What can happen to a connection to RabbitMQ, and random scripts of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Proxy as TcpProxy } from '../proxy.ts'
import { insist, type Pair } from './pair.ts'
import type { Chance } from './random.ts'
import { eventually } from './world.ts'

interface Victim {
  proxy: TcpProxy
  chance: Chance
  /** Milliseconds that what can last does. */
  ms: number
}

/** Sets RabbitMQ's memory alarm, and clears it. */
export type Alarm = (on: boolean) => Promise<unknown>

const FAULTS: Record<string, (victim: Victim) => unknown> = {
  cut: ({ proxy }) => proxy.cut(),
  'cut at a byte of the next connection': ({ proxy, chance }) => {
    proxy.cutAt = { from: chance.pick(['client', 'server']), bytes: chance.between(0, HELLO) }
    proxy.cut()
  },
  'refused connections': async ({ proxy, ms }) => {
    proxy.refuse = true
    proxy.cut()
    await sleep(ms)
    proxy.refuse = false
  },
  'a silent peer': async ({ proxy, ms }) => {
    proxy.freeze(true)
    await sleep(ms)
    proxy.freeze(false)
  },
  // What is lost on the way never arrives later, so these two always end with a cut.
  'nothing from the server': async ({ proxy, ms }) => {
    proxy.mute = true
    await sleep(ms)
    proxy.cut()
    proxy.mute = false
  },
  'nothing to the server': async ({ proxy, ms }) => {
    proxy.deaf = true
    await sleep(ms)
    proxy.cut()
    proxy.deaf = false
  },
  'channel closed with 404': ({ proxy }) => proxy.say(DECLARE_MISSING),
  'channel closed with 406': ({ proxy }) => proxy.say(ACK_UNKNOWN),
  'connection closed by the broker': ({ proxy }) => proxy.say(NO_FRAME),
}

/** More bytes than either side says until everything is set up. */
export const HELLO = 1500

/** https://www.rabbitmq.com/resources/specs/amqp0-9-1.extended.xml */
function methodFrame(classId: number, methodId: number, args: Buffer): Buffer {
  const frame = Buffer.alloc(11 + args.length + 1, 0xce)
  frame.writeUInt8(1, 0)
  // The first channel: ours have only one.
  frame.writeUInt16BE(1, 1)
  frame.writeUInt32BE(4 + args.length, 3)
  frame.writeUInt16BE(classId, 7)
  frame.writeUInt16BE(methodId, 9)
  args.copy(frame, 11)
  return frame
}

const PASSIVE = 1

/** 404: there is no such queue. */
export const DECLARE_MISSING = methodFrame(
  50,
  10,
  Buffer.from([0, 0, 7, ...Buffer.from('missing'), PASSIVE, 0, 0, 0, 0]),
)

/** 406: there is no such delivery. */
export const ACK_UNKNOWN = methodFrame(60, 80, Buffer.from([0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0]))

/** 501: that is no frame. */
const NO_FRAME = Buffer.from([9, 0, 0, 0, 0, 0, 0, 0])

/** Does two to six things to one side or the other, one after the other or at once; some of them before the start. */
export async function playScript(
  pair: Pair,
  chance: Chance,
  start: () => Promise<void>,
  alarm?: Alarm,
): Promise<void> {
  const under: Promise<unknown>[] = []
  const strike = () => {
    const proxy = chance.pick(pair.proxies)
    // Now and then for longer than the peers take to miss each other, and than the longest wait between two tries.
    const ms = chance.next() < 0.1 ? chance.between(8000, 16_000) : chance.between(50, 3000)
    const strikes = FAULTS[chance.pick(Object.keys(FAULTS))]
    const fault = Promise.resolve(strikes?.({ proxy, chance, ms }))
    under.push(fault)
    return fault
  }
  if (chance.next() < 0.5) strike()
  await start()
  for (let left = chance.between(1, 4); left > 0; left--) {
    await sleep(chance.between(0, 700))
    if (chance.next() < 0.2) {
      await Promise.all(under)
      await deleteQueues(pair)
    }
    const fault = strike()
    if (chance.next() < 0.7) await fault
  }
  await alarm?.(true)
  await strike()
  await alarm?.(false)
  await Promise.all(under)
  for (const proxy of pair.proxies) proxy.cutAt = undefined
}

/**
 * While both are up, and nothing else happens: a quorum queue that is declared in the moment in which it is deleted can
 * stay without a process in RabbitMQ 3.10, and nobody can consume from it any more.
 */
async function deleteQueues(pair: Pair): Promise<void> {
  for (const proxy of pair.proxies) proxy.cutAt = undefined
  await eventually(() => pair.ready(), 15_000)
  await insist(() => pair.broker.deleteQueues())
  pair.deletedAt = Date.now()
  // The consumer hears of it a little later.
  await sleep(200)
  await eventually(() => pair.ready(), 15_000)
}
