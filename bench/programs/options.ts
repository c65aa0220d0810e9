/** What our programs are set to: the defaults, but for the limits' numbers. */
import { type BudgetLimit, LIMITS } from '../../src/limits.ts'
import type { SmsVerifyOptions } from '../../src/plugin.ts'

export const SECRET = 'a secret for measuring, of more than thirty-two bytes'

/** What a browser asks for. */
export const ACCEPT_LANGUAGE = 'zh-CN,zh;q=0.9,en;q=0.8'

/** More than a load from one address uses up. */
const PLENTY = 1e9

const raised = (limits: BudgetLimit[]): BudgetLimit[] =>
  limits.map((limit) => ({ ...limit, max: PLENTY }))

const { ip, prefix, failedChecksPerIp } = LIMITS.balanced

/** All protections on: those of the balanced preset, and the two that it leaves to the operator. */
export const OPTIONS: SmsVerifyOptions = {
  secret: SECRET,
  countries: ['CN'],
  limits: {
    ip: raised(ip),
    prefix: raised(prefix),
    failedChecksPerIp: raised(failedChecksPerIp),
    country: [{ max: PLENTY, window: 3600 }],
    total: [{ max: PLENTY, window: 3600 }],
  },
}
