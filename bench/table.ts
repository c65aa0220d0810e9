/** The results: on the screen, in the documents, and what follows from them in docs/scaling.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { Services } from '../test/services.ts'
import { modelOf } from './model.ts'
import type { Result, Table, Target } from './row.ts'

const FILE = 'docs/performance.md'
const SCALING_FILE = 'docs/scaling.md'
const README = 'README.md'

/** The rows that the README shows. */
const IN_SHORT = ['send', 'verify', 'consumer', 'noop', 'pace']

const HEADS: Record<Table, string[]> = {
  targets: ['Row', 'What', 'Ours', 'Beside it', 'Share', 'Target', 'Met'],
  processes: ['What', 'Ours', 'Beside it', 'Share'],
  parts: ['What', 'The parts alone', 'Beside it', 'Share'],
  costs: ['What', 'Ours', 'Beside it', 'Share'],
  sums: ['What', 'Ours', 'Beside it', 'Share'],
  pace: ['What', 'Ours', 'Beside it', 'Share'],
  profile: ['What', 'Ours', 'Beside it', 'Share'],
}

export function describe({ redis, rabbitmq }: Services): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  const machine = `${cpus().length} × ${cpu?.model.trim()}, ${memory} GiB`
  return `${machine}; Node ${process.versions.node}, Redis ${redis.version}, RabbitMQ ${rabbitmq.version}.`
}

/** One line for the screen. */
export function say({ row, line, ...result }: Result): string {
  const { ours, other, share, met } = result
  const beside =
    other === undefined ? '' : `, ${format(share)} of ${format(other)} (${line.against})`
  const target = line.target ? `; target ${asText(line.target)}: ${met ? 'met' : 'NOT MET'}` : ''
  return `${row}: ${line.title}: ${format(ours)} ${line.unit}${beside}${target}`
}

/** The tables that have lines in these results. */
export function asTables(results: Result[]): string {
  const names = Object.keys(HEADS) as Table[]
  const tables = [...names.map((name) => tableOf(name, results)), modelOf(results)]
  return tables.filter((table) => table !== '').join('\n\n')
}

/** Writes the tables into the documents; each takes the place of the one from before, so all rows have to be there. */
export function write(results: Result[], about: string): void {
  replace(README, 'figures', `${inShort(results)}\n\n${about}`)
  replace(FILE, 'machine', about)
  for (const name of Object.keys(HEADS) as Table[]) {
    const table = tableOf(name, results)
    if (table !== '') replace(FILE, name, table)
  }
  const model = modelOf(results)
  if (model !== '') replace(SCALING_FILE, 'model', model)
}

function tableOf(name: Table, results: Result[]): string {
  const rows = results.filter(({ table }) => table === name).map(cells)
  if (rows.length === 0) return ''
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  const head = HEADS[name]
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function cells({ row, table, line, ours, other, share, met }: Result): string[] {
  const { title, unit, against, target } = line
  const beside = other === undefined ? '–' : `${format(other)} (${against})`
  const figures = [title, `${format(ours)} ${unit}`, beside, format(share)]
  if (table !== 'targets') return figures
  return [`\`${row}\``, ...figures, target ? asText(target) : '–', target ? yesOrNo(met) : '–']
}

function inShort(results: Result[]): string {
  const lines = results
    .filter(({ row, table }) => table === 'targets' && IN_SHORT.includes(row))
    .map(({ line, ours, other, share }) => {
      const beside =
        other === undefined ? '' : `${format(share)} of ${format(other)}: ${line.against}`
      return `| ${line.title} | ${format(ours)} ${line.unit} | ${beside} |`
    })
  return ['| What | Ours | Beside it |', '| --- | --- | --- |', ...lines].join('\n')
}

const yesOrNo = (met: boolean | undefined): string => (met ? 'yes' : '**no**')

function asText({ share, value }: Target): string {
  const range = ({ least, most }: { least?: number; most?: number }) =>
    least === undefined ? `≤ ${most}` : `≥ ${least}`
  return share ? `${range(share)} of it` : value ? range(value) : '–'
}

function format(figure: number | undefined): string {
  if (figure === undefined || Number.isNaN(figure)) return '–'
  const digits = Math.abs(figure) < 10 ? 2 : Math.abs(figure) < 100 ? 1 : 0
  return figure.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}

/** What stands between the two comments of that name is replaced. */
function replace(file: string, name: string, text: string): void {
  const page = readFileSync(file, 'utf8')
  const before = `<!-- ${name}: written by npm run bench -- --write -->`
  const begin = page.indexOf(before)
  const end = page.indexOf(`<!-- /${name} -->`)
  if (begin < 0 || end < begin) throw new Error(`${file}: expected ${before} and its end`)
  const head = page.slice(0, begin + before.length)
  writeFileSync(file, `${head}\n\n${text}\n\n${page.slice(end)}`)
}
