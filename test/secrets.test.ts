import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hmac, macKey } from '../src/hmac.ts'
import {
  createSecrets,
  deliveryKey,
  ID_PATTERN,
  newCode,
  newNonce,
  shardOf,
  tokenHash,
} from '../src/secrets.ts'

const OLD = 'the old secret, which has more than thirty-two bytes'
const NEW = 'the new secret, which has more than thirty-two bytes'
const PHONE = '+8613800138000'

const old = createSecrets(OLD)
const fresh = createSecrets(NEW)
const both = createSecrets([NEW, OLD])

test('A code has the asked number of digits, and leading zeros stay.', () => {
  for (const length of [6, 7, 8, 9, 10]) {
    const codes = Array.from({ length: 1000 }, () => newCode(length))
    for (const code of codes) assert.match(code, new RegExp(`^[0-9]{${length}}$`))
    // All 1,000 beginning with another digit has a chance of 1 in 10^45.
    assert.ok(codes.some((code) => code.startsWith('0')))
  }
})

test('Every digit is equally likely in every place of a code.', () => {
  const LENGTH = 6
  const COUNT = 200_000
  const counts = Array.from({ length: LENGTH }, () => new Array<number>(10).fill(0))
  const seen = new Set<string>()
  for (let i = 0; i < COUNT; i++) {
    const code = newCode(LENGTH)
    seen.add(code)
    for (const [place, digit] of [...code].entries()) {
      const places = counts[place] as number[]
      places[Number(digit)] = (places[Number(digit)] as number) + 1
    }
  }
  const expected = COUNT / 10
  for (const [place, observed] of counts.entries()) {
    const chiSquare = observed.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
    // 9 degrees of freedom: more than 100 has a chance of 1 in 10^17.
    assert.ok(chiSquare < 100, `place ${place}: chi-square ${chiSquare}`)
  }
  // Drawn from 10^6 with repetition, 181,269 different ones are expected, give or take 120.
  assert.ok(Math.abs(seen.size - 181_269) < 1500, `${seen.size} different codes`)
})

test('No source file but the one that spreads reconnects uses Math.random.', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  const users = files.filter(
    (file) => file.endsWith('.ts') && readFileSync(`src/${file}`, 'utf8').includes('Math.random'),
  )
  assert.deepEqual(users, ['queue/connection.ts'])
})

test('An id has the form of ids, begins with the shard of its number, and comes once.', () => {
  const mac = old.phoneMac(PHONE)
  const ids = new Set(Array.from({ length: 20_000 }, () => old.newId(mac)))
  assert.equal(ids.size, 20_000)
  for (const id of ids) {
    assert.match(id, ID_PATTERN)
    assert.equal(shardOf(id), shardOf(mac))
  }
  assert.equal(ID_PATTERN.test(`${old.newId(mac)}\n`), false)
})

test('Every character of an id after its shard takes all 64 values.', () => {
  const seen = Array.from({ length: 24 }, () => new Set<string>())
  for (let i = 0; i < 5000; i++) {
    for (const [place, character] of [...old.newId(old.phoneMac(PHONE))].entries()) {
      seen[place]?.add(character)
    }
  }
  // One of the 22 × 64 missing in 5,000 draws has a chance of 1 in 10^31.
  const spread = seen.map((characters) => characters.size)
  assert.deepEqual(spread, [1, 1, ...new Array<number>(22).fill(64)])
})

test('Numbers spread over all 4,096 shards, and differently under each secret.', () => {
  const phones = Array.from({ length: 50_000 }, (_, i) => `+86138${String(i).padStart(8, '0')}`)
  const shards = phones.map((phone) => shardOf(old.phoneMac(phone)))
  assert.equal(new Set(shards).size, 4096)
  const same = phones.filter((phone, i) => shardOf(fresh.phoneMac(phone)) === shards[i])
  assert.ok(same.length < 100, `${same.length} of 50,000 in the same shard`)
})

test('An idempotent id is the same for the same parts and another for any changed part.', () => {
  const mac = old.phoneMac(PHONE)
  const id = old.newId(mac, ['login', '', 'key'])
  assert.equal(old.newId(mac, ['login', '', 'key']), id)
  assert.match(id, ID_PATTERN)
  assert.equal(shardOf(id), shardOf(mac))

  // In the same shard, so that what differs is not the shard alone.
  const sameShard = `${shardOf(mac)}${old.phoneMac('+8613800138001').slice(2)}`
  const others = [
    old.newId(sameShard, ['login', '', 'key']),
    old.newId(mac, ['signup', '', 'key']),
    old.newId(mac, ['login', 'x', 'key']),
    old.newId(mac, ['login', '', 'Key']),
    old.newId(mac, ['', 'login', 'key']),
    old.newId(mac, ['logi', 'n', 'key']),
    old.newId(mac, ['login', 'k', 'ey']),
    old.newId(mac, ['login', 'key']),
    old.newId(mac, ['login', '', 'key', '']),
    old.newId(mac, ['login', '', '3:key']),
    old.newId(mac, ['login', '0:', 'key']),
    old.newId(mac, ['login0:3:key']),
    old.newId(mac, []),
    old.newId(mac),
    fresh.newId(mac, ['login', '', 'key']),
  ]
  assert.equal(new Set([id, ...others]).size, others.length + 1)
})

