/** What a row of the bench is, and how its rounds become one line of a table. */
import type { World } from './world.ts'

/** One figure of a round, beside that of the floor, the peer or the plainer case that ran in the same round. */
export interface Figure {
  ours: number
  other?: number
}

export type Table = 'targets' | 'processes' | 'parts' | 'costs' | 'sums' | 'pace' | 'profile'

export interface Line {
  /** @default 'targets' */
  table?: Table
  title: string
  unit: string
  /** What stands beside it. */
  against?: string
  target?: Target
}

/** The share of the other's figure, or the figure itself. */
export interface Target {
  share?: { least?: number; most?: number }
  value?: { least?: number; most?: number }
}

/** One round; answers a figure for each line that it has measured. */
export type Round<Name extends string = string> = () => Promise<Record<Name, Figure>>

export interface Row<Name extends string = string> {
  /** For the command line. */
  name: string
  lines: Record<Name, Line>
  /**
   * How many times as many rounds as other rows: where shares that move from round to round are near to their targets. They are
   * better short: no machine is equally fast from one second to the next.
   * @default 1
   */
  times?: number
  /** Has to tell our modules apart, so they are not those few files that are published. */
  byModule?: boolean
  /** Starts what all rounds share; it ends with the world. */
  prepare(world: World): Promise<Round<Name>>
}

/** Keeps the names of the lines and of the figures the same. */
export const row = <Name extends string>(definition: Row<Name>): Row => definition as Row

/** Rounds that come first where ours stands beside ours. Elsewhere as many as are measured. */
export const SHORT_WARM_UP = 2

/** The round, once it has run so often, unmeasured: V8 goes on compiling for seconds, and what is measured runs for weeks. */
export async function warmed<Name extends string>(
  round: Round<Name>,
  times: number,
): Promise<Round<Name>> {
  for (let i = 0; i < times; i++) await round()
  return round
}

/** Starts so many, and runs another one each time: no two processes of a program are equally fast, for as long as they live. */
export async function inTurn<Name extends string>(
  count: number,
  start: () => Promise<Round<Name>>,
): Promise<Round<Name>> {
  const rounds: Round<Name>[] = []
  while (rounds.length < count) rounds.push(await start())
  let runs = 0
  return () => (rounds[runs++ % count] as Round<Name>)()
}

/**
 * Does the same with all of them one after the other, and answers what each came to. Another one is first each time, and once all have
 * been, they go the other way round: whoever was before still keeps Redis and RabbitMQ busy beside the next.
 */
export function createSideBySide() {
  let runs = 0
  return async <Name extends string, One, T>(
    all: Record<Name, One>,
    run: (one: One) => Promise<T>,
  ): Promise<Record<Name, T>> => {
    const names = Object.keys(all) as Name[]
    const first = runs % names.length
    const order = [...names.slice(first), ...names.slice(0, first)]
    if (Math.floor(runs / names.length) % 2 === 1) order.reverse()
    runs++
    const results = {} as Record<Name, T>
    for (const name of order) results[name] = await run(all[name])
    return results
  }
}

export interface Result {
  row: string
  table: Table
  line: Line
  /** Medians over the rounds; the share is that of shares, each within one round. */
  ours: number
  other: number | undefined
  share: number | undefined
  /** Undefined where there is no target. */
  met: boolean | undefined
}

export async function measure(row: Row, world: World): Promise<Result[]> {
  const rounds = world.rounds * (row.times ?? 1)
  const round = await row.prepare({ ...world, rounds })
  const done: Record<string, Figure>[] = []
  while (done.length < rounds) {
    const figures = await round()
    checkMeasured(row, figures)
    done.push(figures)
  }
  return Object.entries(row.lines).map(([name, line]) => {
    const figures = done.map((figures) => figures[name] as Figure)
    const { table = 'targets' } = line
    return { row: row.name, table, line, ...summary(figures, line.target) }
  })
}

/** Throws where a figure that has a target is none: the median of all would hide it. */
function checkMeasured({ name, lines }: Row, figures: Record<string, Figure>): void {
  for (const [line, { target }] of Object.entries(lines)) {
    const { ours = Number.NaN, other } = figures[line] ?? {}
    const measured = Number.isFinite(ours) && (target?.share ? Number.isFinite(other) : true)
    if (target && !measured) throw new Error(`${name}: ${line} was not measured`)
  }
}

function summary(figures: Figure[], target: Target | undefined) {
  const others = figures.flatMap(({ other }) => other ?? [])
  const ours = median(figures.map(({ ours }) => ours))
  const other = others.length > 0 ? median(others) : undefined
  const shares = figures.flatMap(({ ours, other }) => (other === undefined ? [] : [ours / other]))
  const share = shares.length > 0 ? median(shares) : undefined
  return { ours, other, share, met: target && isMet(target, ours, share) }
}

function isMet({ share, value }: Target, ours: number, shareOfOther = 0): boolean {
  const within = (figure: number, { least = 0, most = Number.POSITIVE_INFINITY } = {}) =>
    figure >= least && figure <= most
  return within(shareOfOther, share) && within(ours, value)
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  const [low = Number.NaN, high = low] = [sorted[Math.floor(half)], sorted[Math.ceil(half)]]
  return (low + high) / 2
}

/** Of figures in any order: what a share of them does not exceed. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
