/** Receipts that a vendor pushes several at once, as a JSON array, and what such a receipt says. */
import type { FailureReason } from '../store/store.ts'
import type { Receipt } from './receipt.ts'

/** By the vendor's code, why an SMS was not delivered; for all that are not in it the reason is `provider`. */
export type Reasons = ReadonlyMap<string, FailureReason>

/**
 * Those of the items that `receiptOf` can read. `malformed` if it is no array, or if there are items and none can be read.
 */
export function readBatch(
  body: string,
  receiptOf: (item: Record<string, unknown>) => Receipt | undefined,
): Receipt[] | 'malformed' {
  const items = parse(body)
  if (!Array.isArray(items)) return 'malformed'
  const receipts = items.flatMap((item) => receiptOf({ ...Object(item) }) ?? [])
  return receipts.length === 0 && items.length > 0 ? 'malformed' : receipts
}

/** Which SMS it is about. */
type About = Pick<Receipt, 'messageId' | 'key'>

export const delivered = (about: About): Receipt => ({ ...about, state: 'delivered' })

/** Shows the vendor's code only if it can be one: nothing that holds a number or a sentence. */
export function failed(about: About, code: unknown, reasons: Reasons): Receipt {
  const receipt: Receipt = { ...about, state: 'failed', reason: 'provider' }
  if (typeof code !== 'string' || !/^(?!.*\d{7})[\w.:-]{1,64}$/.test(code)) return receipt
  return { ...receipt, reason: reasons.get(code) ?? 'provider', code }
}

/** What the vendor gives back, if it is a `SmsMessage.key`. */
export const keyOf = (value: unknown): Pick<Receipt, 'key'> =>
  typeof value === 'string' && /^[0-9a-f]{32}$/.test(value) ? { key: value } : {}

/** Undefined for what is no JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
