/** Plays all runs and rounds of a row. */
import type { Brokers } from './brokers.ts'
import type { Programs } from './build.ts'
import { playRound, type Row, type RowResult, RUNS } from './row.ts'
import { sumUp } from './table.ts'

export interface PlayOptions {
  programs: Programs
  brokers: Brokers
  seed: number
  small: boolean
  /** Rounds, if not as many as the row says. */
  rounds?: number | undefined
}

/** One result for each run. */
export async function play(row: Row, options: PlayOptions): Promise<RowResult[]> {
  const { programs, brokers, seed, small } = options
  const rounds = options.rounds ?? (small ? 1 : (row.rounds ?? 1))
  const runs = row.runs ?? RUNS
  const results: RowResult[] = []
  for (const run of small ? runs.slice(0, 1) : runs) {
    const played: RowResult[] = []
    for (let round = 0; round < rounds; round++) {
      const { done, ...broker } = await brokers.forRow(row)
      try {
        played.push(await playRound(row, { programs, ...broker, run, seed: seed + round, small }))
      } finally {
        await done()
      }
    }
    results.push(sumUp(played))
  }
  return results
}
