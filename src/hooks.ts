/** The host's hooks: what they are told, and how a slow or failing one is kept from doing harm. */
import type { FastifyRequest } from 'fastify'
import type { BudgetName } from './budgets.ts'
import { withDeadline } from './deadline.ts'
import { refused } from './errors.ts'
import type { Logger } from './log.ts'
import type { HealthReport } from './store/store.ts'

export interface BeforeSendContext {
  /** The number in E.164. */
  phone: string
  country: string
  /** Undefined in a resend that does not name it: it is the verification's. */
  purpose: string | undefined
  /** The verification, in a resend. */
  id: string | undefined
  /** BCP 47 tag of the person's language; the best one where they said several. */
  locale: string | undefined
  ip: string | undefined
  /** The request, when the code was asked for over HTTP: a CAPTCHA answer can travel in a header of it. */
  request: FastifyRequest | undefined
}

/**
 * `true` is `'allow'`, `false` is `'refuse'`; `'trusted'` allows and lifts the slow-down of suspicious numbers;
 * `'challenge'` allows whoever has solved a proof of work.
 */
export type BeforeSendVerdict = 'allow' | 'refuse' | 'trusted' | 'challenge' | boolean

export type Alert = BudgetAlert | ConversionAlert | ProviderAlert

export interface BudgetAlert {
  kind: 'budget'
  budget: Exclude<BudgetName, 'conversion'>
  /** The country, `all`, or the prefix: numbers without their last four digits. The log has its pseudonym. */
  subject: string
  used: number
  max: number
  /** Seconds. */
  window: number
  /** 0.8 or 1 of `max` has been reached. */
  share: number
}

export interface ConversionAlert {
  kind: 'conversion'
  country: string
  /** In the window; without those so recent that people are still typing. */
  sends: number
  /** Of them, what was verified, from 0 to 1. */
  share: number
  /** Seconds. */
  window: number
}

export interface ProviderAlert {
  kind: 'provider'
  /** It is not asked first any more in that country, where there is another one. */
  provider: string
  country: string
  /**
   * The vendor refuses our `account`, half of its `calls` fail, half of its `receipts` say so, or hardly any of its `codes` is
   * entered.
   */
  cause: HealthReport['signal']
}

export interface Hooks {
  /**
   * Decides on a send before anything is spent on it: CAPTCHA, look-up of the number, block list. A hook that throws,
   * answers anything else, or takes longer than 5 s has refused.
   */
  beforeSend?:
    | ((context: BeforeSendContext) => BeforeSendVerdict | Promise<BeforeSendVerdict>)
    | undefined
  /** A number was verified. Not waited for; a host that must know redeems the proof. */
  onVerified?:
    | ((verified: { id: string; phone: string; purpose: string }) => void | Promise<void>)
    | undefined
  /** A number was disabled after 100 failed checks in a row; `unlock` enables it again. Not waited for. */
  onDisabled?: ((disabled: { phone: string }) => void | Promise<void>) | undefined
  /**
   * A budget has reached 80 % or 100 %, or few of a country's codes are entered, once per window; or a provider is not well. Not
   * waited for.
   */
  onAlert?: ((alert: Alert) => void | Promise<void>) | undefined
}

export interface SafeHooks {
  /** Throws `SMS_VERIFY_REFUSED` if the host refuses. */
  beforeSend(context: BeforeSendContext): Promise<'allow' | 'trusted' | 'challenge'>
  onVerified(verified: { id: string; phone: string; purpose: string }): void
  onDisabled(disabled: { phone: string }): void
  onAlert(alert: Alert): void
}

/** Milliseconds that `beforeSend` may take. */
const BEFORE_SEND_TIMEOUT = 5000

export function safeHooks(hooks: Hooks, logger: Logger): SafeHooks {
  /** On the side: it can neither delay nor change the answer. */
  const notify =
    <T>(hook: keyof Hooks, run: ((argument: T) => void | Promise<void>) | undefined) =>
    (argument: T): void => {
      if (!run) return
      Promise.resolve(argument)
        .then(run)
        .catch((err) => logger.error({ event: 'hook.failed', hook, err }, 'a hook failed'))
    }

  return {
    async beforeSend(context) {
      if (!hooks.beforeSend) return 'allow'
      const hook = 'beforeSend'
      let verdict: BeforeSendVerdict
      try {
        verdict = await withDeadline(
          Promise.resolve(hooks.beforeSend(context)),
          BEFORE_SEND_TIMEOUT,
          'no verdict',
        )
      } catch (err) {
        logger.error(
          { event: 'hook.failed', hook, err },
          'beforeSend failed, so the send is refused',
        )
        throw refused({ cause: hook })
      }
      if (verdict === 'trusted' || verdict === 'challenge') return verdict
      if (verdict === 'allow' || verdict === true) return 'allow'
      if (verdict !== 'refuse' && verdict !== false) {
        const expected = "'allow', 'refuse', 'trusted', 'challenge' or a boolean"
        logger.error({ event: 'hook.failed', hook, expected }, 'beforeSend gave no verdict')
      }
      throw refused({ cause: hook })
    },
    onVerified: notify('onVerified', hooks.onVerified),
    onDisabled: notify('onDisabled', hooks.onDisabled),
    onAlert: notify('onAlert', hooks.onAlert),
  }
}
