/** Everything that depends on the operator's `secret`: one derived key per use, so that no two uses can be confused. */
import {
  createCipheriv,
  createDecipheriv,
  hash,
  hkdfSync,
  randomFillSync,
  randomInt,
} from 'node:crypto'
import { hmac, type MacKey, macKey } from './hmac.ts'

export interface Secrets {
  /** Pseudonym of a number. Its first two characters, 12 bits, are the number's shard. */
  phoneMac(phone: string): string
  /** Pseudonym of anything else that would identify a person or network, such as an IP address. */
  subjectMac(subject: string): string
  /** Proves that a puzzle is one of ours. */
  puzzleMac(text: string): string
  /**
   * Unguessable id (132 bits) in the shard of the number. With an idempotency key it is the same each time for the same
   * parts, and as unguessable for anyone who does not know them.
   */
  newId(phoneMac: string, idempotent?: string[]): string
  /** Ids of the keys that can be opened with; a sealed text begins with that of its key. */
  keyIds: readonly string[]
  /** MAC of a code under the first secret. */
  codeMac(id: string, code: string): string
  /** MACs of a code under each secret, to compare with. */
  codeMacs(id: string, code: string): string[]
  /** AES-256-GCM under the first secret. What was sealed opens only with the same context, which begins with an id. */
  seal(plain: string, context: string): string
  /** Opens under whichever secret sealed it. Throws if none did. */
  open(sealed: string, context: string): string
}

/** The shard (12 bits of the number's pseudonym) that an id or a proof begins with. */
export const shardOf = (idOrMac: string): string => idOrMac.slice(0, SHARD_LENGTH)

/** What ids and proofs look like; anything else is certainly unknown. */
export const ID_PATTERN = /^[A-Za-z0-9_-]{24}$/

/** A code of `length` decimal digits from a cryptographic generator; leading zeros are kept (NIST SP 800-63B-4, 3.2.12). */
export const newCode = (length: number): string =>
  randomInt(0, 10 ** length)
    .toString()
    .padStart(length, '0')

/** Short random text that marks one request, so that a script run twice for it counts once. */
export const newNonce = (): string => randomText(6)

/** What stands in the store instead of a bearer token that must not be readable there. */
export const tokenHash = (token: string): string =>
  hash('sha256', token, 'base64url').slice(0, RANDOM_LENGTH)

/**
 * 32 characters `[0-9a-f]` that stand for one version of one verification: the vendors' idempotency key. The sealed code
 * makes it unique, since an id comes again when an idempotency key does.
 */
export const deliveryKey = (id: string, version: number, sealedCode: string): string =>
  hash('sha256', `${id}:${version}:${sealedCode}`, 'hex').slice(0, 32)

const SHARD_LENGTH = 2
const RANDOM_LENGTH = 22
const NONCE_LENGTH = 12
const TAG_LENGTH = 16
const KEY_ID_LENGTH = 4

/** Else Node would take a shorter one. */
const TAG = { authTagLength: TAG_LENGTH }

/**
 * Keys for the uses above, from one or more secrets of at least 32 bytes. The first seals and signs; the others still
 * open. Pseudonyms of numbers come from the last one, so that a number's counters survive while a new secret is put in
 * front, and all processes agree on them during the roll-out.
 */
export function createSecrets(secret: string | string[]): Secrets {
  const keys = [secret].flat().map(deriveKeys)
  const first = keys[0] as Keys
  const last = keys[keys.length - 1] as Keys

  return {
    phoneMac: (phone) => hmac(last.phone, phone).slice(0, RANDOM_LENGTH),
    subjectMac: (subject) => hmac(last.subject, subject).slice(0, 16),
    puzzleMac: (text) => hmac(last.puzzle, text).slice(0, RANDOM_LENGTH),
    newId(phoneMac, idempotent) {
      const text = idempotent ? hmac(last.id, join(phoneMac, ...idempotent)) : randomText(17)
      return shardOf(phoneMac) + text.slice(0, RANDOM_LENGTH)
    },
    keyIds: keys.map(({ keyId }) => keyId),
    codeMac: (id, code) => codeMac(first, id, code),
    codeMacs: (id, code) => keys.map((key) => codeMac(key, id, code)),
    seal: (plain, context) => seal(first, plain, context),
    open(sealed, context) {
      const key = keys.find(({ keyId }) => sealed.startsWith(keyId))
      if (!key) throw new Error('sealed with a secret that is not in the list')
      return open(key, sealed, context)
    },
  }
}