test('The MAC of a code depends on the id, the code and the secret, and on where one ends.', () => {
  const mac = old.codeMac('an id', '012345')
  assert.equal(old.codeMac('an id', '012345'), mac)
  assert.equal(Buffer.from(mac, 'base64url').length, 16)
  const others = [
    old.codeMac('an id', '012346'),
    old.codeMac('an id', '12345'),
    old.codeMac('an ie', '012345'),
    old.codeMac('an id0', '12345'),
    old.codeMac('an i', 'd012345'),
    old.codeMac('', 'an id012345'),
    old.codeMac('an id6:012345', ''),
    fresh.codeMac('an id', '012345'),
  ]
  assert.equal(new Set([mac, ...others]).size, others.length + 1)
})

test('No two uses of a secret share a key.', () => {
  const text = 'the same text'
  const macs = [
    old.phoneMac(text),
    old.subjectMac(text),
    old.codeMac(text, ''),
    old.codeMac('', text),
    old.newId(text, []).slice(2),
    tokenHash(text),
  ]
  assert.equal(new Set(macs.map((mac) => mac.slice(0, 16))).size, macs.length)
})

test('What was sealed opens with its context only.', () => {
  for (const plain of ['', PHONE, '验证码 — ✓', 'x'.repeat(2000)]) {
    const sealed = old.seal(plain, 'phone:a')
    assert.equal(old.open(sealed, 'phone:a'), plain)
    for (const context of ['phone:b', 'code:a', 'phone:', '', 'phone:a ']) {
      assert.throws(() => old.open(sealed, context), `opened as ${context}`)
    }
  }
})

test('The same text is sealed differently each time.', () => {
  const sealed = Array.from({ length: 1000 }, () => old.seal(PHONE, 'phone:a'))
  assert.equal(new Set(sealed).size, 1000)
  assert.equal(new Set(sealed.map((text) => text.slice(4, 20))).size, 1000)
})

test('A sealed text with any bit changed, cut short or made longer does not open.', () => {
  for (const plain of [PHONE, 'ab', '']) {
    const sealed = old.seal(plain, 'context')
    const keyId = sealed.slice(0, 4)
    const bytes = Buffer.from(sealed.slice(4), 'base64url')
    assert.equal(bytes.length, 12 + Buffer.byteLength(plain) + 16)
    const opens = (changed: Uint8Array) => old.open(keyId + toText(changed), 'context')
    assert.equal(opens(bytes), plain)

    for (let place = 0; place < bytes.length; place++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = Buffer.from(bytes)
        changed[place] = (bytes[place] as number) ^ (1 << bit)
        assert.throws(() => opens(changed), `opened with bit ${bit} of byte ${place} changed`)
      }
      assert.throws(() => opens(bytes.subarray(0, place)), `opened with ${place} bytes`)
      assert.throws(() => opens(bytes.subarray(place + 1)), `opened without ${place + 1} bytes`)
    }
    assert.throws(() => opens(Buffer.concat([bytes, Buffer.alloc(1)])))
    for (let place = 0; place < 4; place++) {
      const other = keyId[place] === 'A' ? 'B' : 'A'
      const changed = sealed.slice(0, place) + other + sealed.slice(place + 1)
      assert.throws(() => old.open(changed, 'context'), /secret that is not in the list/)
    }
  }
})

test('A new secret in front seals, the old ones still open; a dropped one does not.', () => {
  const sealedBefore = old.seal(PHONE, 'context')
  const sealedDuring = both.seal(PHONE, 'context')
  assert.equal(both.open(sealedBefore, 'context'), PHONE)
  assert.equal(both.open(sealedDuring, 'context'), PHONE)
  assert.equal(fresh.open(sealedDuring, 'context'), PHONE)
  assert.throws(() => old.open(sealedDuring, 'context'), /secret that is not in the list/)
  assert.throws(() => fresh.open(sealedBefore, 'context'), /secret that is not in the list/)

  const three = createSecrets(['a third secret of more than thirty-two bytes', NEW, OLD])
  assert.equal(three.open(sealedBefore, 'context'), PHONE)
  assert.equal(three.open(sealedDuring, 'context'), PHONE)
})

