/** The contract between the web half and what a vendor says later about an SMS. Everything an author needs is in this file. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FailureReason } from '../store/store.ts'

/** What became of an SMS that a vendor had accepted. There is none for what happens on the way, such as `queued` or `sent`. */
export interface Receipt {
  /** The vendor's id of the message, as in `Outcome.messageId`. */
  messageId: string
  /** `SmsMessage.key`, where the vendor gives it back: finds an SMS whose sending was not answered. */
  key?: string
  state: 'delivered' | 'failed'
  /** With `failed`. */
  reason?: FailureReason
  /** The vendor's own code, for the log; never its text, which may quote the number. */
  code?: string
}

/** By what an SMS is found again. Two providers of one vendor, such as `aliyun` and `aliyun:abroad`, have their receipts together. */
export const messageName = (provider: string, messageIdOrKey: string): string =>
  `${vendorOf(provider)} ${messageIdOrKey}`

export const vendorOf = (provider: string): string => provider.replace(/:.*/, '')

/** What a token is like, and how that is said. */
export const TOKEN: [shape: RegExp, expected: string] = [
  /^[\w-]{20,100}$/,
  '20 to 100 characters of A-Z, a-z, 0-9, _ and -',
]

/** A request of the vendor's, as it came in. */
export interface ReceiptRequest {
  /** Path and query. */
  url: string
  headers: IncomingHttpHeaders
  /** Unparsed, at most 256 KiB. */
  body: string
}

/**
 * Where receipts come from. Make one with a factory function that takes the vendor's settings, throws on wrong ones, and
 * returns a plain object.
 */
export interface ReceiptSource {
  /** The provider whose SMS they are about: its `name`, up to a colon. The route is `POST /sms/receipts/NAME`. */
  provider: string
  /**
   * The last part of the route's path, for vendors that do not sign: whoever knows it may say what became of an SMS. 20 to
   * 100 characters of `[A-Za-z0-9_-]`.
   */
  token?: string
  /**
   * The receipts in a request; `forged` if its signature does not hold, or nobody should have sent it, `malformed` if it cannot be
   * read. Never throws.
   */
  read(request: ReceiptRequest): Receipt[] | 'forged' | 'malformed'
  /** What the vendor wants to hear once they are stored: the JSON body of a 200, or an empty 204 without it. */
  answer?: object
  /** Asks the vendor for receipts that nobody has fetched yet, where it can be asked. Rejects when that fails. */
  pull?: {
    /** Seconds between two questions. */
    every: number
    receipts(options: { signal: AbortSignal }): Promise<Receipt[]>
  }
  /** Tells the vendor that the code of this message was entered. Not waited for; a rejection is logged. */
  confirm?(messageId: string, options: { signal: AbortSignal }): Promise<void>
}
