/** Solves a challenge as a client does that knows nothing but the README. */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Puzzle } from '../src/challenge.ts'

/** Tries in one go: the app of the test is in the same process, and its connections are lost where it does not answer for seconds. */
const TRIES = 2000

export async function solve({ puzzle, bits }: Puzzle): Promise<string> {
  for (let counter = 0; ; counter++) {
    const solution = `${puzzle}.${counter.toString(36)}`
    const hash = createHash('sha256').update(solution).digest()
    if (hash.readUInt32BE() >>> (32 - bits) === 0) return solution
    if (counter % TRIES === 0) await nextTurn()
  }
}
