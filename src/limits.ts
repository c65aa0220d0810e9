/** What may be sent and checked how often: the options and their defaults. */

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

/** Limits as the store takes them. */
export const toMilliseconds = (limits: Limits): Limit[] =>
  limits === false ? [] : [limits].flat().map(({ max, window }) => ({ max, window: window * 1000 }))

/** Whole seconds, never more than there are. */
export const secondsLeft = (ms: number): number => Math.max(0, Math.floor(ms / 1000))

/** Whole seconds, never fewer than it takes: who waits that long is let in. */
export const secondsToWait = (ms: number, least = 0): number =>
  Math.max(least, Math.ceil(ms / 1000))
