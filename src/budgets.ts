/** The outer budgets, by address, prefix, country and in all: spent before a send or a check, given back by a success. */
import ipaddr from 'ipaddr.js'
import type { SafeHooks } from './hooks.ts'
import { LIMIT_DEFAULTS, type LimitsOptions, toMilliseconds } from './limits.ts'
import type { Logger } from './log.ts'
import type { Phone } from './phone.ts'
import type { Secrets } from './secrets.ts'
import type { Budget, SpendVerdict, VerificationStore } from './store/store.ts'
import { withDefaults } from './validate.ts'

export type BudgetName = 'ip' | 'prefix' | 'country' | 'total' | 'failedChecksPerIp'

/** What one request took, and when, to be given back by. Spent on nothing where no budget applies. */
export interface Spending {
  at: number
  ip: string
  giveBack(): void
}

/** A budget has nothing left. */
export interface Exhausted {
  budget: BudgetName
  /** Milliseconds until it has. */
  wait: number
}

export interface Budgets {
  /** One send; counts until it is verified. */
  spendSend(phone: Phone, ip: string | undefined): Promise<Spending | Exhausted>
  /** One check; counts unless it is given back. */
  spendCheck(ip: string | undefined): Promise<Spending | Exhausted>
  /** The sends of a verification that succeeded. */
  giveBackSends(phone: Phone, spent: { at: number; ip: string }[]): void
}

export interface BudgetsOptions {
  limits: LimitsOptions
  store: Pick<VerificationStore, 'spend' | 'refund'>
  secrets: Secrets
  hooks: SafeHooks
  logger: Logger
}

interface NamedBudget extends Budget {
  name: BudgetName
  /** Whose units are counted: a country, `all`, or a pseudonym. */
  subject: string
}

/** Where nothing was taken. */
export const UNSPENT: Spending = { at: 0, ip: '', giveBack: () => {} }

export const isExhausted = (spent: Spending | Exhausted): spent is Exhausted => 'wait' in spent

export function createBudgets({ limits, store, secrets, hooks, logger }: BudgetsOptions): Budgets {
  const effective = withDefaults(LIMIT_DEFAULTS, limits)

  const named = (name: BudgetName, subject: string): NamedBudget[] =>
    subject === ''
      ? []
      : toMilliseconds(effective[name]).map((limit) => ({
          ...limit,
          name,
          subject,
          key: `${name}:${subject}:${limit.window}`,
        }))

  // Both an address and a prefix are kept as pseudonyms only.
  const ipMac = (ip: string | undefined) => (ip ? secrets.subjectMac(networkOf(ip)) : '')

  const ofSend = ({ e164, country }: Phone, ip: string): NamedBudget[] => [
    ...named('ip', ip),
    ...named('prefix', secrets.subjectMac(e164.slice(0, -4))),
    ...named('country', country),
    ...named('total', 'all'),
  ]

  async function spend(budgets: NamedBudget[], ip: string): Promise<Spending | Exhausted> {
    if (budgets.length === 0) return UNSPENT
    const spent = await store.spend(budgets)
    if (spent.verdict === 'wait') {
      return { budget: (budgets[spent.budget] as NamedBudget).name, wait: spent.wait }
    }
    alert(budgets, spent)
    const { at } = spent
    return { at, ip, giveBack: () => giveBack(budgets, at) }
  }

  /** Not waited for: no answer depends on it, and the store has logged what went wrong. */
  function giveBack(budgets: NamedBudget[], at: number): void {
    if (budgets.length === 0) return
    store.refund(budgets, at).catch(() => {})
  }

  function alert(budgets: NamedBudget[], { reached }: SpendVerdict & { verdict: 'spent' }): void {
    for (const { budget, used, share } of reached) {
      const { name, subject, max, window } = budgets[budget] as NamedBudget
      // Single addresses come and go; an operator acts on a prefix, a country or the whole.
      if (name === 'ip' || name === 'failedChecksPerIp') continue
      const about = { budget: name, subject, used, max, window: window / 1000, share }
      logger.warn({ event: 'budget.reached', ...about }, 'a budget is running out')
      hooks.onAlert({ kind: 'budget', ...about })
    }
  }

  return {
    spendSend(phone, ip) {
      const mac = ipMac(ip)
      return spend(ofSend(phone, mac), mac)
    },
    spendCheck(ip) {
      const mac = ipMac(ip)
      return spend(named('failedChecksPerIp', mac), mac)
    },
    giveBackSends(phone, spent) {
      for (const { at, ip } of spent) giveBack(ofSend(phone, ip), at)
    },
  }
}

// One household or server holds a whole /64 of IPv6, and an IPv4 address can be written as an IPv6 one.
function networkOf(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip
  const address = ipaddr.process(ip)
  return address.kind() === 'ipv6'
    ? address.toByteArray().slice(0, 8).join('.')
    : address.toString()
}
