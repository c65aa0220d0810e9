/** Several vendors as one: the next steps in when the one before certainly has not sent. */
import type { Outcome, OutcomeClass, SendOptions, SmsMessage, SmsProvider } from './provider.ts'

/**
 * Tries `providers` in order. Goes on to the next after `retry`, `account`, `permanent_request` and `rate_recipient`,
 * which say that nothing was sent and that another vendor may do better; any other outcome is final.
 *
 * When all have refused, the outcome is `retry` if one of them said so, else that of the last. `alert` is kept from
 * every vendor that was tried, and `code` lists them, such as `ronglian:160014 twilio:ok`. Throws a TypeError without
 * providers.
 */
export function failoverProvider(providers: SmsProvider[]): SmsProvider {
  if (providers.length === 0) {
    throw new TypeError('failoverProvider: providers: expected at least one, got none')
  }
  return {
    name: providers.map(({ name }) => name).join('+'),
    idempotent: providers.every(({ idempotent }) => idempotent),
    async send(message, options) {
      const outcomes: Outcome[] = []
      const trail: string[] = []
      let outcome: Outcome = { class: 'retry' }
      for (const provider of providers) {
        outcome = await trySend(provider, message, options)
        outcomes.push(outcome)
        trail.push(`${provider.name}:${outcome.code ?? outcome.class}`)
        if (!passable.has(outcome.class) || options.signal.aborted) break
      }
      if (passable.has(outcome.class)) {
        outcome = outcomes.find((each) => each.class === 'retry') ?? outcome
      }
      const alert = outcomes.some((each) => each.alert || each.class === 'account')
      return { ...outcome, code: trail.join(' '), ...(alert && { alert }) }
    },
  }
}

const passable = new Set<OutcomeClass>(['retry', 'account', 'permanent_request', 'rate_recipient'])

async function trySend(provider: SmsProvider, message: SmsMessage, options: SendOptions) {
  try {
    return await provider.send(message, options)
  } catch {
    return { class: 'ambiguous' } satisfies Outcome
  }
}
