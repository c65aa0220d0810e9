/** What a fake provider can be told to do, and the numbers that ask for it. */
import type { OutcomeClass } from '../providers/provider.ts'
import type { Receipt } from '../receipts/receipt.ts'

/** What becomes of one call to a fake provider. `{}` is an SMS that is accepted, arrives, and is reported once as delivered. */
export interface Act {
  /** What `send` comes to: an outcome, an error, nothing before its signal ends, or an answer that is no outcome. @default 'ok' */
  answer?: OutcomeClass | 'throws' | 'silence' | 'garbage'
  /** The code of the outcome, for the log. @default none */
  code?: string
  /** Whether the SMS gets to the phone. @default true with `ok` and `duplicate` */
  arrives?: boolean
  /** Whether this is so for the first attempt only, and every later one is `{}`. @default false */
  first?: boolean
  /** Seconds until the answer; the SMS arrives before them. @default 0 */
  seconds?: number
  /** What is reported of the SMS, in this order. @default ['delivered'] for one that arrives, else none */
  receipts?: readonly Receipt['state'][]
  /** When that is: `'early'`, before the answer, or so many seconds after it. @default 0 */
  reported?: 'early' | number
}

/** An act that has a name. */
export interface MagicAct extends Act {
  /** The last two of its magic numbers. */
  digits: string
}

const acts = {
  ok: { digits: '00' },
  duplicate: { digits: '01', answer: 'duplicate' },
  retry: { digits: '02', answer: 'retry' },
  ambiguous: { digits: '03', answer: 'ambiguous' },
  rate_recipient: { digits: '04', answer: 'rate_recipient' },
  permanent_recipient: { digits: '05', answer: 'permanent_recipient' },
  permanent_request: { digits: '06', answer: 'permanent_request' },
  account: { digits: '07', answer: 'account' },
  fraud_block: { digits: '08', answer: 'fraud_block' },

  'retry-once': { digits: '10', answer: 'retry', first: true },
  'ambiguous-once': { digits: '11', answer: 'ambiguous', first: true },
  'arrives-ambiguous': { digits: '12', answer: 'ambiguous', arrives: true, first: true },
  silence: { digits: '13', answer: 'silence' },
  throws: { digits: '14', answer: 'throws' },
  garbage: { digits: '15', answer: 'garbage' },

  'slow-1s': { digits: '21', seconds: 1 },
  'slow-2s': { digits: '22', seconds: 2 },
  'slow-3s': { digits: '23', seconds: 3 },
  'slow-4s': { digits: '24', seconds: 4 },
  'slow-5s': { digits: '25', seconds: 5 },
  'slow-6s': { digits: '26', seconds: 6 },
  'slow-7s': { digits: '27', seconds: 7 },
  'slow-8s': { digits: '28', seconds: 8 },
  'slow-9s': { digits: '29', seconds: 9 },

  undelivered: { digits: '30', arrives: false, receipts: ['failed'] },
  'delivered-twice': { digits: '31', receipts: ['delivered', 'delivered'] },
  'delivered-early': { digits: '32', reported: 'early' },
  'undelivered-early': { digits: '33', arrives: false, receipts: ['failed'], reported: 'early' },
  'delivered-then-failed': { digits: '34', receipts: ['delivered', 'failed'] },
  'failed-then-delivered': { digits: '35', receipts: ['failed', 'delivered'] },
  'delivered-late': { digits: '36', reported: 5 },
  unreported: { digits: '37', receipts: [] },
} satisfies Record<string, MagicAct>

export type ActName = keyof typeof acts

export const ACTS: Readonly<Record<ActName, Readonly<MagicAct>>> = acts

// In each area code of the North American plan, 555-0100 to 555-0199 are set aside for fiction and are nobody's.
// https://en.wikipedia.org/wiki/555_(telephone_number)
const MAGIC = /55501(\d\d)$/

/**
 * A number that asks a fake provider for `name`: `prefix`, then 55501 and two digits. Any prefix will do that makes it a
 * mobile number; 100 of them, `+861300` to `+861399`, are for the mainland, and each area code such as `+1212` for the US.
 */
export const magicNumber = (name: ActName, prefix = '+861380'): string =>
  `${prefix}55501${ACTS[name].digits}`

const byDigits = new Map<string, Act>(Object.values(ACTS).map((act) => [act.digits, act]))

/** What the number asks for, if it is magic. */
export const magicAct = (phone: string): Act | undefined =>
  byDigits.get(MAGIC.exec(phone)?.[1] ?? '')
