/** One HTTP call to a vendor: bounded, never redirected, and sorted into certainly not sent and maybe sent. */
import { NotSentError, pooledFetch } from './pool.ts'
import type { Fetch, Outcome } from './provider.ts'
import { markReleased } from './signals.ts'

export interface HttpRequest {
  headers: Record<string, string>
  body: string
  signal: AbortSignal
  /** Longest answer that is read. @default 64 KiB: the vendors answer a send in well under 1 KiB */
  maxBytes?: number
}

export interface HttpAnswer {
  status: number
  /** The fields of the JSON object in the body; none if the body is anything else. */
  json: Record<string, unknown>
  /** Whether it says when to come again, as a server does that has not begun with the request. */
  retryAfter: boolean
}

/**
 * Posts `request` to `url` with `fetch`, or over the pools of the process. Answers what the vendor said, or the outcome
 * `retry` (nothing can have left) or `ambiguous` (it may have) when there is no answer to read. Never throws.
 */
export async function post(
  fetch: Fetch | undefined,
  url: string,
  request: HttpRequest,
): Promise<HttpAnswer | Outcome> {
  const { signal } = request
  if (signal.aborted) return { class: 'retry', code: 'AbortError' }
  try {
    // The pool itself ends with the signal.
    if (fetch === undefined) return await exchange(pooledFetch, url, request)
    return await untilAborted(exchange(fetch, url, request), signal)
  } catch (error) {
    return outcomeOfError(error)
  } finally {
    markReleased(signal, true)
  }
}

/**
 * Ends with the signal even where a fetch does not: Node's holds it only weakly while it reads a body, and a garbage collection can
 * make it forget it. A fetch that does end may know whether anything was sent, so it speaks first.
 */
async function untilAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: (reason: unknown) => void
  const aborted = new Promise<never>((_, reject) => {
    abort = reject
  })
  const onAbort = () => setImmediate(abort, signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

async function exchange(
  fetch: Fetch,
  url: string,
  request: HttpRequest,
): Promise<HttpAnswer | Outcome> {
  const { maxBytes = 64 * 1024 } = request
  const { status, headers, body } = await fetch(url, {
    method: 'POST',
    redirect: 'error',
    headers: request.headers,
    body: request.body,
    signal: request.signal,
  })
  const text = await readText(body, maxBytes)
  if (text === undefined) return TOO_LONG
  const retryAfter = headers?.get('retry-after') != null
  return { status, json: parseObject(text), retryAfter }
}

/**
 * The outcome of an answer that comes from something in front of a vendor that itself answers otherwise: 4xx has turned the
 * request away, so it is worth another try, and is for a person to see unless it only says to slow down. Anything else may
 * have passed the request on.
 */
export function outcomeOfHttpStatus(status: number): Outcome {
  const code = `HTTP_${status}`
  if (status === 408 || status === 429) return { class: 'retry', code }
  if (status >= 400 && status < 500) return { class: 'retry', code, alert: true }
  return { class: 'ambiguous', code }
}

const TOO_LONG: Outcome = { class: 'ambiguous', code: 'ANSWER_TOO_LONG' }

/** Throws unless `value` is a string that matches `shape`. Shows the type only: the value may be a secret. */
export function checkOption(
  option: string,
  value: unknown,
  shape = /^\S+$/,
  expected = 'a string without blanks',
): void {
  if (typeof value !== 'string') {
    throw new TypeError(
      `${option}: expected a string, got ${value === null ? 'null' : typeof value}`,
    )
  }
  if (!shape.test(value)) {
    const got = value === '' ? 'an empty string' : 'another string'
    throw new TypeError(`${option}: expected ${expected}, got ${got}`)
  }
}

/** Throws unless `value` is an address that a path can be appended to. Answers it without a final slash. */
export function checkBaseUrl(option: string, value: string): string {
  checkOption(option, value)
  const url = URL.canParse(value) ? new URL(value) : undefined
  const plain = url && !(url.username || url.password || url.search || url.hash)
  if (!plain || !/^https?:$/.test(url.protocol)) {
    const expected = 'an http(s) address without credentials, query and fragment'
    throw new TypeError(`${option}: expected ${expected}, got another string`)
  }
  return url.href.replace(/\/+$/, '')
}

const UTF_8 = new TextDecoder()

async function readText(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null,
  maxBytes: number,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop early cancels the stream, which closes the connection.
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) return undefined
    chunks.push(chunk)
  }
  return UTF_8.decode(Buffer.concat(chunks))
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/**
 * The outcome of what `fetch`, ours or the global one, has thrown: `retry` where it never got as far as a connection, so that
 * nothing can have been sent, else `ambiguous`. `code` names the error, without its text, which may quote the request.
 */
export function outcomeOfError(error: unknown): Outcome {
  // The global fetch throws `TypeError: fetch failed` and keeps what happened as its cause.
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const unsent = error instanceof NotSentError || isBeforeConnected(reason)
  if (!(reason instanceof Error)) return { class: unsent ? 'retry' : 'ambiguous' }
  const { code = reason.name } = reason as NodeJS.ErrnoException
  const shown = typeof code === 'string' ? code : reason.name
  if (shown === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return TOO_LONG
  // Trying again may help against a broken handshake, but more often a person has to.
  if (handshakeCodes.has(shown)) return { class: 'retry', code: shown, alert: true }
  return { class: unsent ? 'retry' : 'ambiguous', code: shown }
}

// Node connects to all addresses of a host in turn and reports the failures as one AggregateError.
function isBeforeConnected(reason: unknown): boolean {
  if (reason instanceof AggregateError && reason.errors.length > 0) {
    return reason.errors.every(isBeforeConnected)
  }
  if (!(reason instanceof Error)) return false
  const { code = '', syscall = '' } = reason as NodeJS.ErrnoException
  // The call tells more than the code: ETIMEDOUT and EHOSTUNREACH also end connections that had worked.
  return syscall === 'connect' || syscall === 'getaddrinfo' || connectCodes.has(code)
}

// For a `fetch` that does not say which system call failed. These can come from nothing but connecting.
const connectCodes = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])

// A handshake that fails this way ends before any request is written.
// https://nodejs.org/api/tls.html#x509-certificate-error-codes
const handshakeCodes = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_SSL_UNSUPPORTED_PROTOCOL',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'HOSTNAME_MISMATCH',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])
