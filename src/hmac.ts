/**
 * HMAC-SHA-256 (RFC 2104) for short texts. Node's own `createHmac` makes a stream for each, of which a send needs eight: that is
 * twice the time, and objects outside of the heap for the garbage collector to end.
 */
import { type BinaryToTextEncoding, hash } from 'node:crypto'

const BLOCK = 64
const DIGEST = 32

/** Bytes of a text that need no buffer of their own. */
const SHORT = 512

/** What is hashed inside and outside: the key's part of both stands there for good, what follows it is written anew each time. */
export interface MacKey {
  inner: Buffer
  outer: Buffer
}

/** Of at most 64 bytes. */
export function macKey(key: Buffer): MacKey {
  const pad = (byte: number, room: number) => {
    const padded = Buffer.alloc(BLOCK + room)
    for (let i = 0; i < BLOCK; i++) padded[i] = (key[i] ?? 0) ^ byte
    return padded
  }
  return { inner: pad(0x36, SHORT), outer: pad(0x5c, DIGEST) }
}

export function hmac(
  { inner, outer }: MacKey,
  text: string,
  encoding: BinaryToTextEncoding = 'base64url',
): string {
  // As text and back again, since that takes half the time of a buffer.
  outer.write(hash('sha256', message(inner, text), 'binary'), BLOCK, 'binary')
  return hash('sha256', outer, encoding)
}

function message(inner: Buffer, text: string): Buffer {
  // A character takes three bytes of UTF-8 at most, or two do four.
  if (text.length * 3 > SHORT) return Buffer.concat([inner.subarray(0, BLOCK), Buffer.from(text)])
  return inner.subarray(0, BLOCK + inner.write(text, BLOCK))
}
