/** Compares what the people saw with what the vendor saw and what the consumers logged. */
import { setTimeout as sleep } from 'node:timers/promises'
import { MIN_REMAINING } from '../../src/queue/queue.ts'
import { createClient } from './client.ts'
import { ENDS, type End, type Ends, linesOf } from './drain.ts'
import type { Chance } from './random.ts'
import type { Sms } from './vendor.ts'
import type { Load, Send } from './workload.ts'
import { DELETION, type World } from './world.ts'

export interface Verdict {
  sends: number
  accepted: number
  /** Accepted, and neither an SMS nor another end. */
  lost: number
  /** The same, but in a queue that the fault deleted. */
  deleted: number
  /** Handsets that rang once more, by one for each time. */
  dup: number
  /** Of these, in a row without a reason for it, those after an answer of the vendor that came too late. */
  excused: number
  /** SMS for a send without a 202. */
  phantom: number
  /** Requests to the vendor after the code had died. */
  late: number
  /** Codes that did not verify exactly once. */
  wrong: number
  /** The same, where the row allows Redis to have forgotten them. */
  forgotten: number
  ends: Record<End, number>
  /** Ended as unknown, and no SMS was sent. */
  unsent: number
  /** Milliseconds from the 202 to the SMS, the longest. */
  slowest: number
  /** Milliseconds from the end of a fault to the SMS of a send that began after it, the longest. */
  heal: number
  problems: string[]
}

export interface Allowance {
  /** Handsets may ring again: a crash or an ambiguous answer fell between acceptance and our record of it. */
  dup: boolean
  /** Sends may be accepted and come to nothing. */
  lost: boolean
  /** Redis may have forgotten codes. */
  forgotten: boolean
  /** Sends that never get a 202. */
  refused: boolean
}

export async function judge(
  world: World,
  load: Load,
  ends: Ends,
  allowed: Allowance,
  chance: Chance,
): Promise<Verdict> {
  const bySend = new Map(load.sends.map((send) => [send.phone, send]))
  const byPhone = new Map<string, Sms[]>()
  for (const sms of world.vendor.received) {
    byPhone.set(sms.phone, [...(byPhone.get(sms.phone) ?? []), sms])
  }
  const smsOf = (send: Send) => (byPhone.get(send.phone) ?? []).filter((sms) => sms.accepted)
  const accepted = load.sends.filter((send) => send.accepted)
  const problems: string[] = []
  const complain = (count: number, what: string) => {
    if (count > 0) problems.push(`${count} ${what}`)
  }

  const endsOf = (send: Send) => ends.get(send.accepted?.id ?? '') ?? new Set<End>()
  const lost = accepted.filter((send) => endsOf(send).size === 0 && smsOf(send).length === 0)
  const none = accepted.filter((send) => endsOf(send).size === 0)
  const several = accepted.filter((send) => endsOf(send).size > 1)
  // What the broker says was in a queue that it deleted is of the moment before: what it took meanwhile went with it.
  const meanwhile = lost.filter(({ accepted }) =>
    world.faults.some(
      ({ what, from, to }) =>
        what === DELETION && accepted && accepted.at >= from && accepted.at <= to,
    ),
  )
  const deleted = Math.min(meanwhile.length + world.deleted, lost.length)
  if (!allowed.lost) {
    complain(lost.length - deleted, 'lost')
    complain(none.length - deleted, `accepted without an end, ${none[0]?.accepted?.id}`)
  }
  const example = several[0]
  complain(
    several.length,
    `with more than one end, ${example && [...endsOf(example)]} of ${example?.accepted?.id}`,
  )

  const dupOf = (sends: Send[]) =>
    sends.reduce((sum, send) => sum + Math.max(smsOf(send).length - 1, 0), 0)
  const dup = dupOf(load.sends)
  // On a machine that is busy enough the vendor's answer can come too late; nobody knows then what became of the SMS.
  const unanswered = new Set(
    linesOf(world).flatMap(({ id, outcome }) => (outcome === 'ambiguous' ? [id] : [])),
  )
  const { delivery, vendor } = world.setting
  const mayAskAgain = delivery === 'at-least-once' && vendor === 'twilio'
  const excused = mayAskAgain
    ? dupOf(load.sends.filter(({ accepted }) => unanswered.has(accepted?.id)))
    : 0
  if (!allowed.dup) complain(dup - excused, 'sent twice')
  const codes = load.sends.filter((send) => new Set(smsOf(send).map(({ code }) => code)).size > 1)
  complain(codes.length, 'numbers got two different codes')
  const strangers = [...byPhone.keys()].filter((phone) => !bySend.has(phone))
  complain(strangers.length, 'SMS to numbers that nobody asked for')

  const refused = load.sends.filter((send) => !send.accepted)
  if (!allowed.refused) complain(refused.length, 'never accepted')
  const phantoms = refused.filter((send) => smsOf(send).length > 0)
  // Somebody who was told 503, or nothing, knows that it may still come.
  const unjustified = phantoms.filter((send) =>
    send.tries.every(({ status }) => status !== 0 && status !== 503),
  )
  complain(unjustified.length, 'sent without a 202 and without a doubt about it')

  const late = world.vendor.received.filter(({ phone, at }) => {
    const { accepted } = bySend.get(phone) ?? {}
    return accepted && at > accepted.at + accepted.expiresIn * 1000
  })
  complain(late.length, 'late')
  const short = world.vendor.received.filter(
    ({ validity = MIN_REMAINING }) => validity < MIN_REMAINING,
  )
  complain(short.length, `begun with less than ${MIN_REMAINING} s left`)
  const { wrong, forgotten, answers } = await verifyAll(world, accepted, smsOf, chance)
  complain(
    allowed.forgotten ? wrong - forgotten : wrong,
    `did not verify exactly once, but answered ${answers}`,
  )
  for (const { crashes } of [...world.servers, ...world.consumers]) problems.push(...crashes)

  const arrivals = accepted.flatMap((send) => {
    const [first] = smsOf(send)
    return first && send.accepted ? [{ send, at: first.at, took: first.at - send.accepted.at }] : []
  })
  // Of a fault that another one followed before anything could heal, the other one's time counts.
  const heals = world.faults.flatMap(({ to }) => {
    const next = min(world.faults.flatMap(({ from }) => (from > to ? [from] : [])))
    const after = min(arrivals.flatMap(({ send, at }) => (send.startedAt >= to ? [at] : [])))
    return after < next ? [after - to] : []
  })
  const count = (end: End) => accepted.filter((send) => endsOf(send).has(end)).length
  const unknown = accepted.filter((send) => endsOf(send).has('unknown'))
  return {
    sends: load.sends.length,
    accepted: accepted.length,
    lost: lost.length - deleted,
    deleted,
    dup,
    excused: allowed.dup ? 0 : excused,
    phantom: phantoms.length,
    late: late.length,
    wrong: allowed.forgotten ? wrong - forgotten : wrong,
    forgotten,
    ends: Object.fromEntries(ENDS.map((end) => [end, count(end)])) as Record<End, number>,
    unsent: unknown.filter((send) => smsOf(send).length === 0).length,
    slowest: max(arrivals.map(({ took }) => took)),
    heal: max(heals),
    problems,
  }
}

