/** Chance that can be repeated: the same seed gives the same script of faults. */

export interface Chance {
  /** From 0 up to but not including 1. */
  next(): number
  /** A whole number from `first` to `last`, both included. */
  between(first: number, last: number): number
  pick<T>(items: readonly T[]): T
}

/** mulberry32: 32 bits of state are plenty to choose moments and victims with. */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (first: number, last: number) => first + Math.floor(next() * (last - first + 1))
  return {
    next,
    between,
    pick: <T>(items: readonly T[]) => items[between(0, items.length - 1)] as T,
  }
}
