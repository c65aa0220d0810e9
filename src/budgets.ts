/** The outer budgets: by address, prefix, country and in all; spent before a send or by a wrong code, given back by a success. */
import { networkOf } from './address.ts'
import type { SafeHooks } from './hooks.ts'
import { type BudgetLimit, type LimitsOptions, toMilliseconds } from './limits.ts'
import type { Logger } from './log.ts'
import type { Phone } from './phone.ts'
import type { Secrets } from './secrets.ts'
import type { Budget, Purse, Reached, SendPurse, Taken, VerificationStore } from './store/store.ts'

export type BudgetName = 'ip' | 'prefix' | 'country' | 'total' | 'failedChecksPerIp' | 'conversion'

export interface Budgets {
  /** Of one send; what it takes counts until it is verified. */
  ofSend(phone: Phone, ip: string | undefined): SendPurse
  /** Of a check: too many wrong codes from the address, and no more are looked at. */
  ofCheck(ip: string | undefined): Purse
  nameOf(purse: Purse, index: number): BudgetName
  /** Alerts and log lines for what was taken. */
  tell(purse: Purse, taken: Pick<Taken, 'over'> & Partial<Taken>): void
  /** What a send took at that time, since nothing was sent. */
  giveBack(purse: Purse, at: number): void
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
  store: Pick<VerificationStore, 'refund' | 'usage'>
  secrets: Secrets
  hooks: SafeHooks
  logger: Logger
}

interface NamedBudget extends Budget {
  name: BudgetName
  /** Whose units are counted: a country, `all`, or a pseudonym. */
  subject: string
  /** The same for the host: of a prefix, the prefix. */
  told: string
}

const FAILED_CHECKS = 'failedChecksPerIp'

/** Milliseconds in which conversion is looked at. */
const DAY = 86_400_000

/** Units are whole: a price counts in thousandths. */
const PRICE_UNITS = 1000

export function createBudgets({ limits, store, secrets, hooks, logger }: BudgetsOptions): Budgets {
  const soft = limits.mode === 'shadow'

  // Made once, since they are the same for every request.
  const limitsOf = {
    ip: prepared('ip'),
    prefix: prepared('prefix'),
    country: prepared('country'),
    total: prepared('total'),
    [FAILED_CHECKS]: prepared(FAILED_CHECKS),
  }

  function prepared(name: 'ip' | 'prefix' | 'country' | 'total' | typeof FAILED_CHECKS) {
    const each: BudgetLimit[] = toMilliseconds<BudgetLimit>(limits[name])
    return each.map(({ max, window, share = 0, unit = 'message' }) => {
      const isPrice = unit === 'price'
      const end = isPrice ? `${window}:price` : String(window)
      return { end, isPrice, window, share, max: Math.floor(max * (isPrice ? PRICE_UNITS : 1)) }
    })
  }

  function named(
    name: keyof typeof limitsOf,
    subject: string,
    country = '',
    told = subject,
  ): NamedBudget[] {
    if (subject === '') return []
    return limitsOf[name].map(({ end, isPrice, window, share, max }) => {
      const units = isPrice ? priceOf(country) : 1
      return { name, subject, told, key: `${name}:${subject}:${end}`, window, share, units, max }
    })
  }

  const priceOf = (country: string): number =>
    Math.round((limits.prices[country] ?? limits.prices.default ?? 0) * PRICE_UNITS)

  /** Never exhausted: it only counts, and tells. */
  const converting = (subject: string, conversion: Budget['conversion']): NamedBudget => ({
    name: 'conversion',
    subject,
    told: subject,
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
  const prefixMac = (e164: string) => secrets.subjectMac(prefixOf(e164))

  const limiting = ({ e164, country }: Phone, ip: string, prefix: string): NamedBudget[] => [
    ...named('ip', ip, country),
    ...named('prefix', prefix, country, prefixOf(e164)),
    ...named('country', country, country),
    ...named('total', 'all', country),
  ]
  function sendBudgets(phone: Phone, ip: string): NamedBudget[] {
    const prefix = prefixMac(phone.e164)
    const limited = limiting(phone, ip, prefix)
    return conversion ? [...limited, ofCountry(phone.country), ofPrefix(prefix)] : limited
  }

  /** Not waited for: no answer depends on it, and the store has logged what went wrong. */
  function giveBack(budgets: Budget[], at: number, verified: boolean): void {
    if (budgets.length === 0) return
    store.refund(budgets, at, verified).catch(() => {})
  }

  function alert(budget: NamedBudget, { kind, used, max, share }: Reached): void {
    const { name, subject, told } = budget
    // Single addresses come and go; an operator acts on a prefix, a country or the whole.
    if (name === 'ip' || name === FAILED_CHECKS) return
    const window = budget.window / 1000
    if (kind === 'conversion') {
      const about = { country: subject, sends: used, share, window }
      logger.warn({ event: 'conversion.low', ...about }, 'few of a country’s codes are entered')
      hooks.onAlert({ kind: 'conversion', ...about })
    } else if (name !== 'conversion') {
      const about = { budget: name, subject, used, max, window, share }
      logger.warn({ event: 'budget.reached', ...about }, 'a budget is running out')
      hooks.onAlert({ kind: 'budget', ...about, subject: told })
    }
  }

  return {
    ofSend(phone, ip) {
      const mac = ipMac(ip)
      return { budgets: sendBudgets(phone, mac), soft, ip: mac }
    },
    ofCheck: (ip) => ({ budgets: named(FAILED_CHECKS, ipMac(ip)), soft }),
    nameOf: ({ budgets }, index) => (budgets[index] as NamedBudget).name,
    tell({ budgets }, { reached = [], over }) {
      for (const each of reached) alert(budgets[each.budget] as NamedBudget, each)
      for (const index of over) {
        const { name, subject } = budgets[index] as NamedBudget
        // Of wrong codes it was never said from whom.
        const about = name === FAILED_CHECKS ? { limit: name } : { limit: name, subject }
        logger.info({ event: 'limit.shadow', ...about }, 'would be refused')
      }
    },
    giveBack: ({ budgets }, at) => giveBack(budgets, at, false),
    giveBackSends(phone, spent) {
      for (const { at, ip } of spent) giveBack(sendBudgets(phone, ip), at, true)
    },
    async risk(phone, ip) {
      const budgets = limiting(phone, ipMac(ip), prefixMac(phone.e164))
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

const prefixOf = (e164: string): string => e164.slice(0, -4)
