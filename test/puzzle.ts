/** Solves a challenge as a client does that knows nothing but the README. */
import { createHash } from 'node:crypto'
import type { Puzzle } from '../src/challenge.ts'

export function solve({ puzzle, bits }: Puzzle): string {
  for (let counter = 0; ; counter++) {
    const solution = `${puzzle}.${counter.toString(36)}`
    const hash = createHash('sha256').update(solution).digest()
    if (hash.readUInt32BE() >>> (32 - bits) === 0) return solution
  }
}
