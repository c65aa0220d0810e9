/** The contract between the consumer and an SMS vendor. Everything a provider author needs is in this file. */

/** One SMS to be sent. All fields are ready to use; nothing in them came from the browser unchecked. */
export interface SmsMessage {
  /** Canonical E.164 number, such as `+8613800138000`. */
  phone: string
  /** ISO 3166-1 alpha-2 country of the number, such as `CN`. */
  country: string
  /** The code as a string of digits; leading zeros count. */
  code: string
  /** The composed text, for vendors that take free text. */
  text: string
  /** Whole minutes that the code lives, for vendors that take template variables. */
  minutes: number
  /** Seconds until the code expires. Hand it to the vendor where it takes a validity period. */
  expiresIn: number
  /** What the code is for, as the host named it. */
  purpose: string
  /** BCP 47 tags of the person's languages, best first; none if nothing is known. Unchecked beyond their characters. */
  locales: string[]
  /** The verification this SMS belongs to. */
  id: string
  /** 1 for the first code of a verification, then 1 more for every resend. */
  version: number
  /** Which try of the consumer this is, from 1. */
  attempt: number
  /**
   * 32 characters `[0-9a-f]`, the same for every attempt to send this version and for nothing else: the idempotency
   * key for vendors that have one.
   */
  key: string
}

/**
 * What a call to a vendor came to.
 *
 * | class | meaning | the consumer then |
 * | --- | --- | --- |
 * | `ok` | the vendor accepted the SMS | is done |
 * | `duplicate` | the vendor had accepted this `key` before | is done |
 * | `retry` | certainly not sent, will pass | tries again after 3, 6, 12 s |
 * | `ambiguous` | may have been sent | tries again if `idempotent` or at-least-once, else ends as unknown |
 * | `rate_recipient` | the vendor's limit for this number | gives up |
 * | `permanent_recipient` | bad, barred or opted-out number | gives up |
 * | `permanent_request` | template, signature or content refused | gives up |
 * | `account` | credentials, balance, rights | gives up, logs an error for the operator |
 * | `fraud_block` | the vendor takes it for SMS pumping | gives up |
 */
export type OutcomeClass =
  | 'ok'
  | 'duplicate'
  | 'retry'
  | 'ambiguous'
  | 'rate_recipient'
  | 'permanent_recipient'
  | 'permanent_request'
  | 'account'
  | 'fraud_block'

export interface Outcome {
  class: OutcomeClass
  /** The vendor's id of the message, when it accepted one. */
  messageId?: string
  /**
   * What happened, for the log: the vendor's own code, or a short word such as `HTTP_502` or `ECONNREFUSED`. Never the
   * vendor's text: it may quote the number or the credentials.
   */
  code?: string
  /** Set when a person has to look at it although the class alone does not say so. */
  alert?: boolean
}

export interface SendOptions {
  /** Aborts when the consumer's time for one attempt, 10 s, is over. Says nothing once `send` has settled. */
  signal: AbortSignal
}

/**
 * A vendor. Make one with a factory function that takes the vendor's settings, throws on wrong ones, and returns a
 * plain object. An answer that `send` cannot read, and anything that it throws, counts as `ambiguous`.
 */
export interface SmsProvider {
  /** Short and stable; it stands in logs. What is before a colon is the vendor, to whom receipts belong: `aliyun:abroad`. */
  name: string
  /** True if the vendor drops a second request with the same `key`, so that an unknown outcome is safe to repeat. */
  idempotent?: boolean
  /**
   * What becomes of `message.text`: it is sent, `'free'`; it is sent where segments are counted as in mainland China, every
   * character like a Chinese one, `'mainland'`; or a template of the vendor's is sent instead, `'template'`. Only the warnings
   * at the start of the consumer go by it. @default 'free'
   */
  text?: 'free' | 'mainland' | 'template'
  /** Whether it sends to a country, by ISO 3166-1 alpha-2 code: where it does not, a chain never asks it. @default to all */
  serves?(country: string): boolean
  send(message: SmsMessage, options: SendOptions): Promise<Outcome>
}

/** The part of the global `fetch` that providers use. It is their one seam for tests and proxies. */
export type Fetch = (
  url: string,
  init: {
    method: string
    headers: Record<string, string>
    body: string
    redirect: 'error'
    signal: AbortSignal
  },
) => Promise<{
  status: number
  headers?: { get(name: string): string | null }
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null
}>