/** The codes to verify at most; each takes two requests. */
const SAMPLE = 1000

/** Milliseconds of its life that a code must still have to be tried. */
const MARGIN = 5000

async function verifyAll(
  world: World,
  accepted: Send[],
  smsOf: (send: Send) => Sms[],
  chance: Chance,
): Promise<{ wrong: number; forgotten: number; answers: string }> {
  const client = createClient()
  const port = world.ports[0] as number
  const lives = ({ accepted }: Send, ms: number) =>
    accepted !== undefined && accepted.at + accepted.expiresIn * 1000 > Date.now() + ms
  const candidates = accepted.filter((send) => lives(send, MARGIN) && smsOf(send).length > 0)
  const sample = candidates.filter(() => chance.next() < SAMPLE / candidates.length)
  let wrong = 0
  let forgotten = 0
  let answers = ''
  /** A 503 is no verdict: asked again until there is one. */
  const check = async (id: string | undefined, code: string) => {
    for (let tries = 1; ; tries++) {
      const { status } = await client.post(port, '/sms/verify', { id, code })
      if (status !== 503 || tries === 20) return { status, doubted: tries > 1 }
      await sleep(200)
    }
  }
  const worker = async () => {
    for (let send = sample.pop(); send; send = sample.pop()) {
      const { id } = send.accepted ?? {}
      if (!lives(send, MARGIN)) continue
      const code = smsOf(send).at(-1)?.code ?? ''
      const first = await check(id, code)
      const second = await check(id, code)
      const once = first.status === 200 && second.status === 410
      // A check that ran and whose answer was late has used the code up.
      if (once || (first.doubted && first.status === 410)) continue
      wrong++
      answers = `${first.status}, then ${second.status}`
      if (first.status === 410 && second.status === 410) forgotten++
    }
  }
  await Promise.all(Array.from({ length: 20 }, worker))
  client.close()
  return { wrong, forgotten, answers }
}

const max = (numbers: number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0)
const min = (numbers: number[]): number => numbers.reduce((a, b) => Math.min(a, b), Infinity)

/** Log lines of one event, of all consumers. */
export const logged = (world: World, event: string): number =>
  linesOf(world).filter((line) => line.event === event).length
