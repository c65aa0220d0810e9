/** The health of providers in memory; health-scripts.ts does the same in Redis, by buckets. */
import type {
  DeliveryStore,
  HealthReport,
  HealthRule,
  HealthSignal,
  HealthVerdict,
} from './store.ts'

interface Noted {
  at: number
  good: number
  bad: number
}

interface Breaker {
  queue: string
  provider: string
  country: string
  cause: HealthReport['signal']
  /** When its pause is over. */
  over: number
  /** No other message may try before. */
  probe: number
}

/** What may be caught up on, in milliseconds: so that a rounding costs nothing. */
const CATCH_UP = 100

export function createMemoryHealth(
  now: () => number,
): Pick<DeliveryStore, 'reportHealth' | 'probe' | 'takeTurn'> {
  const noted = new Map<string, Noted[]>()
  const breakers = new Map<string, Breaker>()
  const turns = new Map<string, number>()

  /** Whether it is time to conclude that the provider is not well. */
  function count(
    signal: HealthSignal,
    { good, bad }: HealthReport,
    name: string,
    rule: HealthRule,
  ) {
    const at = now()
    const key = `${signal} ${name}`
    const all = (noted.get(key) ?? []).filter((each) => each.at > at - rule.window)
    all.push({ at, good, bad })
    noted.set(key, all)
    const settled = all.filter((each) => rule.unsettled === 0 || each.at <= at - rule.unsettled)
    const sum = (of: Noted[], what: 'good' | 'bad') => of.reduce((all, each) => all + each[what], 0)
    const wrong = Math.max(0, sum(settled, 'bad'))
    const total = wrong + sum(all, 'good')
    return total >= rule.least && wrong >= rule.share * total
  }

  return {
    async reportHealth(queue, reports, rules) {
      const at = now()
      const changed: HealthVerdict['changed'] = []
      for (const report of reports) {
        const { provider, country, signal, bad } = report
        const name = `${queue} ${provider} ${country}`
        const breaker = breakers.get(name)
        const open = (cause: Breaker['cause']) => {
          breakers.set(name, {
            queue,
            provider,
            country,
            cause,
            over: at + rules[cause].pause,
            probe: 0,
          })
          for (const each of ['calls', 'receipts', 'codes']) noted.delete(`${each} ${name}`)
        }
        if (signal === 'account') {
          open('account')
          if (!breaker) changed.push({ provider, country, cause: 'account' })
        } else if (!breaker) {
          if (!count(signal, report, name, rules[signal])) continue
          open(signal)
          changed.push({ provider, country, cause: signal })
        } else if (signal === 'calls' && breaker.over <= at) {
          if (bad > 0) {
            open(breaker.cause)
            continue
          }
          breakers.delete(name)
          changed.push({ provider, country })
        }
      }
      const ours = [...breakers.values()].filter((each) => each.queue === queue)
      const open = ours.map(({ provider, country, cause, over, probe }) => {
        return { provider, country, cause, wait: Math.max(over - at, probe - at, 0) }
      })
      return { open, changed }
    },

    async probe({ queue, provider, country, lease }) {
      const breaker = breakers.get(`${queue} ${provider} ${country}`)
      if (!breaker) return true
      const at = now()
      if (breaker.over > at || breaker.probe > at) return false
      breaker.probe = at + lease
      return true
    },

    async takeTurn({ queue, provider, rate, longest }) {
      const line = `${queue} ${provider}`
      const at = now()
      const turn = Math.max(turns.get(line) ?? 0, at - CATCH_UP)
      const wait = Math.max(0, Math.ceil(turn - at))
      if (wait <= longest) turns.set(line, turn + 1000 / rate)
      return wait
    },
  }
}
