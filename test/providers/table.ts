/** The tables of what came of the outages and the mixed failures: on the screen, and in docs/providers.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { MixedResult } from './mixed.ts'
import type { OutageResult } from './outages.ts'

const FILE = 'docs/providers.md'
const BEGIN = '<!-- providers: written by npm run test:providers -- --write -->'
const END = '<!-- /providers -->'

const line = (cells: unknown[]): string => `| ${cells.join(' | ')} |`

const table = (head: string[], rows: unknown[][]): string =>
  [head, head.map(() => '---'), ...rows].map(line).join('\n')

const ms = (value: number | undefined): string =>
  value === undefined ? '–' : `${Math.round(value)} ms`

export const asTables = (outages: OutageResult[], mixed: MixedResult): string =>
  [
    table(
      [
        'Ronglian',
        'People',
        'Refused there to asked at Aliyun, same person',
        'Calls until the breaker opened',
        '202 to asked at Aliyun while it was open',
        'Back to asked first again',
        'SMS too many',
        'Without SMS',
      ],
      outages.map((result) => [
        result.outage.title,
        result.people,
        result.outage.passedOn ? ms(result.slowestPass) : 'asked again there, same `reqId`',
        result.callsToOpen,
        ms(result.slowestWhileOpen),
        `${result.secondsToClose.toFixed(1)} s`,
        result.duplicates,
        result.lost,
      ]),
    ),
    '',
    table(
      [
        'Sends',
        'Calls',
        'Failed calls',
        'Sent',
        'Given up',
        'SMS too many',
        'Ended otherwise than they had to',
      ],
      [
        [
          mixed.sends,
          mixed.calls,
          mixed.failures,
          mixed.ends['sms.sent'] ?? 0,
          mixed.ends['sms.dead'] ?? 0,
          mixed.duplicates,
          mixed.problems.length,
        ],
      ],
    ),
  ].join('\n')

export function write(tables: string): void {
  const page = readFileSync(FILE, 'utf8')
  const [begin, end] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)]
  if (begin < BEGIN.length || end < begin) throw new Error(`${FILE}: expected ${BEGIN} and ${END}`)
  writeFileSync(FILE, `${page.slice(0, begin)}\n\n${tables}\n\n${page.slice(end)}`)
}