interface Keys {
  keyId: string
  phone: MacKey
  subject: MacKey
  puzzle: MacKey
  id: MacKey
  code: MacKey
  seal: MacKey
  /** By shard, made from `seal` as they are needed. */
  sealKeys: Map<string, Buffer>
}

// RFC 5869. The salt is empty: the secrets are random keys already, the info string separates the uses.
function deriveKeys(secret: string): Keys {
  const derive = (use: string) =>
    Buffer.from(hkdfSync('sha256', secret, '', `fastify-sms-verify ${use}`, 32))
  const key = (use: string) => macKey(derive(use))
  return {
    keyId: derive('key id').toString('base64url').slice(0, KEY_ID_LENGTH),
    phone: key('phone'),
    subject: key('subject'),
    puzzle: key('puzzle'),
    id: key('id'),
    code: key('code'),
    seal: key('seal'),
    sealKeys: new Map(),
  }
}

const pool = Buffer.alloc(4096)
let handedOut = pool.length

/** From a pool, since the generator takes about as long for a few bytes as for thousands. Each byte is handed out once. */
function random(length: number): Buffer {
  if (handedOut + length > pool.length) {
    randomFillSync(pool)
    handedOut = 0
  }
  const bytes = Buffer.from(pool.subarray(handedOut, handedOut + length))
  pool.fill(0, handedOut, handedOut + length)
  handedOut += length
  return bytes
}

const randomText = (length: number): string => random(length).toString('base64url')

// Lengths in front, so that ('ab', 'c') and ('a', 'bc') differ.
const join = (...parts: string[]): string => parts.map((part) => `${part.length}:${part}`).join('')

// The id is random and belongs to one number and one purpose, so it stands for both of them here.
const codeMac = (key: Keys, id: string, code: string): string =>
  hmac(key.code, join(id, code)).slice(0, RANDOM_LENGTH)

// A key of its own for each of the 4,096 shards: random 96-bit nonces are good for 2^32 texts under one key (NIST SP 800-38D, 8.3),
// so for 2^44 in all, which is 27 years of 10,000 sends a second. The context is authenticated along with the text: moved to
// another verification it does not open.
function sealKey({ seal, sealKeys }: Keys, context: string): Buffer {
  const shard = shardOf(context)
  const known = sealKeys.get(shard)
  if (known) return known
  const key = Buffer.from(hmac(seal, shard, 'binary'), 'binary')
  sealKeys.set(shard, key)
  return key
}

function seal(key: Keys, plain: string, context: string): string {
  const nonce = random(NONCE_LENGTH)
  const cipher = createCipheriv('aes-256-gcm', sealKey(key, context), nonce)
  cipher.setAAD(Buffer.from(context))
  const body = cipher.update(plain, 'utf8')
  cipher.final()
  const sealed = Buffer.concat([nonce, body, cipher.getAuthTag()])
  return key.keyId + sealed.toString('base64url')
}

function open(key: Keys, sealed: string, context: string): string {
  const bytes = Buffer.from(sealed.slice(key.keyId.length), 'base64url')
  const nonce = bytes.subarray(0, NONCE_LENGTH)
  const decipher = createDecipheriv('aes-256-gcm', sealKey(key, context), nonce, TAG)
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(bytes.subarray(-TAG_LENGTH))
  const plain = decipher.update(bytes.subarray(NONCE_LENGTH, -TAG_LENGTH))
  // Throws unless it is what was sealed; there is nothing left to decipher.
  decipher.final()
  return plain.toString()
}
