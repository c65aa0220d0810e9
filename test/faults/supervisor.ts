/** Random scripts of faults on the connections alone, and a cut at every byte of their set-up. */
import { randomBytes } from 'node:crypto'
import type { Side } from '../proxy.ts'
import { openPair, type Pair, type Sent } from './pair.ts'
import { chanceFrom } from './random.ts'
import { type Alarm, HELLO, playScript } from './script.ts'
import { eventually } from './world.ts'

/** On the command line. */
export const SUPERVISOR = 'supervisor'

export interface SupervisorResult {
  scripts: number
  cuts: number
  confirmed: number
  delivered: number
  /** Confirmed before their queue was deleted, and not delivered. */
  deleted: number
  /** Milliseconds from the end of the last fault until a job sent after it was delivered; of each script. */
  heals: number[]
  /** Milliseconds, the longest of each. */
  start: number
  close: number
  problems: string[]
}

export interface SupervisorOptions {
  url: string
  scripts: number
  /** Bytes between two cuts. */
  stride: number
  seed: number
  /** Played last and alone, since everybody on the broker feels it. */
  alarm?: Alarm
  /** Milliseconds that everything may take longer, where others keep the machine busy. @default 0 */
  slack?: number
}

/** Milliseconds. */
const HEAL = 5000
// RabbitMQ 4.0 at times accepts nobody for 5 s after handshakes that broke.
const HEAL_AFTER_CUT = 6000
const START = 10_500
const CLOSE = 6000

/** Scripts at once; most of each is waiting. */
const AT_ONCE = 12

/** Scripts with an alarm. */
const ALARMS = 4

export async function playSupervisor(options: SupervisorOptions): Promise<SupervisorResult> {
  const { scripts, stride, seed, alarm } = options
  const result: SupervisorResult = {
    scripts,
    cuts: 0,
    confirmed: 0,
    delivered: 0,
    deleted: 0,
    heals: [],
    start: 0,
    close: 0,
    problems: [],
  }
  const onRejection = (reason: unknown) => result.problems.push(`unhandledRejection: ${reason}`)
  const onException = (error: unknown) => result.problems.push(`uncaughtException: ${error}`)
  process.on('unhandledRejection', onRejection)
  process.on('uncaughtException', onException)
  try {
    const seeds = Array.from({ length: scripts }, (_, i) => seed + i)
    const alarms = alarm ? seeds.splice(-ALARMS) : []
    await sideBySide(seeds, (one) => playOne(options, one, result))
    for (const one of alarms) await playOne(options, one, result, alarm)
    const offsets = Array.from({ length: Math.ceil(HELLO / stride) }, (_, i) => 1 + i * stride)
    await sideBySide(offsets, (bytes) => cutAtByte(options, bytes, result))
  } finally {
    process.off('unhandledRejection', onRejection)
    process.off('uncaughtException', onException)
  }
  return result
}

async function sideBySide<T>(items: T[], play: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await play(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

const newPair = (url: string) =>
  openPair(url, `supervisor-${process.pid}-${randomBytes(4).toString('hex')}`)

async function playOne(
  { url, slack = 0 }: SupervisorOptions,
  seed: number,
  result: SupervisorResult,
  alarm?: Alarm,
): Promise<void> {
  const chance = chanceFrom(seed)
  const pair = await newPair(url)
  const complain = (what: string) => result.problems.push(`script ${seed}: ${what}`)
  if (process.env.FAULTS_VERBOSE) console.log(`  script ${seed}`)
  const start = async () => {
    pair.keepSending()
    const longest = await pair.start()
    result.start = Math.max(result.start, longest)
    if (longest > START + slack) complain(`a start took ${longest} ms`)
  }
  await playScript(pair, chance, start, alarm)
  await works(pair, HEAL + slack, complain, result)
  const frozen = chance.next() < 0.3
  if (frozen) for (const proxy of pair.proxies) proxy.freeze(true)
  const took = await pair.close()
  result.close = Math.max(result.close, took)
  if (took > CLOSE + slack)
    complain(`closed after ${took} ms${frozen ? ', with a silent peer' : ''}`)
  await pair.clear()
}

/** After the last fault all is as if there had been none. */
async function works(
  pair: Pair,
  limit: number,
  complain: (what: string) => void,
  result: SupervisorResult,
): Promise<void> {
  const liftedAt = Date.now()
  const sent = () => [...pair.jobs.values()]
  const arrived = () =>
    pair.ready() && sent().some(({ at, deliveredAt }) => at >= liftedAt && deliveredAt)
  const healed = await eventually(arrived, limit + 15_000)
  const took = Date.now() - liftedAt
  result.heals.push(took)
  if (!healed || took > limit) complain(`a job came through ${took} ms after the last fault`)
  await pair.stopSending()

  const isLost = ({ at, result, deliveredAt }: Sent) =>
    result === 'done' && !deliveredAt && !(pair.deletedAt && at <= pair.deletedAt)
  await eventually(() => !sent().some(isLost), 20_000)
  const confirmed = sent().filter(({ result }) => result === 'done')
  const delivered = confirmed.filter(({ deliveredAt }) => deliveredAt)
  const lost = sent().filter(isLost).length
  result.confirmed += confirmed.length
  result.delivered += delivered.length
  result.deleted += confirmed.length - delivered.length - lost
  if (lost > 0) complain(`${lost} of ${confirmed.length} confirmed jobs were not delivered`)

  let consumers: number | undefined
  const one = await eventually(async () => {
    consumers = await pair.broker.consumers()
    return consumers === 1
  }, 5000)
  if (!one) complain(`${consumers} consumers on the send queue`)
}

/** Each side's connection is cut once as it is made and once as it is made again, by either peer. */
async function cutAtByte(
  { url, slack = 0 }: SupervisorOptions,
  bytes: number,
  result: SupervisorResult,
): Promise<void> {
  for (const from of ['client', 'server'] satisfies Side[]) {
    const pair = await newPair(url)
    const complain = (what: string) => result.problems.push(`cut at ${bytes} of ${from}: ${what}`)
    const arm = () => {
      for (const proxy of pair.proxies) proxy.cutAt = { from, bytes }
    }
    // What a proxy was told to cut and has not is further on than the set-up goes.
    const disarm = () => {
      result.cuts += pair.proxies.filter((proxy) => !proxy.cutAt).length
      for (const proxy of pair.proxies) proxy.cutAt = undefined
    }
    arm()
    pair.keepSending()
    await pair.start()
    disarm()
    arm()
    for (const proxy of pair.proxies) proxy.cut()
    await eventually(() => pair.ready(), HEAL)
    disarm()
    await works(pair, HEAL_AFTER_CUT + slack, complain, result)
    await pair.close()
    await pair.clear()
  }
}

/** One line for the table's page. */
export function supervisorLine(result: SupervisorResult, seed: number): string {
  const { scripts, cuts, confirmed, delivered, deleted, heals, start, close, problems } = result
  const sorted = [...heals].sort((one, other) => one - other)
  const seconds = (ms = 0) => `${(ms / 1000).toFixed(2)} s`
  const quantile = (part: number) => seconds(sorted[Math.floor((sorted.length - 1) * part)])
  return [
    `${scripts} scripts from seed ${seed} and ${cuts} cuts in the set-up:`,
    `${confirmed} jobs confirmed, ${delivered} delivered, ${deleted} deleted with their queue;`,
    `through again after ${quantile(0.5)} (median), ${quantile(0.99)} (99 %), ${quantile(1)} (longest);`,
    `longest start ${seconds(start)}, longest close ${seconds(close)}; ${problems.length} problems.`,
  ].join(' ')
}
