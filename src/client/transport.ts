/** Requests to the routes: each has an answer, which may be that there was none. */
import type { Delivery, DeliveryFailure, VerificationError } from './types.ts'

export interface Status {
  status: Delivery | 'expired' | 'verified'
  reason?: DeliveryFailure
  expiresIn: number
  resendIn: number
  checksLeft: number
}

/** What the routes answer; each of them with its part. */
interface Body extends Status {
  id: string
  codeLength: number
  proof: string
  purpose: string
}

interface Success {
  /** When it was asked for. */
  askedAt: number
  body: Body
  error?: undefined
  unsure?: undefined
  challenge?: undefined
}

interface Failure {
  askedAt: number
  body?: undefined
  error: VerificationError
  /** The request may have been carried out all the same. */
  unsure?: boolean
  challenge?: { puzzle: string; bits: number } | undefined
}

export type Answer = Success | Failure

/** Milliseconds until a request without an answer counts as lost. */
export const PATIENCE = 10_000

export interface TransportOptions {
  baseUrl: string
  fetch: typeof globalThis.fetch
  /** Ends all requests. */
  signal: AbortSignal
}

/** Posts a body, or asks where there is none. Never rejects. */
export type Ask = (
  path: string,
  body?: object,
  idempotencyKey?: string,
  patience?: number,
) => Promise<Answer>

export function createTransport({
  baseUrl,
  fetch: request,
  signal: closing,
}: TransportOptions): Ask {
  return async function ask(
    path: string,
    body?: object,
    idempotencyKey?: string,
    patience = PATIENCE,
  ): Promise<Answer> {
    const askedAt = performance.now()
    try {
      const response = await request(baseUrl + path, {
        method: body ? 'POST' : 'GET',
        headers: {
          ...(body && { 'content-type': 'application/json' }),
          ...(idempotencyKey && { 'idempotency-key': idempotencyKey }),
        },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.any([closing, AbortSignal.timeout(patience)]),
      })
      if (response.ok) return { askedAt, body: await response.json() }
      // The page of a proxy has a status, too.
      const answer = (await response.json().catch(() => 0)) || {}
      const error = errorOf(response, answer)
      const { challenge } = answer
      if (error) return { askedAt, error, challenge, unsure: response.status >= 500 }
    } catch {
      // No answer, or a success that is no JSON: one of something between us and the server.
    }
    return { askedAt, error: { code: 'SMS_VERIFY_UNREACHABLE' }, unsure: true }
  }
}

/** The moment until which an error asks to wait; 0 where it does not. */
export const waitOf = (error: VerificationError): number =>
  'retryAfter' in error ? performance.now() + error.retryAfter * 1000 : 0

/** Undefined where the server itself has not answered. */
function errorOf(
  { status, headers }: Response,
  { code, retryAfter, checksLeft }: Record<string, unknown>,
): VerificationError | undefined {
  if (String(code).startsWith('SMS_VERIFY_')) {
    const fields = {
      ...(retryAfter !== undefined && { retryAfter }),
      ...(checksLeft !== undefined && { checksLeft }),
    }
    return { code, ...fields } as VerificationError
  }
  // A rate limit of the host's own.
  if (status === 429) {
    const seconds = Number(headers.get('retry-after')) || 10
    return { code: 'SMS_VERIFY_TOO_MANY_REQUESTS', retryAfter: seconds }
  }
  return status < 500 ? { code: 'SMS_VERIFY_INTERNAL_ERROR' } : undefined
}
