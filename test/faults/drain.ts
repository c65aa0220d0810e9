/** Waits until everything accepted has come to its end, and looks up the ends whose log line a kill has cut off. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from './client.ts'
import type { LogLine } from './program.ts'
import type { Load } from './workload.ts'
import type { World } from './world.ts'

export const ENDS = ['sent', 'expired', 'superseded', 'dead', 'state_lost', 'unknown'] as const

export type End = (typeof ENDS)[number]

/** For each verification the ends that the consumers have logged, each once. */
export type Ends = Map<string, Set<End>>

/** Milliseconds without a line or a waiting message, after which nothing is in hand: longer than a vendor may take. */
const QUIET = 11_000

/** The same when of each open one it is known that an attempt was made: then no vendor is asked. */
const QUIET_TRIED = 4_000

const EVENTS = new Map<string | undefined, End>(ENDS.map((end) => [`sms.${end}`, end]))

/** What a later delivery says about an attempt that was made before. */
const OF_RESULT: Record<string, End> = { sent: 'sent', failed: 'dead', unknown: 'unknown' }

export function readEnds(world: World): Ends {
  const ends: Ends = new Map()
  const cutOff: Ends = new Map()
  const add = (to: Ends, id: string, end: End) => to.set(id, (to.get(id) ?? new Set()).add(end))
  for (const { event, id, result } of linesOf(world)) {
    if (!id) continue
    const end = EVENTS.get(event)
    if (end) add(ends, id, end)
    else if (event === 'sms.duplicate' && result && OF_RESULT[result]) {
      add(cutOff, id, OF_RESULT[result])
    }
  }
  for (const [id, found] of cutOff) if (!ends.has(id)) ends.set(id, found)
  return ends
}

const triedBefore = ({ event, id }: LogLine): string[] =>
  event === 'sms.duplicate' && id ? [id] : []

export const linesOf = (world: World): LogLine[] => world.consumers.flatMap(({ lines }) => lines)

/** At most `ms`. Asks the web server in the end for what no line tells. */
export async function drain(world: World, load: Load, ms: number): Promise<Ends> {
  const deadline = Date.now() + ms
  let last = { lines: -1, at: Date.now() }
  while (Date.now() < deadline) {
    const lines = linesOf(world).length
    const waiting = await world.broker.waiting()
    if (lines !== last.lines || waiting !== 0) last = { lines, at: Date.now() }
    const ended = readEnds(world)
    const open = load.sends.flatMap(({ accepted }) =>
      accepted && !ended.has(accepted.id) ? [accepted.id] : [],
    )
    const tried = new Set(linesOf(world).flatMap(triedBefore))
    const quiet = open.every((id) => tried.has(id)) ? QUIET_TRIED : QUIET
    if (waiting === 0 && (open.length === 0 || Date.now() - last.at > quiet)) break
    await sleep(200)
  }
  // What was printed a moment ago is still in the pipe.
  await sleep(100)
  const ends = readEnds(world)
  const STATUS: Record<string, End> = { sent: 'sent', failed: 'dead', expired: 'expired' }
  const client = createClient()
  for (const { accepted } of load.sends) {
    if (!accepted || ends.has(accepted.id)) continue
    const { body } = await client.get(world.ports[0] as number, `/sms/${accepted.id}`)
    const end = STATUS[String(body.status)]
    if (end) ends.set(accepted.id, new Set([end]))
  }
  client.close()
  return ends
}
