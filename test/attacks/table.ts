/** The table of what came of the attacks: on the screen, and in docs/security.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Result } from './attack.ts'
import { ATTACKS } from './attacks.ts'

const FILE = 'docs/security.md'
const BEGIN = '<!-- attacks: written by npm run test:attacks -- --write -->'
const END = '<!-- /attacks -->'

const HEAD = [
  'Name',
  'Attack',
  'Tries',
  'Got through',
  'At most',
  'In a day, at the defaults',
  'Also measured',
]

const line = (cells: string[]): string => `| ${cells.join(' | ')} |`

const lineOf = ({ name, title, tries, through, most, unit, aDay, notes = [] }: Result): string =>
  line([
    `\`${name}\``,
    title,
    String(tries),
    `${through} ${unit}`,
    String(most),
    aDay ?? '',
    notes.join('; '),
  ])

const tableOf = (lines: string[]): string =>
  [line(HEAD), line(HEAD.map(() => '---')), ...lines].join('\n')

export const asTable = (results: Result[]): string => tableOf(results.map(lineOf))

/** Replaces the lines of these attacks and keeps those of the others. */
export function write(results: Result[]): void {
  const page = readFileSync(FILE, 'utf8')
  const [begin, end] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)]
  if (begin < BEGIN.length || end < begin) throw new Error(`${FILE}: expected ${BEGIN} and ${END}`)
  const old = page.slice(begin, end).split('\n')
  const lines = ATTACKS.flatMap(({ name }) => {
    const result = results.find((each) => each.name === name)
    const kept = old.find((text) => text.startsWith(`| \`${name}\` |`))
    return result ? [lineOf(result)] : (kept ?? [])
  })
  writeFileSync(FILE, `${page.slice(0, begin)}\n\n${tableOf(lines)}\n\n${page.slice(end)}`)
}
