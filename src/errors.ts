/** Every error a caller can meet, and what it says to the outside. Texts are static; what varies is a field. */
import createError from '@fastify/error'
import type { Puzzle } from './challenge.ts'
import type { Logger } from './log.ts'

/** Stable, closed list: switch on it. */
export type SmsVerifyErrorCode =
  | 'SMS_VERIFY_INVALID_OPTIONS'
  | 'SMS_VERIFY_INVALID_REQUEST'
  | 'SMS_VERIFY_INVALID_PHONE'
  | 'SMS_VERIFY_COUNTRY_NOT_ALLOWED'
  | 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'
  | 'SMS_VERIFY_REFUSED'
  | 'SMS_VERIFY_CHALLENGE_REQUIRED'
  | 'SMS_VERIFY_GONE'
  | 'SMS_VERIFY_WRONG_CODE'
  | 'SMS_VERIFY_TOO_MANY_REQUESTS'
  | 'SMS_VERIFY_UNAVAILABLE'
  | 'SMS_VERIFY_INTERNAL_ERROR'

export interface SmsVerifyError extends Error {
  code: SmsVerifyErrorCode
  statusCode: number
  /** Whole seconds to wait, with `TOO_MANY_REQUESTS` and `UNAVAILABLE`. */
  retryAfter?: number
  /** Checks that the verification has left, with `WRONG_CODE`. */
  checksLeft?: number
  /** What has to be solved, with `CHALLENGE_REQUIRED`. */
  challenge?: Puzzle
}

/** Seconds after which an answer says to try again when a part is down. */
const RETRY_AFTER_OUTAGE = 5

const define = (code: SmsVerifyErrorCode, message: string, statusCode: number) => {
  const Constructor = createError(code, message, statusCode)
  return (
    fields: Pick<SmsVerifyError, 'retryAfter' | 'checksLeft' | 'challenge'> & {
      cause?: unknown
    } = {},
  ) => Object.assign(withoutStack(Constructor), fields) as unknown as SmsVerifyError
}

/** These are answers, not defects: where they were made tells nothing, and to find it out costs more than a check. */
function withoutStack(Constructor: new () => Error): Error {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return new Constructor()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

export const invalidRequest = define(
  'SMS_VERIFY_INVALID_REQUEST',
  'The request is not of the form that this route takes.',
  400,
)
export const invalidPhone = define(
  'SMS_VERIFY_INVALID_PHONE',
  'This is not a phone number in a form that is accepted here.',
  400,
)
export const countryNotAllowed = define(
  'SMS_VERIFY_COUNTRY_NOT_ALLOWED',
  'Numbers of this country are not accepted here.',
  403,
)
export const numberTypeNotAllowed = define(
  'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED',
  'Only mobile numbers are accepted here.',
  403,
)
export const refused = define('SMS_VERIFY_REFUSED', 'No code can be sent to this number now.', 403)
export const challengeRequired = define(
  'SMS_VERIFY_CHALLENGE_REQUIRED',
  'Solve the challenge and send the solution along.',
  403,
)
export const gone = define(
  'SMS_VERIFY_GONE',
  'This verification is over or never was. Start a new one.',
  410,
)
export const wrongCode = define('SMS_VERIFY_WRONG_CODE', 'The code is wrong.', 422)
export const tooManyRequests = define(
  'SMS_VERIFY_TOO_MANY_REQUESTS',
  'Too many requests. Wait before the next one.',
  429,
)
const unavailableFor = define(
  'SMS_VERIFY_UNAVAILABLE',
  'The service cannot do this right now. Try again.',
  503,
)

/** A part is down. The cause is for the log, not for the outside. */
export const unavailable = (cause: unknown) =>
  unavailableFor({ retryAfter: RETRY_AFTER_OUTAGE, cause })

export const internalError = define(
  'SMS_VERIFY_INTERNAL_ERROR',
  'Something went wrong on the server.',
  500,
)

/** Wrong options: a mistake of the developer, so the text says what was expected and what was there. */
export const invalidOptions: new (message: string) => SmsVerifyError = createError(
  'SMS_VERIFY_INVALID_OPTIONS',
  '%s',
  500,
) as never

/**
 * The one line of the log for a send or a check that came to nothing, whichever way. The cause says what the client is not
 * told, such as the budget that has run out.
 */
export function tellFailure(what: 'send' | 'verify', error: unknown, about: object, log: Logger) {
  if (!isSmsVerifyError(error)) return
  const { code, cause, checksLeft } = error
  const said = cause instanceof Error ? cause.message : cause
  const reason = said ?? code.replace('SMS_VERIFY_', '').toLowerCase()
  if (code === 'SMS_VERIFY_UNAVAILABLE') {
    log.warn({ event: `${what}.unavailable`, reason, ...about }, 'this cannot be done now')
  } else {
    log.info({ event: `${what}.refused`, reason, ...about, checksLeft }, 'refused')
  }
}

/** Whether this is one of ours, made to be shown. */
export const isSmsVerifyError = (error: unknown): error is SmsVerifyError =>
  error instanceof Error &&
  'code' in error &&
  typeof error.code === 'string' &&
  error.code.startsWith('SMS_VERIFY_')
