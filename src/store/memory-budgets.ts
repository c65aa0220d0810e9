/** The outer budgets in memory; budget-scripts.ts does the same in Redis, by buckets. */
import type { Budget, Reached, VerificationStore } from './store.ts'
import { createTable } from './table.ts'

/** What was taken or verified at a time. */
interface Units {
  at: number
  units: number
}

interface Row {
  unverified: Units[]
  verified: Units[]
  /** When something was last told, by what it was. */
  told: Map<string, number>
  expires: number
}

export function createMemoryBudgets(
  now: () => number,
): Pick<VerificationStore, 'spend' | 'refund' | 'usage'> {
  const rows = createTable<Row>(now)

  /** With what is still in the window. */
  function rowOf({ key, window }: Budget, at: number): Row {
    const row = rows.get(key) ?? { unverified: [], verified: [], told: new Map(), expires: 0 }
    const isIn = (each: Units) => each.at > at - window
    row.unverified = row.unverified.filter(isIn)
    row.verified = row.verified.filter(isIn)
    return rows.set(key, Object.assign(row, { expires: at + window }))
  }

  const maxOf = ({ max, share }: Budget, { verified }: Row): number =>
    Math.max(max, Math.floor(share * sum(verified)))

  /** Milliseconds until the budget has that many units; 0 if it has. */
  function waitFor(budget: Budget, row: Row, at: number): number {
    let surplus = sum(row.unverified) + budget.units - maxOf(budget, row)
    if (surplus <= 0) return 0
    const last = row.unverified.find(({ units }) => {
      surplus -= units
      return surplus <= 0
    })
    return (last?.at ?? at) + budget.window - at
  }

  function take(budget: Budget, index: number, at: number): Reached[] {
    const row = rowOf(budget, at)
    row.unverified.push({ at, units: budget.units })
    const used = sum(row.unverified)
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
      ...conversionOf(budget, row, at).flatMap((about) => tell('conversion', about)),
    ]
  }

  return {
    async spend(budgets, soft) {
      const at = now()
      const over: number[] = []
      for (const [index, budget] of budgets.entries()) {
        const wait = waitFor(budget, rowOf(budget, at), at)
        if (wait > 0 && !soft) return { verdict: 'wait', budget: index, wait }
        if (wait > 0) over.push(index)
      }
      const reached = budgets.flatMap((budget, index) => take(budget, index, at))
      return { verdict: 'spent', at, reached, over }
    },

    async refund(budgets, at, verified) {
      for (const budget of budgets) {
        const row = rowOf(budget, now())
        const index = row.unverified.findLastIndex(
          (each) => each.at === at && each.units === budget.units,
        )
        if (index >= 0) row.unverified.splice(index, 1)
        if (verified) row.verified.push({ at: now(), units: budget.units })
      }
    },

    async usage(budgets) {
      const at = now()
      const used = budgets.map((budget) => {
        const { verified, unverified } = rowOf(budget, at)
        return { verified: sum(verified), unverified: sum(unverified) }
      })
      return { at, budgets: used }
    },
  }
}

const sum = (all: Units[]): number => all.reduce((total, { units }) => total + units, 0)

/** Too few of the units were verified, if so. */
function conversionOf({ conversion, window }: Budget, row: Row, at: number) {
  if (!conversion) return []
  const bucket = (time: number) => Math.floor((time * 60) / window)
  const verified = sum(row.verified)
  const used = verified + sum(row.unverified.filter((each) => bucket(each.at) < bucket(at)))
  const share = verified / used
  if (used < conversion.least || share >= conversion.below) return []
  return [{ kind: 'conversion' as const, used, share }]
}
