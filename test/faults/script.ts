/** What can happen to a connection to RabbitMQ, and random scripts of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { RETRY, retryDelays } from '../../src/queue/queue.ts'
import { declareQueues } from '../../src/queue/topology.ts'
import type { Proxy as TcpProxy } from '../proxy.ts'
import type { RabbitMQ } from '../services/rabbitmq.ts'
import type { Pair } from './pair.ts'
import type { Chance } from './random.ts'

interface Victim {
  pair: Pair
  proxy: TcpProxy
  chance: Chance
  /** Milliseconds that what can last does. */
  ms: number
}

const FAULTS: Record<string, (victim: Victim) => unknown> = {
  cut: ({ proxy }) => proxy.cut(),
  'cut at a byte of the next connection': ({ proxy, chance }) => {
    proxy.cutAt = { from: chance.pick(['client', 'server']), bytes: chance.between(0, HELLO) }
    proxy.cut()
  },
  'refused connections': ({ proxy, ms }) => {
    proxy.refuse = true
    proxy.cut()
    return sleep(ms)
  },
  'a silent peer': ({ proxy, ms }) => {
    proxy.freeze(true)
    return sleep(ms)
  },
  // What is lost on the way never arrives later, so these two always end with a cut.
  'nothing from the server': ({ proxy, ms }) => {
    proxy.mute = true
    return sleep(ms).then(() => proxy.cut())
  },
  'nothing to the server': ({ proxy, ms }) => {
    proxy.deaf = true
    return sleep(ms).then(() => proxy.cut())
  },
  'channel closed with 404': ({ proxy }) => proxy.say(DECLARE_MISSING),
  'channel closed with 406': ({ proxy }) => proxy.say(ACK_UNKNOWN),
  'connection closed by the broker': ({ proxy }) => proxy.say(NO_FRAME),
  'queues deleted': ({ pair }) => deleteQueues(pair),
  'queues deleted and declared by another': async ({ pair }) => {
    await deleteQueues(pair)
    await pair.broker.use((channel) =>
      declareQueues(channel, pair.broker.prefix, retryDelays(RETRY)),
    )
  },
}

async function deleteQueues(pair: Pair): Promise<void> {
  await pair.broker.deleteQueues()
  pair.deletedAt = Date.now()
}

/** More bytes than either side says until everything is set up. */
export const HELLO = 2500

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

/** Does two to five things to one side or the other, one after the other or at once. Some happen before the start. */
export async function playScript(
  pair: Pair,
  chance: Chance,
  rabbitmq: RabbitMQ | undefined,
  start: () => Promise<void>,
): Promise<void> {
  const under: Promise<unknown>[] = []
  const strike = () => {
    const proxy = chance.pick(pair.proxies)
    // Now and then for longer than the peers take to miss each other, and than the longest wait between two tries.
    const ms = chance.next() < 0.1 ? chance.between(8000, 16_000) : chance.between(50, 3000)
    const strikes = FAULTS[chance.pick(Object.keys(FAULTS))]
    const fault = Promise.resolve(strikes?.({ pair, proxy, chance, ms })).then(() => lift(proxy))
    under.push(fault)
    return fault
  }
  if (chance.next() < 0.5) strike()
  await start()
  for (let left = chance.between(2, 5); left > 0; left--) {
    await sleep(chance.between(0, 700))
    const fault = strike()
    if (chance.next() < 0.7) await fault
  }
  if (rabbitmq) {
    await rabbitmq.control('set_vm_memory_high_watermark', '0.000001')
    await strike()
    await rabbitmq.control('set_vm_memory_high_watermark', '0.4')
  }
  await Promise.all(under)
  for (const proxy of pair.proxies) proxy.cutAt = undefined
}

function lift(proxy: TcpProxy): void {
  proxy.refuse = false
  proxy.mute = false
  proxy.deaf = false
  proxy.freeze(false)
}
