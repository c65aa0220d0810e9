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
  'excused',
  'late',
  'phantom',
  'wrong',
  'forgotten',
  'deleted',
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
  if (result.excused > 0) shown.push(`${result.excused} of the dup after an answer that was late`)
  if (result.deleted > 0) shown.push(`${result.deleted} deleted with their queue`)
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

/**
 * Replaces the lines of these results and keeps those of the others, in the order of the rows; a table for each set of
 * versions, the oldest first.
 */
export function writeTable(results: RowResult[], rows: Row[], versions: string): void {
  const tables = readTables()
  const lines = tables.get(versions) ?? new Map<string, string>()
  for (const result of results) {
    const written = line(cells(result))
    lines.set(keyOf(written), written)
  }
  tables.set(versions, lines)
  const order = new Map(rows.map(({ title }, i) => [title, i]))
  const place = (key: string) => order.get(key.split('|')[0] ?? '') ?? -1
  const texts = [...tables].sort(byVersion).map(([of, lines]) => {
    const sorted = [...lines]
      .filter(([key]) => place(key) >= 0)
      .sort(([one], [other]) => place(one) - place(other))
    return [of, '', line(HEAD), line(HEAD.map(() => '---')), ...sorted.map(([, text]) => text)]
  })
  writeSection(TABLE, texts.map((text) => text.join('\n')).join('\n\n'))
}

/** By versions, and in them by row and run. */
function readTables(): Map<string, Map<string, string>> {
  const tables = new Map<string, Map<string, string>>()
  let lines = new Map<string, string>()
  for (const text of readSection(TABLE).split('\n')) {
    if (text.startsWith('Node ')) {
      lines = new Map()
      tables.set(text, lines)
    } else if (text.startsWith('| ')) lines.set(keyOf(text), text)
  }
  return tables
}

function keyOf(line: string): string {
  const [, fault = '', run = ''] = line.split('|')
  return `${fault.trim()}|${run.trim()}`
}

const byVersion = ([one]: [string, unknown], [other]: [string, unknown]): number =>
  one.localeCompare(other, 'en', { numeric: true })

const TABLE = 'faults'

/** Replaces the line of that version and keeps those of the others. */
export function writeLine(name: string, version: string, text: string): void {
  const head = `* ${version}: `
  const others = readSection(name)
    .split('\n')
    .filter((line) => line.startsWith('* ') && !line.startsWith(head))
  const lines = [...others, head + text].sort((one, other) =>
    one.localeCompare(other, 'en', { numeric: true }),
  )
  writeSection(name, lines.join('\n'))
}

/** Replaces what stands between the two comments of that name. */
function writeSection(name: string, text: string): void {
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
