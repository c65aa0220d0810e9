/** What the refusals of Twilio's Messages resource mean. */
import type { Outcome, OutcomeClass } from './provider.ts'

/** The outcome of an answer with an HTTP `status` other than 2xx and the field `code` of its body. */
export function outcomeOfError(status: number, code: unknown): Outcome {
  // Twilio's codes are numbers of five digits. Anything else may quote the request, so it must not reach the log.
  const known = typeof code === 'number' && /^\d{5}$/.test(String(code))
  const shown = known ? String(code) : `HTTP_${status}`
  const name = classOfCode(shown) ?? unknownClass(shown, status)
  return name === 'account'
    ? { class: name, code: shown, alert: true }
    : { class: name, code: shown }
}

/** Of a code of Twilio's that is known, whether it answers a request or comes with a status callback. */
export const classOfCode = (code: string): OutcomeClass | undefined => classes.get(code)

// Without a code of Twilio's, the answer may come from a gateway in front of it, which knows only the HTTP status.
function unknownClass(code: string, status: number): OutcomeClass {
  // 21xxx refuse the message.
  if (/^21\d{3}$/.test(code)) return 'permanent_request'
  if (status === 401 || status === 403) return 'account'
  // Never processed: https://www.twilio.com/docs/api/errors/20429
  if (status === 429) return 'retry'
  return status >= 400 && status < 500 ? 'permanent_request' : 'ambiguous'
}

// Meanings after https://www.twilio.com/docs/api/errors. The 30xxx come with status callbacks.
const table: [OutcomeClass, string][] = [
  // Too many requests at once; Twilio unavailable; the sender's queue full; the rate of the carrier or of 10DLC.
  ['retry', '20429 20503 21611 30001 30017 30022'],
  // Twilio failed inside; the carrier did not answer in time.
  ['ambiguous', '20500 30410'],
  // Too many messages between two numbers.
  ['rate_recipient', '14107'],
  // Not a number, not a mobile one, a landline, opted out, out of reach.
  ['permanent_recipient', '21211 21217 21610 21612 21614 21635 30004 30005 30006'],
  // Fields missing or malformed, text refused or too long, wrong path.
  ['permanent_request', '20404 21602 21603 21604 21609 21617 21618 21619 21655 21656 90007'],
  ['permanent_request', '30007 30010 30019'],
  // Credentials, balance, trial account, country not enabled.
  ['account', '10001 20003 20005 21219 21408 21608 30002'],
  // Sender: not of the account, not able to send there, not registered, over its daily limit.
  ['account', '21212 21601 21606 21703 21704 21705 30018 30023 30024 30027 30032 30034'],
  // SMS Pumping Protection has blocked the destination for a while.
  ['fraud_block', '30450'],
]

const classes = new Map(
  table.flatMap(([name, codes]) => codes.split(' ').map((code) => [code, name] as const)),
)
