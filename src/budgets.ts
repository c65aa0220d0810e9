/** The outer budgets, by address, prefix, country and in all: spent before a send or a check, given back by a success. */
import ipaddr from 'ipaddr.js'
import type { SafeHooks } from './hooks.ts'
import { type BudgetLimit, type LimitsOptions, toMilliseconds } from './limits.ts'
import type { Logger } from './log.ts'
import type { Phone } from './phone.ts'
import type { Secrets } from './secrets.ts'
import type { Budget, Reached, VerificationStore } from './store/store.ts'

export type BudgetName = 'ip' | 'prefix' | 'country' | 'total' | 'failedChecksPerIp' | 'conversion'

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
  /** When by the store's clock, and how far the budget that is nearest to its end is used up: 1 is all of it. */
  risk(phone: Phone, ip: string | undefined): Promise<{ at: number; risk: number }>
  /** Of a country, or of the numbers that differ from one in the last four digits only, in the last 24 hours. */
  conversion(of: string | Phone): Promise<Conversion>
}

/** What was sent, and how much of it was verified. */
export interface Conversion {
  sent: number
  verified: number
}

export interface BudgetsOptions {
  limits: Required<LimitsOptions>
  store: Pick<VerificationStore, 'spend' | 'refund' | 'usage'>
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

/** Milliseconds in which conversion is looked at. */
const DAY = 86_400_000

/** Units are whole: a price counts in thousandths. */
const PRICE_UNITS = 1000

export const isExhausted = (spent: Spending | Exhausted): spent is Exhausted => 'wait' in spent

export function createBudgets({ limits, store, secrets, hooks, logger }: BudgetsOptions): Budgets {
  const soft = limits.mode === 'shadow'

  function named(
    name: 'ip' | 'prefix' | 'country' | 'total' | 'failedChecksPerIp',
    subject: string,
    country = '',
  ): NamedBudget[] {
    if (subject === '') return []
    const each: BudgetLimit[] = toMilliseconds<BudgetLimit>(limits[name])
    return each.map(({ max, window, share = 0, unit = 'message' }) => {
      const [units, scale] = unit === 'price' ? [priceOf(country), PRICE_UNITS] : [1, 1]
      const key = [name, subject, window, ...(unit === 'price' ? [unit] : [])].join(':')
      return { name, subject, key, window, share, units, max: Math.floor(max * scale) }
    })
  }

  const priceOf = (country: string): number =>
    Math.round((limits.prices[country] ?? limits.prices.default ?? 0) * PRICE_UNITS)

  /** Never exhausted: it only counts, and tells. */
  const converting = (subject: string, conversion: Budget['conversion']): NamedBudget => ({
    name: 'conversion',
    subject,
    key: `conversion:${subject}`,
    window: DAY,
    share: 0,
    units: 1,
    max: Number.MAX_SAFE_INTEGER,
    ...(conversion && { conversion }),
  })
  const { conversion } = limits
  const ofCountry = (country: string): NamedBudget =>
    converting(
      country,
      conversion ? { below: conversion.below, least: conversion.sends } : undefined,
    )
  const ofPrefix = (prefix: string): NamedBudget => converting(prefix, { below: 0, least: 1 })

  // Both an address and a prefix are kept as pseudonyms only.
  const ipMac = (ip: string | undefined) => (ip ? secrets.subjectMac(networkOf(ip)) : '')
  const prefixMac = (e164: string) => secrets.subjectMac(e164.slice(0, -4))

  const limiting = ({ e164, country }: Phone, ip: string): NamedBudget[] => [
    ...named('ip', ip, country),
    ...named('prefix', prefixMac(e164), country),
    ...named('country', country, country),
    ...named('total', 'all', country),
  ]
  const ofSend = (phone: Phone, ip: string): NamedBudget[] => [
    ...limiting(phone, ip),
    ...(conversion ? [ofCountry(phone.country), ofPrefix(prefixMac(phone.e164))] : []),
  ]

  async function spend(budgets: NamedBudget[], ip: string): Promise<Spending | Exhausted> {
    if (budgets.length === 0) return UNSPENT
    const spent = await store.spend(budgets, soft)
    if (spent.verdict === 'wait') {
      return { budget: (budgets[spent.budget] as NamedBudget).name, wait: spent.wait }
    }
    for (const reached of spent.reached) alert(budgets[reached.budget] as NamedBudget, reached)
    for (const index of spent.over) {
      const { name, subject } = budgets[index] as NamedBudget
      logger.info({ event: 'limit.shadow', limit: name, subject }, 'would be refused')
    }
    const { at } = spent
    return { at, ip, giveBack: () => giveBack(budgets, at, false) }
  }

  /** Not waited for: no answer depends on it, and the store has logged what went wrong. */
  function giveBack(budgets: NamedBudget[], at: number, verified: boolean): void {
    if (budgets.length === 0) return
    store.refund(budgets, at, verified).catch(() => {})
  }

  function alert(budget: NamedBudget, { kind, used, max, share }: Reached): void {
    const { name, subject } = budget
    // Single addresses come and go; an operator acts on a prefix, a country or the whole.
    if (name === 'ip' || name === 'failedChecksPerIp') return
    const window = budget.window / 1000
    if (kind === 'conversion') {
      const about = { country: subject, sends: used, share, window }
      logger.warn({ event: 'conversion.low', ...about }, 'few of a country’s codes are entered')
      hooks.onAlert({ kind: 'conversion', ...about })
    } else if (name !== 'conversion') {
      const about = { budget: name, subject, used, max, window, share }
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
      for (const { at, ip } of spent) giveBack(ofSend(phone, ip), at, true)
    },
    async risk(phone, ip) {
      const budgets = limiting(phone, ipMac(ip))
      const { at, budgets: used } = await store.usage(budgets)
      const shares = used.map(({ verified, unverified }, i) => {
        const { max, share } = budgets[i] as NamedBudget
        return unverified / Math.max(max, share * verified)
      })
      return { at, risk: Math.max(0, ...shares) }
    },
    async conversion(of) {
      const budget = typeof of === 'string' ? ofCountry(of) : ofPrefix(prefixMac(of.e164))
      const {
        budgets: [used],
      } = await store.usage([budget])
      const { verified = 0, unverified = 0 } = used ?? {}
      return { sent: verified + unverified, verified }
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
