/** The outer budgets in memory; budget-scripts.ts does the same in Redis, by buckets. */
import type { Budget, Purse, Reached, Taken, VerificationStore } from './store.ts'
import { createTable } from './table.ts'

interface Row {
  unverified: Log
  verified: Log
  /** When something was last told, by what it was. */
  told: Map<string, number>
  expires: number
}

export interface MemoryBudgets extends Pick<VerificationStore, 'spend' | 'refund' | 'usage'> {
  /** The first budget with too little left and how long it is so; or, in a soft purse, all those with too little. */
  findRoom(purse: Purse): { full?: { budget: number; wait: number }; over: number[] }
  take(budgets: Budget[]): Omit<Taken, 'over'>
  noteVerified(budgets: Budget[]): void
}

export function createMemoryBudgets(now: () => number): MemoryBudgets {
  const rows = createTable<Row>(now)

  /** With what is still in the window. */
  function rowOf({ key, window }: Budget, at: number): Row {
    const row = rows.get(key) ?? rows.set(key, newRow(window))
    row.unverified.roll(at)
    row.verified.roll(at)
    row.expires = at + window
    return row
  }

  const maxOf = ({ max, share }: Budget, { verified }: Row): number =>
    Math.max(max, Math.floor(share * verified.sum()))

  /** Milliseconds until the budget has that many units; 0 if it has. */
  function waitFor(budget: Budget, row: Row, at: number): number {
    const surplus = row.unverified.sum() + budget.units - maxOf(budget, row)
    if (surplus <= 0) return 0
    return (row.unverified.timeOf(surplus) ?? at) + budget.window - at
  }

  function takeFrom(budget: Budget, index: number, at: number): Reached[] {
    const row = rowOf(budget, at)
    row.unverified.add(at, budget.units)
    const used = row.unverified.sum()
    const max = maxOf(budget, row)
    const tell = (name: string, about: Omit<Reached, 'budget' | 'max'>): Reached[] => {
      if (at - (row.told.get(name) ?? -Infinity) < budget.window) return []
      row.told.set(name, at)
      return [{ budget: index, max, ...about }]
    }
    const shares = [80, 100].filter((percent) => used * 100 >= max * percent)
    return [
      ...shares.flatMap((percent) =>
        tell(`used ${percent}`, { kind: 'used', used, share: percent / 100 }),
      ),
      ...conversionOf(budget, row).flatMap((about) => tell('conversion', about)),
    ]
  }

  function findRoom({ budgets, soft }: Purse): ReturnType<MemoryBudgets['findRoom']> {
    const at = now()
    const over: number[] = []
    for (const [index, budget] of budgets.entries()) {
      const wait = waitFor(budget, rowOf(budget, at), at)
      if (wait > 0 && !soft) return { full: { budget: index, wait }, over }
      if (wait > 0) over.push(index)
    }
    return { over }
  }

  function take(budgets: Budget[]): Omit<Taken, 'over'> {
    const at = now()
    return { at, reached: budgets.flatMap((budget, index) => takeFrom(budget, index, at)) }
  }

  function noteVerified(budgets: Budget[]): void {
    const at = now()
    for (const budget of budgets) rowOf(budget, at).verified.add(at, budget.units)
  }

  return {
    ...{ findRoom, take, noteVerified },

    async spend(budgets, soft = false) {
      const { full, over } = findRoom({ budgets, soft })
      return full ? { verdict: 'wait', ...full } : { verdict: 'spent', ...take(budgets), over }
    },

    async refund(budgets, at, verified) {
      for (const budget of budgets) rowOf(budget, now()).unverified.remove(at, budget.units)
      if (verified) noteVerified(budgets)
    },

    async usage(budgets) {
      const at = now()
      const used = budgets.map((budget) => {
        const { verified, unverified } = rowOf(budget, at)
        return { verified: verified.sum(), unverified: unverified.sum() }
      })
      return { at, budgets: used }
    },
  }
}

/** Too few of the units were verified, if so. */
function conversionOf({ conversion }: Budget, { verified, unverified }: Row) {
  if (!conversion) return []
  const used = verified.sum() + unverified.sum() - unverified.newest()
  const share = verified.sum() / used
  if (used < conversion.least || share >= conversion.below) return []
  return [{ kind: 'conversion' as const, used, share }]
}

const newRow = (window: number): Row => ({
  unverified: createLog(window),
  verified: createLog(window),
  told: new Map(),
  expires: 0,
})

type Log = ReturnType<typeof createLog>

/** Units by the millisecond they came in, the oldest first, with their sum: the cost does not grow with what is in the window. */
function createLog(window: number) {
  let entries: { at: number; units: number }[] = []
  /** So many in front have left the window. */
  let gone = 0
  let sum = 0
  /** Units in the newest sixtieth of the window. */
  let newest = { bucket: 0, units: 0 }

  const bucketOf = (at: number) => Math.floor((at * 60) / window)

  return {
    sum: () => sum,
    newest: () => newest.units,
    /** Forgets what has left the window by then. */
    roll(at: number): void {
      for (let oldest = entries[gone]; oldest && oldest.at <= at - window; oldest = entries[gone]) {
        sum -= oldest.units
        gone++
      }
      if (gone > entries.length / 2) {
        entries = entries.slice(gone)
        gone = 0
      }
      if (newest.bucket !== bucketOf(at)) newest = { bucket: bucketOf(at), units: 0 }
    },
    /** After `roll` to the same time. */
    add(at: number, units: number): void {
      const last = entries.at(-1)
      if (last?.at === at) last.units += units
      else entries.push({ at, units })
      sum += units
      newest.units += units
    },
    /** Takes back what was added then, if it is still there. */
    remove(at: number, units: number): void {
      const index = entries.findLastIndex((each) => each.at === at)
      const entry = entries[index]
      if (!entry || index < gone) return
      const less = Math.min(units, entry.units)
      entry.units -= less
      sum -= less
      if (newest.bucket === bucketOf(at)) newest.units -= less
    },
    /** Of the last one of the so many oldest units. */
    timeOf(count: number): number | undefined {
      let left = count
      return entries.slice(gone).find(({ units }) => {
        left -= units
        return left <= 0
      })?.at
    },
  }
}
