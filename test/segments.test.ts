import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { countSegments } from '../src/segments.ts'

interface Vector {
  repeat?: string
  count?: number
  then?: string
  text?: string
  encoding: 'GSM-7' | 'UCS-2'
  segments: number
  messageBits: number
}

const vectors: { segments: Vector[] } = JSON.parse(
  readFileSync(new URL('vectors/sms-text-vectors.json', import.meta.url), 'utf8'),
)
const BITS = { 'GSM-7': 7, 'UCS-2': 16 }

test('Every vector has its alphabet, its length and its segments.', () => {
  assert.ok(vectors.segments.length >= 23)
  for (const { repeat = '', count = 0, then = '', text, ...expected } of vectors.segments) {
    const { units, ...counted } = countSegments(text ?? repeat.repeat(count) + then)
    const messageBits = units * BITS[counted.encoding]
    assert.deepEqual({ ...counted, messageBits }, expected, `${text ?? `${repeat} × ${count}`}`)
  }
})

test('All characters of GSM-7 count as such, the extended ones twice.', () => {
  const basic = '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./09:;<=>?¡AZÄÖÑÜ§¿azäöñüà'
  for (const each of basic) {
    assert.deepEqual(countSegments(each), { encoding: 'GSM-7', units: 1, segments: 1 }, each)
  }
  for (const each of '^{}\\[~]|€\f') {
    assert.deepEqual(countSegments(each), { encoding: 'GSM-7', units: 2, segments: 1 }, each)
  }
  for (const each of '`ç\t\u001b–’“…ïê中，【') {
    assert.deepEqual(countSegments(each), { encoding: 'UCS-2', units: 1, segments: 1 }, each)
  }
})

test('In mainland China every character counts like a Chinese one, the signature included.', () => {
  for (const [text, units, segments] of [
    ['', 0, 1],
    ['a'.repeat(70), 70, 1],
    ['a'.repeat(71), 71, 2],
    ['a'.repeat(134), 134, 2],
    ['a'.repeat(135), 135, 3],
    ['€'.repeat(70), 70, 1],
    [`【云通讯】${'中'.repeat(65)}`, 70, 1],
    [`【云通讯】${'中'.repeat(66)}`, 71, 2],
  ] as const) {
    const counted = countSegments(text, { mainland: true })
    assert.deepEqual(counted, { encoding: 'UCS-2', units, segments }, text)
  }
})
