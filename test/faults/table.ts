/** The table of results: on the screen, and in docs/reliability.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { ENDS } from './drain.ts'
import type { Row, RowResult } from './row.ts'

const FILE = 'docs/reliability.md'

const HEAD = [
  'Fault',
  'Run',
  'N × rounds',
  'Seed',
  'Accepted',
  'Lost',
  'Dup',
  'Late',
  'Phantom',
  'Wrong',
  'Ends',
  'Slowest SMS',
  'Heal time',
  'Also measured',
]

/** The rounds of one run of one row in one. */
export function sumUp(rounds: RowResult[]): RowResult {
  const [first] = rounds as [RowResult]
  const sum = (field: 'sends' | (typeof COUNTS)[number] | 'seconds') =>
    rounds.reduce((all, one) => all + one[field], 0)
  return {
    ...first,
    ...(Object.fromEntries(COUNTS.map((field) => [field, sum(field)])) as Counts),
    rounds: rounds.length,
    sends: sum('sends'),
    seconds: sum('seconds'),
    ends: Object.fromEntries(
      ENDS.map((end) => [end, rounds.reduce((all, { ends }) => all + ends[end], 0)]),
    ) as RowResult['ends'],
    slowest: Math.max(...rounds.map(({ slowest }) => slowest)),
    heal: Math.max(...rounds.map(({ heal }) => heal)),
    notes: rounds.flatMap(({ notes }) => notes),
    problems: rounds.flatMap(({ problems }) => problems),
  }
}

const COUNTS = [
  'accepted',
  'lost',
  'dup',
  'late',
  'phantom',
  'wrong',
  'forgotten',
  'unsent',
] as const

type Counts = Record<(typeof COUNTS)[number], number>

export const runName = ({ delivery, vendor }: RowResult['setting']): string =>
  delivery + (vendor === 'ronglian' ? ', with reqId' : '')

function cells(result: RowResult): string[] {
  const { row, setting, rounds, sends, seed, ends, unsent, forgotten } = result
  const some = ENDS.filter((end) => ends[end] > 0)
  const shown = some.map((end) => `${ends[end]} ${end}`)
  if (unsent > 0) shown.push(`${unsent} of the unknown never sent`)
  if (forgotten > 0) shown.push(`${forgotten} codes forgotten (410)`)
  const seconds = (ms: number) => (ms > 0 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s` : '–')
  return [
    row.title,
    runName(setting),
    `${Math.round(sends / rounds)} × ${rounds}`,
    String(seed),
    ...[result.accepted, result.lost, result.dup, result.late, result.phantom, result.wrong].map(
      String,
    ),
    shown.join(', '),
    seconds(result.slowest),
    seconds(result.heal),
    result.notes.join('; '),
  ]
}

const line = (cells: string[]): string => `| ${cells.join(' | ')} |`

export function asTable(results: RowResult[]): string {
  return [line(HEAD), line(HEAD.map(() => '---')), ...results.map(cells).map(line)].join('\n')
}

/** Replaces the lines of these results and keeps those of the others, in the order of the rows. */
export function writeTable(results: RowResult[], rows: Row[], versions: string): void {
  const lines = new Map<string, string>()
  const keyOf = (fault = '', run = '') => `${fault.trim()}|${run.trim()}`
  for (const kept of readSection(TABLE).split('\n')) {
    const [, fault, run] = kept.split('|')
    if (run !== undefined) lines.set(keyOf(fault, run), kept)
  }
  for (const result of results) {
    const [fault, run] = cells(result)
    lines.set(keyOf(fault, run), line(cells(result)))
  }
  const order = new Map(rows.map(({ title }, i) => [title, i]))
  const place = (key: string) => order.get(key.split('|')[0] ?? '') ?? -1
  const sorted = [...lines]
    .filter(([key]) => place(key) >= 0)
    .sort(([one], [other]) => place(one) - place(other))
  const table = [line(HEAD), line(HEAD.map(() => '---')), ...sorted.map(([, text]) => text)]
  writeSection(TABLE, `${versions}\n\n${table.join('\n')}`)
}

const TABLE = 'faults'

/** Replaces what stands between the two comments of that name. */
export function writeSection(name: string, text: string): void {
  const page = readFileSync(FILE, 'utf8')
  const [begin, end] = sectionOf(page, name)
  writeFileSync(FILE, `${page.slice(0, begin)}\n\n${text}\n\n${page.slice(end)}`)
}

const readSection = (name: string): string => {
  const page = readFileSync(FILE, 'utf8')
  return page.slice(...sectionOf(page, name))
}

function sectionOf(page: string, name: string): [begin: number, end: number] {
  const before = `<!-- ${name}: written by npm run test:faults -- --write -->`
  const begin = page.indexOf(before)
  const end = page.indexOf(`<!-- /${name} -->`)
  if (begin < 0 || end < begin) throw new Error(`${FILE}: expected ${before} and its end`)
  return [begin + before.length, end]
}
