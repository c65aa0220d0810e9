/**
 * The answer to the server's challenge: a counter, in base 36, with which SHA-256 of `PUZZLE.COUNTER` begins with so many
 * zero bits.
 *
 * A SHA-256 of our own: `crypto.subtle` makes a promise of each hash, which takes ten times as long, and is missing where
 * a page is not on https. A puzzle and its counter fit in one block, so there is no state of earlier blocks to keep.
 */

/** Milliseconds that the page is held up at a stretch. */
const SLICE = 8

/** Hashes between two looks at the clock. */
const BATCH = 128

const BLOCK = 64

/** The first 32 bits of the fractional parts of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
const [ROUND_CONSTANTS, INITIAL] = rootsOfPrimes()

/** `PUZZLE.COUNTER`; undefined when it is not wanted any more. */
export async function solve(
  puzzle: string,
  bits: number,
  isWanted: () => boolean,
): Promise<string | undefined> {
  const firstWord = createHash(`${puzzle}.`)
  for (let counter = 0; isWanted(); await nextTask()) {
    const until = performance.now() + SLICE
    do {
      for (const end = counter + BATCH; counter < end; counter++) {
        const text = counter.toString(36)
        if (Math.clz32(firstWord(text)) >= bits) return `${puzzle}.${text}`
      }
    } while (performance.now() < until)
  }
  return undefined
}

/** Not a timer: those wait for 4 ms, and in a page in the background for a second. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}

/** Of `head` and what it is called with, both ASCII, the first 32 bits of the hash. */
function createHash(head: string): (tail: string) => number {
  const bytes = new Uint8Array(head.length + 2 * BLOCK)
  const view = new DataView(bytes.buffer)
  const write = (text: string, at: number): void => {
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
  }
  write(head, 0)
  return (tail) => {
    const length = head.length + tail.length
    // The padding: a one, zeros, and the length in bits at the end of a block.
    const size = Math.ceil((length + 9) / BLOCK) * BLOCK
    bytes.fill(0, head.length)
    write(tail, head.length)
    bytes[length] = 0x80
    view.setInt32(size - 4, length * 8)
    let state = INITIAL
    for (let at = 0; at < size; at += BLOCK) state = compress(state, view, at)
    return state[0] as number
  }
}

const w = new Int32Array(64)

function compress(state: Int32Array, view: DataView, at: number): Int32Array {
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  for (let i = 0; i < 64; i++) {
    if (i < 16) w[i] = view.getInt32(at + i * 4)
    else {
      const x = w[i - 15] as number
      const y = w[i - 2] as number
      const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)
      const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)
      w[i] = (w[i - 16] as number) + s0 + (w[i - 7] as number) + s1
    }
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
    const t = h + s1 + ((e & f) ^ (~e & g)) + (ROUND_CONSTANTS[i] as number) + (w[i] as number)
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
    const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c))
    h = g
    g = f
    f = e
    e = (d + t) | 0
    d = c
    c = b
    b = a
    a = (t + t2) | 0
  }
  return [a, b, c, d, e, f, g, h].reduce((sum, word, i) => {
    sum[i] = (state[i] as number) + word
    return sum
  }, new Int32Array(8))
}

const turn = (word: number, by: number): number => (word >>> by) | (word << (32 - by))

function rootsOfPrimes(): [cubic: Int32Array, square: Int32Array] {
  const primes: number[] = []
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every((prime) => n % prime > 0)) primes.push(n)
  }
  const fractions = (root: (n: number) => number, count: number) =>
    Int32Array.from(primes.slice(0, count), (n) => (root(n) % 1) * 2 ** 32)
  return [fractions(Math.cbrt, 64), fractions(Math.sqrt, 8)]
}
