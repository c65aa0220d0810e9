/** What a page sees of a verification. */

/** What went wrong, as data: the codes of the routes, and `SMS_VERIFY_UNREACHABLE` where there was no answer. */
export type VerificationError =
  | { code: 'SMS_VERIFY_WRONG_CODE'; checksLeft: number }
  | {
      code: 'SMS_VERIFY_TOO_MANY_REQUESTS' | 'SMS_VERIFY_UNAVAILABLE'
      /** Seconds to wait when it was said; `resendIn` or `checkIn` counts them down. */
      retryAfter: number
    }
  | {
      code:
        | 'SMS_VERIFY_INVALID_REQUEST'
        | 'SMS_VERIFY_INVALID_PHONE'
        | 'SMS_VERIFY_COUNTRY_NOT_ALLOWED'
        | 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'
        | 'SMS_VERIFY_REFUSED'
        | 'SMS_VERIFY_CHALLENGE_REQUIRED'
        | 'SMS_VERIFY_GONE'
        | 'SMS_VERIFY_INTERNAL_ERROR'
        | 'SMS_VERIFY_UNREACHABLE'
    }

export type VerificationErrorCode = VerificationError['code']

/** What became of the SMS. */
export type Delivery = 'queued' | 'sending' | 'sent' | 'delivered' | 'failed'

/** Why the SMS was not delivered. */
export type DeliveryFailure = 'recipient' | 'rate' | 'blocked' | 'provider' | 'late'

/** Never changed: each change makes another object. */
export interface VerificationState {
  /**
   * `waiting` for the code; `failed` when there is nothing left to wait for and `error` says why. A wrong code and a
   * refused resend leave it `waiting`.
   */
  readonly status: 'idle' | 'sending' | 'waiting' | 'checking' | 'verified' | 'failed'
  /** Of the verification, as the routes know it; undefined before it is known and after the end. */
  readonly id: string | undefined
  /** The number as it was given to `send`. */
  readonly phone: string | undefined
  /** Digits of a code. @default 6, until the server has said it */
  readonly codeLength: number
  /** Seconds that the code lives; undefined without a code, and until the server was asked after a reload. */
  readonly expiresIn: number | undefined
  /** Seconds until `resend`, or `send` for the same number, may be called; undefined as with `expiresIn`. */
  readonly resendIn: number | undefined
  /** Seconds until `verify` may be called. */
  readonly checkIn: number
  /** Codes that can still be tried; undefined until the server has said it. */
  readonly checksLeft: number | undefined
  readonly delivery: Delivery | undefined
  /** With the delivery `failed`. */
  readonly reason: DeliveryFailure | undefined
  /** What is or was checked last, such as a code that the browser has read from the SMS. */
  readonly code: string | undefined
  /** Of the last send or check; gone with the next one. While `sending`: the connection was lost, and it is tried again. */
  readonly error: VerificationError | undefined
  /** When `verified`: single-use, for your server to redeem. */
  readonly proof: string | undefined
  /** When `verified`: what the number is proved for. */
  readonly purpose: string | undefined
}

export interface VerificationOptions {
  /** Where the routes are, without a slash at the end. @default '/sms' */
  baseUrl?: string | undefined
  /** One of the server's `purposes`. @default the first of them */
  purpose?: string | undefined
  /** BCP 47 tag of the SMS's language. @default the server's choice, by the number */
  locale?: string | undefined
  /** For headers or credentials of yours, and for tests. @default globalThis.fetch */
  fetch?: typeof globalThis.fetch | undefined
}

/** None of the methods throws or rejects: what went wrong is in the state. */
export interface Verification {
  readonly state: VerificationState
  /** Calls back at once and with every change, each second of a countdown included. Answers how to stop it. */
  subscribe(listener: (state: VerificationState) => void): () => void
  /** Begins a verification of this number, and forgets the one before. */
  send(phone: string): Promise<VerificationState>
  /** Another code for the same number; the old one is dead at once. */
  resend(): Promise<VerificationState>
  /** Checks a code, whatever stands between its digits. */
  verify(code: string): Promise<VerificationState>
  /** Back to the beginning, for another number. */
  reset(): void
  /** Ends timers, connections and listeners. What is stored stays, for the next page. */
  close(): void
}
