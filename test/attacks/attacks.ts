/** All attacks, in the order of the table, and how one is played. */
import type { Attack, Calculation, Finding, Result } from './attack.ts'
import { CANARY, scan } from './canary.ts'
import { DAYS } from './days.ts'
import { BILL_ATTACKS } from './on-bills.ts'
import { CODE_ATTACKS } from './on-codes.ts'
import { INPUT_ATTACKS } from './on-input.ts'
import { QUEUE_ATTACKS } from './on-queue.ts'
import { openSiege, type SiegeOptions } from './siege.ts'
import { TIMING_ATTACKS } from './timing.ts'

export const ATTACKS: (Attack | Calculation)[] = [
  ...CODE_ATTACKS,
  DAYS,
  ...BILL_ATTACKS,
  ...INPUT_ATTACKS,
  ...QUEUE_ATTACKS,
  ...TIMING_ATTACKS,
  CANARY,
]

/** Plays it, then looks for codes and numbers in all that it has left. */
export async function play(attack: Attack | Calculation, options: SiegeOptions): Promise<Result> {
  const startedAt = Date.now()
  const result = (finding: Finding, problems: string[]): Result => {
    const { name, title } = attack
    const { through, most, unit } = finding
    if (through > most) problems.push(`${through} ${unit}, and at most ${most} may be`)
    return { ...finding, name, title, problems, seconds: (Date.now() - startedAt) / 1000 }
  }
  if ('calculate' in attack) return result(await attack.calculate(options.small), [])
  await using siege = await openSiege(attack, options)
  const finding = await attack.run(siege)
  const { hits } = await scan(siege)
  const { servers, consumers } = siege.world
  const { optionsAre } = attack
  const notes = [...(optionsAre ? [optionsAre] : []), ...(finding.notes ?? [])]
  return result({ ...finding, notes }, [
    ...siege.problems,
    ...hits.slice(0, 3).map((hit) => `readable in ${hit}`),
    ...[...servers, ...consumers].flatMap(({ crashes }) => crashes),
  ])
}
