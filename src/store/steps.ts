/**
 * What takes from budgets along with what else it does, where one script cannot reach both: on Redis Cluster, whose slots
 * know nothing of each other. Step by step it comes to the same, with more questions to Redis.
 */
import { createCheckGuard } from './check-guard.ts'
import type { VerificationStore } from './store.ts'

type Stepwise = Pick<VerificationStore, 'spend' | 'refund' | 'usage' | 'issue' | 'check'>

export function inSteps(store: Stepwise): Pick<Stepwise, 'issue' | 'check'> {
  const guard = createCheckGuard(store)
  return {
    /**
     * Asks first what the number's own limits say: a send that is refused anyway must not hold a unit of a budget for even a
     * moment, or a flood of them would keep others out.
     */
    async issue(request, policy, purse) {
      if (!purse || purse.budgets.length === 0 || request.dryRun)
        return store.issue(request, policy)
      const outlook = await store.issue({ ...request, dryRun: true }, policy)
      if (outlook.verdict !== 'free') return outlook
      const { budgets, soft, ip } = purse
      const spent = await store.spend(budgets, soft)
      if (spent.verdict === 'wait') return { ...spent, verdict: 'exhausted' }
      const { verdict: _, ...taken } = spent
      const giveBack = () => void store.refund(budgets, taken.at, false).catch(() => {})
      const verdict = await store
        .issue({ ...request, spent: { at: taken.at, ip } }, policy)
        .catch((error) => {
          giveBack()
          throw error
        })
      if (verdict.verdict === 'issued') return { ...verdict, taken }
      giveBack()
      return verdict
    },

    check: (request, policy, purse) => guard(purse, () => store.check(request, policy)),
  }
}
