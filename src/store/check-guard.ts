/** The budgets of checks where they cannot be taken from in one step with a check: who has used them up is not let in. */
import type { Budget, CheckVerdict, Exhausted, Purse, VerificationStore } from './store.ts'

export type CheckGuard = (
  purse: Purse | undefined,
  check: () => Promise<CheckVerdict>,
) => Promise<CheckVerdict>

/**
 * Runs a check unless a budget is used up. A wrong code is spent, a right one makes the budgets grow, and one for a
 * verification that is over costs nothing.
 */
export function createCheckGuard(
  store: Pick<VerificationStore, 'spend' | 'refund' | 'usage'>,
): CheckGuard {
  /** How many checks on the same budgets are under way in this process, and who waits for one of them to end. */
  const busy = new Map<string, { count: number; waiting: (() => void)[] }>()

  /** So many more wrong codes each budget bears. */
  async function rooms(budgets: Budget[]): Promise<number[]> {
    const { budgets: used } = await store.usage(budgets)
    return budgets.map(({ max, share }, i) => {
      const { verified = 0, unverified = 0 } = used[i] ?? {}
      return Math.max(max, Math.floor(share * verified)) - unverified
    })
  }

  /** Undefined if there is room again. */
  async function refusal(budgets: Budget[]): Promise<Exhausted | undefined> {
    const spent = await store.spend(budgets, false)
    if (spent.verdict === 'wait') return { ...spent, verdict: 'exhausted' }
    await store.refund(budgets, spent.at, false)
    return undefined
  }

  /**
   * No more checks are under way than there is room for, so that parallel guesses all count. But people with the right
   * code, who come in a crowd behind one address, wait for each other and are not refused. Answers who is, and for soft
   * budgets which of them have no room.
   */
  async function enter(
    name: string,
    { budgets, soft }: Purse,
  ): Promise<Exhausted | { over?: number[] }> {
    for (;;) {
      const each = await rooms(budgets)
      const left = Math.min(...each)
      const state = busy.get(name) ?? { count: 0, waiting: [] }
      if (left > state.count || soft) {
        state.count++
        busy.set(name, state)
        return left > 0 ? {} : { over: each.flatMap((room, i) => (room > 0 ? [] : [i])) }
      }
      if (left > 0) await new Promise<void>((resolve) => state.waiting.push(resolve))
      else {
        const refused = await refusal(budgets)
        if (refused) return refused
      }
    }
  }

  /** Lets the next one look whether there is room. */
  function resume(name: string): void {
    const state = busy.get(name)
    const next = state?.waiting.shift()
    if (next) next()
    else if (state?.count === 0) busy.delete(name)
  }

  return async (purse, check) => {
    if (!purse || purse.budgets.length === 0) return check()
    const { budgets } = purse
    const name = budgets.map(({ key }) => key).join()
    try {
      const entered = await enter(name, purse)
      if ('verdict' in entered) return entered
      try {
        const result = await check()
        // What it came to is said all the same where this cannot be counted.
        if (result.verdict === 'wrong') await store.spend(budgets, true).catch(() => {})
        // Nothing was spent then, so nothing is given back: only noted as verified, which nobody waits for.
        if (result.verdict === 'verified') store.refund(budgets, NEVER, true).catch(() => {})
        return { ...result, ...entered }
      } finally {
        const state = busy.get(name)
        if (state) state.count--
      }
    } finally {
      // Whatever came of it: else those behind would wait for ever.
      resume(name)
    }
  }
}

const NEVER = 0
