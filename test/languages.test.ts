import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acceptedLanguages } from '../src/languages.ts'

test('Accept-Language is read best first, and in its order among equals.', () => {
  for (const [header, languages] of [
    ['zh-CN', ['zh-CN']],
    ['zh-CN,zh;q=0.9,en;q=0.8', ['zh-CN', 'zh', 'en']],
    ['da, en-gb;q=0.8, en;q=0.7', ['da', 'en-gb', 'en']],
    ['en;q=0.1, fr;q=0.500 , de ; q=1.0,it', ['de', 'it', 'fr', 'en']],
    ['zh-Hant-HK ;Q=0.3,en;q=0.300', ['zh-Hant-HK', 'en']],
    ['en;q=0, fr', ['fr']],
    ['*', undefined],
    ['*;q=0.5, en;q=0.1', ['en']],
  ] as const) {
    assert.deepEqual(acceptedLanguages(header), languages, header)
  }
})

test('What cannot be read is passed over, and no header is no language.', () => {
  for (const header of [
    ...[undefined, '', ' ', ',', ';', ';q=1', 'en;q', 'en;q=', 'en;q=2', 'en;q=-1', 'en;q=0.1234'],
    ...['en_US', 'e n', 'en;level=1', 'a'.repeat(33), '{{7*7}}', '<b>', 'é', 'en\r\nX: y', '\0'],
  ]) {
    assert.equal(acceptedLanguages(header), undefined, header)
    assert.deepEqual(acceptedLanguages(`${header ?? ''},fr;q=0.1`), ['fr'], header)
  }
})

test('However long it is, it takes no time and gives no more than five.', () => {
  const startedAt = performance.now()
  for (const header of [
    'en,'.repeat(1e5),
    `${' '.repeat(1e5)}x`,
    `en${' '.repeat(1e5)};`,
    `en;q=0.1${'\t '.repeat(1e5)}x,fr`,
    `${'-'.repeat(1e5)},fr`,
  ]) {
    assert.ok((acceptedLanguages(header)?.length ?? 0) <= 5)
  }
  assert.ok(performance.now() - startedAt < 500)
  assert.equal(acceptedLanguages(`${'*,'.repeat(20)}en`), undefined)
})
