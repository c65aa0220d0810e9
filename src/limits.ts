/** What may be sent and checked how often: the options, their defaults, and the budgets that a request spends from. */
import ipaddr from 'ipaddr.js'
import type { Secrets } from './secrets.ts'
import type { Budget } from './store/store.ts'

/** At most `max` in any `window` seconds. */
export interface Limit {
  max: number
  window: number
}

type Limits = Limit | Limit[] | false

/**
 * `cooldown` and `phone` count every send to a number. The others are budgets for sends whose code nobody entered: a
 * success gives its units back, so honest traffic from one address passes and SMS pumping runs into the wall.
 */
export interface LimitsOptions {
  /**
   * Seconds to wait after the 1st, 2nd … send to a number without a success in between; the last one repeats.
   * @default [60, 120, 300]
   */
  cooldown?: number[] | false
  /**
   * Sends to one number, over all purposes and addresses.
   * @default [{ max: 5, window: 3600 }, { max: 10, window: 86400 }]
   */
  phone?: Limits
  /**
   * Unverified sends from one IPv4 address or one IPv6 /64.
   * @default [{ max: 10, window: 600 }, { max: 30, window: 86400 }]
   */
  ip?: Limits
  /**
   * Unverified sends to numbers that differ in their last four digits only.
   * @default [{ max: 20, window: 3600 }]
   */
  prefix?: Limits
  /**
   * Unverified sends to one country, each country by itself. What is right depends on your traffic.
   * @default false
   */
  country?: Limits
  /**
   * Unverified sends in all: the most that an attack can cost. What is right depends on your traffic.
   * @default false
   */
  total?: Limits
  /**
   * Wrong codes from one IPv4 address or one IPv6 /64, over all verifications.
   * @default [{ max: 30, window: 600 }]
   */
  failedChecksPerIp?: Limits
}

export const LIMIT_DEFAULTS = {
  cooldown: [60, 120, 300],
  phone: [
    { max: 5, window: 3600 },
    { max: 10, window: 86_400 },
  ],
  ip: [
    { max: 10, window: 600 },
    { max: 30, window: 86_400 },
  ],
  prefix: [{ max: 20, window: 3600 }],
  country: false,
  total: false,
  failedChecksPerIp: [{ max: 30, window: 600 }],
} satisfies LimitsOptions

export type BudgetName = 'ip' | 'prefix' | 'country' | 'total' | 'failedChecksPerIp'

/** A budget together with what an alert says about it. */
export interface NamedBudget extends Budget {
  name: BudgetName
  /** What the units are counted for: a country, or a pseudonym. */
  subject: string
}

export interface Budgets {
  /** What one send spends from. `ip` is a pseudonym from `ipMac`, or '' if unknown. */
  ofSend(phone: { e164: string; country: string }, ip: string): NamedBudget[]
  /** What one check spends from until it turns out right. */
  ofCheck(ip: string): NamedBudget[]
  /** Pseudonym of an address or of its network; '' for none. */
  ipMac(ip: string | undefined): string
}

export function createBudgets(options: LimitsOptions, secrets: Secrets): Budgets {
  const limits = { ...LIMIT_DEFAULTS, ...options }
  const named = (name: BudgetName, subject: string): NamedBudget[] =>
    subject === ''
      ? []
      : toMilliseconds(limits[name]).map((window) => ({
          ...window,
          name,
          subject,
          key: `${name}:${subject}:${window.window}`,
        }))

  return {
    ofSend: ({ e164, country }, ip) => [
      ...named('ip', ip),
      ...named('prefix', secrets.subjectMac(e164.slice(0, -4))),
      ...named('country', country),
      ...named('total', 'all'),
    ],
    ofCheck: (ip) => named('failedChecksPerIp', ip),
    ipMac: (ip) => (ip === undefined ? '' : secrets.subjectMac(network(ip))),
  }
}

/** Limits as the store takes them. */
export const toMilliseconds = (limits: Limits): Limit[] =>
  limits === false ? [] : [limits].flat().map(({ max, window }) => ({ max, window: window * 1000 }))

// One household or server holds a whole /64 of IPv6, and an IPv4 address can be written as an IPv6 one.
function network(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip
  const address = ipaddr.process(ip)
  return address.kind() === 'ipv6'
    ? address.toByteArray().slice(0, 8).join('.')
    : address.toString()
}
