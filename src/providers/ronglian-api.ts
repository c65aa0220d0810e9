/** What all calls to Ronglian's REST API share: who calls, the signature, what an answer means. */
import { hash } from 'node:crypto'
import { checkBaseUrl, checkOption, type HttpAnswer, outcomeOfHttpStatus, post } from './http.ts'
import type { Fetch, Outcome } from './provider.ts'
import { outcomeOfStatus } from './ronglian-codes.ts'

export interface RonglianAccount {
  /** The account's id (ACCOUNT SID of the console). */
  accountSid: string
  /** The account's secret (AUTH TOKEN of the console). */
  authToken: string
  /** The application's id. */
  appId: string
  /**
   * Where the API is, without the path.
   * @default 'https://app.cloopen.com:8883'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request, say through a proxy.
   * @default pooledFetch
   */
  fetch?: Fetch
  /**
   * Milliseconds since 1970, for the time stamp of the signature. Ronglian refuses one older than 24 hours.
   * @default Date.now
   */
  now?: () => number
}

export interface RonglianCall {
  /** Below the base URL, without the query. */
  path: string
  /** Of the body, beside `appId`. */
  fields: Record<string, unknown>
  signal: AbortSignal
  /** Of the answer. @default what `post` takes */
  maxBytes?: number
}

/**
 * A function that calls in the name of the account, and never throws. Throws itself a TypeError that names the option of
 * `owner` when one is missing or malformed.
 */
export function ronglianApi(
  owner: string,
  account: RonglianAccount,
): (call: RonglianCall) => Promise<HttpAnswer | Outcome> {
  const { accountSid, authToken, appId } = account
  const { fetch, now = Date.now } = account
  const base = checkBaseUrl(`${owner}: baseUrl`, account.baseUrl ?? 'https://app.cloopen.com:8883')
  checkOption(`${owner}: accountSid`, accountSid, /^[\w-]+$/, 'letters, digits, _ and -')
  checkOption(`${owner}: authToken`, authToken)
  checkOption(`${owner}: appId`, appId)

  // The same for all calls of a second.
  let signed = { second: Number.NaN, sig: '', authorization: '' }
  function sign() {
    const time = now()
    const second = Math.floor(time / 1000)
    if (second !== signed.second) {
      signed = { second, ...signRonglian(accountSid, authToken, time) }
    }
    return signed
  }

  return ({ path, fields, ...request }) => {
    const { sig, authorization } = sign()
    return post(fetch, `${base}${path}?sig=${sig}`, {
      headers: {
        Accept: 'application/json',
        'Content-Type': 'application/json;charset=utf-8',
        Authorization: authorization,
      },
      body: JSON.stringify({ appId, ...fields }),
      ...request,
    })
  }
}

/**
 * Signs one request at `time`, in milliseconds since 1970: `sig` goes into the query, `authorization` into the header,
 * both made from the same time stamp.
 */
export function signRonglian(
  accountSid: string,
  authToken: string,
  time: number,
): { sig: string; authorization: string } {
  const stamp = shanghaiStamp(time)
  const sig = hash('md5', `${accountSid}${authToken}${stamp}`)
  const authorization = Buffer.from(`${accountSid}:${stamp}`).toString('base64')
  return { sig: sig.toUpperCase(), authorization }
}

// yyyyMMddHHmmss as the vendor's clocks show it, wherever this process runs. China is UTC+8 with no summer time
// since 1991.
function shanghaiStamp(time: number): string {
  return new Date(time + 8 * 3_600_000).toISOString().replace(/\D/g, '').slice(0, 14)
}

/** What sending an SMS came to, on the given try of the consumer. */
export function outcomeOfAnswer(answer: HttpAnswer | Outcome, attempt: number): Outcome {
  if ('class' in answer) return answer
  // It refuses with HTTP 200 and a statusCode.
  if (answer.status !== 200) return outcomeOfHttpStatus(answer.status)
  const { statusCode } = answer.json
  if (typeof statusCode !== 'string') return { class: 'ambiguous' }
  // Anything but six digits is not Ronglian's and may quote the request, so it must not reach the log.
  if (!/^\d{6}$/.test(statusCode)) return { class: 'ambiguous', alert: true }
  if (statusCode !== '000000') return outcomeOfStatus(statusCode, attempt)
  const messageId = messageIdOf(answer.json)
  return messageId === undefined ? { class: 'ok' } : { class: 'ok', messageId }
}

// It stands in an object whose name depends on the call and on the format: templateSMS in JSON, TemplateSMS in XML. What it
// is called for international SMS is not known.
function messageIdOf(json: Record<string, unknown>): string | undefined {
  for (const place of [json, ...Object.values(json)]) {
    if (typeof place !== 'object' || place === null || !('smsMessageSid' in place)) continue
    if (isMessageId(place.smsMessageSid)) return place.smsMessageSid
  }
  return undefined
}

/** Whether it has the form of an id that Ronglian gives to a message. */
export const isMessageId = (value: unknown): value is string =>
  typeof value === 'string' && /^\w{32}$/.test(value)
