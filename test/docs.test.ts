/** What the documents name is there. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { policyOf } from '../src/options.ts'
import { ATTACKS } from './attacks/attacks.ts'
import { perDay } from './attacks/defaults.ts'

const PAGES = ['README.md', 'CHANGELOG.md', ...readdirSync('docs').map((name) => `docs/${name}`)]

for (const page of PAGES) {
  test(`${page}: files, headings, tests and attacks that it names exist.`, () => {
    const text = readFileSync(page, 'utf8')
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(link)) continue
      const [path, anchor] = link.split('#') as [string, string | undefined]
      const file = path === '' ? page : join(dirname(page), path)
      assert.ok(existsSync(file), `${link}: no such file`)
      if (anchor) assert.ok(anchors(readFileSync(file, 'utf8')).includes(anchor), `${link}`)
    }
    for (const [, name = ''] of text.matchAll(/`([a-z-]+(?:\.test)?\.ts)`/g)) {
      assert.ok(existsSync(`test/${name}`) || existsSync(`src/${name}`), `${name}: no such test`)
    }
    for (const [, names = ''] of text.matchAll(/attacks? ((?:`[a-z-]+`(?:, )?)+)/g)) {
      for (const [, name] of names.matchAll(/`([a-z-]+)`/g)) {
        assert.ok(
          ATTACKS.some((attack) => attack.name === name),
          `${name}: no such attack`,
        )
      }
    }
  })
}

test('What a command is to write into the pages it has written.', () => {
  const blocks = PAGES.flatMap((page) => {
    const text = readFileSync(page, 'utf8')
    return [...text.matchAll(/<!-- ([\w-]+): written by .*? -->/g)].map(
      ({ 0: begin, 1: name, index }) => {
        const rest = text.slice(index + begin.length)
        const end = rest.indexOf(`<!-- /${name} -->`)
        return { block: `${page}: ${name}`, written: rest.slice(0, Math.max(end, 0)).trim() !== '' }
      },
    )
  })
  assert.ok(blocks.length > 0, 'no such block')
  const empty = blocks.filter(({ written }) => !written).map(({ block }) => block)
  assert.deepEqual(empty, [])
})

test('docs/security.md: its figures are those of the defaults.', () => {
  const text = readFileSync('docs/security.md', 'utf8').replaceAll(/\s+/g, ' ')
  const each = ['phone', 'ip', 'prefix'] as const
  const [number, address, prefix] = each.map(perDay)
  const bill = `${number} a day for a number, ${address} for an address, ${prefix} for ten thousand numbers in a row`
  assert.ok(text.includes(bill), bill)
  const { windows, live, checks, slowAfter, slowWindow, disableAfter } = policyOf({
    secret: '',
    countries: 'all',
  })
  const guesses = ((windows.at(-1)?.max ?? 0) + live) * checks
  assert.ok(guesses < 1e6 / 15_000, 'more than 1 in 15,000')
  const chance = Math.floor(1e6 / guesses).toLocaleString('en')
  assert.ok(
    text.includes(`at most ${guesses} in 24 hours, from however many addresses: 1 in ${chance}`),
  )
  assert.deepEqual([checks, slowAfter, slowWindow.max, disableAfter], [5, 15, 2, 100])
})

/** As GitHub makes them of headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\d\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