test('A code issued under any secret of the list is recognised; under a dropped one it is not.', () => {
  const before = old.codeMac('id', '012345')
  const during = both.codeMac('id', '012345')
  assert.deepEqual(both.codeMacs('id', '012345'), [during, before])
  assert.deepEqual(fresh.codeMacs('id', '012345'), [during])
  assert.equal(fresh.codeMacs('id', '012345').includes(before), false)
})

test('The pseudonyms of a number stay the same while its old secret is the last of the list.', () => {
  const mac = old.phoneMac(PHONE)
  assert.equal(both.phoneMac(PHONE), mac)
  assert.equal(both.subjectMac('192.0.2.1'), old.subjectMac('192.0.2.1'))
  assert.equal(both.newId(mac, ['key']), old.newId(mac, ['key']))
  assert.notEqual(fresh.phoneMac(PHONE), mac)
  assert.notEqual(fresh.subjectMac('192.0.2.1'), old.subjectMac('192.0.2.1'))
  assert.notEqual(createSecrets([OLD, NEW]).phoneMac(PHONE), mac)
})

test('Neither the secret nor the text can be read in what is made of them.', () => {
  const plain = JSON.stringify(['012345', 'CN', 300])
  const made = [
    old.seal(plain, 'code:id'),
    old.seal(PHONE, 'phone:id'),
    old.phoneMac(PHONE),
    old.subjectMac(PHONE),
    old.codeMac('id', '012345'),
    old.newId(old.phoneMac(PHONE), ['012345']),
  ]
  // Any six characters in a row, as they are and in the encodings they could have been put in.
  const pieces = [plain, PHONE, '012345', OLD].flatMap((text) => windows(text, 6))
  for (const text of made) {
    const seen = [text, Buffer.from(text, 'base64url').toString('latin1')].join('\n')
    for (const piece of pieces) {
      for (const encoding of ['latin1', 'hex', 'base64url'] as const) {
        const hidden = Buffer.from(piece).toString(encoding)
        assert.equal(seen.includes(hidden), false, `${piece} as ${encoding} in ${text}`)
      }
    }
  }
})

test('The delivery key is 32 hex characters for one sealed code of a version of a verification.', () => {
  const key = deliveryKey('AbCdEfGhIjKlMnOpQrStUvWx', 1, 'sealed')
  assert.equal(key, deliveryKey('AbCdEfGhIjKlMnOpQrStUvWx', 1, 'sealed'))
  assert.match(key, /^[0-9a-f]{32}$/)
  const others = [
    deliveryKey('AbCdEfGhIjKlMnOpQrStUvWx', 2, 'sealed'),
    deliveryKey('AbCdEfGhIjKlMnOpQrStUvWx', 11, 'sealed'),
    deliveryKey('AbCdEfGhIjKlMnOpQrStUvWy', 1, 'sealed'),
    deliveryKey('AbCdEfGhIjKlMnOpQrStUvWx', 1, 'sealed again'),
  ]
  assert.equal(new Set([key, ...others]).size, 5)
})

test('A nonce has the 8 characters that the store counts on, and comes once.', () => {
  const nonces = new Set(Array.from({ length: 10_000 }, newNonce))
  assert.equal(nonces.size, 10_000)
  for (const nonce of nonces) assert.match(nonce, /^[A-Za-z0-9_-]{8}$/)
})

test('What the store keeps of a proof does not give the proof away.', () => {
  const proof = old.newId('shard')
  assert.match(tokenHash(proof), /^[A-Za-z0-9_-]{22}$/)
  assert.equal(tokenHash(proof), tokenHash(proof))
  assert.equal(
    windows(proof, 6).some((piece) => tokenHash(proof).includes(piece)),
    false,
  )
})

const toText = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')

const windows = (text: string, length: number): string[] =>
  Array.from({ length: text.length - length + 1 }, (_, i) => text.slice(i, i + length))

test('A MAC is the HMAC-SHA-256 that Node makes, whatever the key and the text.', () => {
  const texts = ['', 'a', 'é😀', '\ud800', 'x'.repeat(170), 'x'.repeat(171), '😀'.repeat(400)]
  for (let length = 0; length <= 64; length++) {
    const key = randomBytes(length)
    const made = macKey(key)
    for (const text of [...texts, randomBytes(length * 9).toString('latin1')]) {
      const expected = createHmac('sha256', key).update(text)
      assert.equal(hmac(made, text), expected.digest('base64url'), `${length} ${text.length}`)
    }
  }
})
