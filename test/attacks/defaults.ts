/** The limits by default, counted by the day, and on a clock that runs faster. */
import type { LimitsOptions } from '../../src/limits.ts'
import { LIMITS } from '../../src/plugin.ts'

const DAY = 86_400

type LimitName = 'phone' | 'ip' | 'prefix' | 'failedChecksPerIp'

/** The most that a limit lets through in a day where nothing is verified. */
export const perDay = (name: LimitName): number =>
  Math.min(...LIMITS.balanced[name].map(({ max, window }) => (max * DAY) / Math.min(window, DAY)))

/** All that is counted in seconds, so many times shorter: an hour's attack takes a minute. */
export function faster(factor: number): LimitsOptions {
  const { cooldown, ...limits } = LIMITS.balanced
  const shorten = <T extends { window: number }>(each: T[]): T[] =>
    each.map((one) => ({ ...one, window: one.window / factor }))
  return {
    ...limits,
    cooldown: cooldown.map((seconds) => seconds / factor),
    phone: shorten(limits.phone),
    ip: shorten(limits.ip),
    prefix: shorten(limits.prefix),
    failedChecksPerIp: shorten(limits.failedChecksPerIp),
  }
}

/** What the first, the shortest, window of a limit lets through. */
export const atOnce = (name: LimitName): number => LIMITS.balanced[name][0]?.max as number
