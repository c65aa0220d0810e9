/** Loaded in front of the programs under test: a clock that is wrong, a count of what is open, an end with the runner. */
import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const skew = Number(process.env.FAULTS_CLOCK_SKEW ?? 0)
if (skew !== 0) {
  const RealDate = Date
  const now = () => RealDate.now() + skew
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
    get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
  })
}

export interface Openings {
  sockets: number
  /** Of all events of the sockets and of the process. */
  listeners: number
  timers: number
  /** Bytes, after the garbage was collected. */
  rss: number
  heap: number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const sockets = new Set<WeakRef<Socket>>()
channel('net.client.socket').subscribe((message) => {
  sockets.add(new WeakRef((message as { socket: Socket }).socket))
})

function countOpenings(): Openings {
  const open = [...sockets].flatMap((ref) => {
    const socket = ref.deref()
    if (socket && !socket.destroyed) return [socket]
    sockets.delete(ref)
    return []
  })
  const emitters = [process as NodeJS.EventEmitter, ...open]
  collectGarbage()
  const { rss, heapUsed: heap } = process.memoryUsage()
  const listeners = emitters.flatMap((each) => each.eventNames().map((n) => each.listenerCount(n)))
  return {
    sockets: open.length,
    listeners: listeners.reduce((sum, count) => sum + count, 0),
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length,
    rss,
    heap,
  }
}

if (process.send) {
  process.on('message', () => process.send?.(countOpenings()))
  process.on('disconnect', () => process.exit(1))
  // The program must end by itself as it would without us.
  process.channel?.unref()
}
