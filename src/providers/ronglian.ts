/** Ronglian (容联云通讯, Cloopen): template SMS to mainland China. */
import { createHash } from 'node:crypto'
import { checkBaseUrl, checkOption, post } from './http.ts'
import type { Fetch, Outcome, SmsProvider } from './provider.ts'
import { outcomeOfStatus } from './ronglian-codes.ts'

export interface RonglianOptions {
  /** The account's id (ACCOUNT SID of the console). */
  accountSid: string
  /** The account's secret (AUTH TOKEN of the console). */
  authToken: string
  /** The application's id. */
  appId: string
  /** The approved template's id, digits only. `{1}` in the template becomes the code, `{2}` the minutes it lives. */
  templateId: string
  /**
   * Where the API is, without the path.
   * @default 'https://app.cloopen.com:8883'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request.
   * @default globalThis.fetch
   */
  fetch?: Fetch
  /**
   * Milliseconds since 1970, for the time stamp of the signature. Ronglian refuses one older than 24 hours.
   * @default Date.now
   */
  now?: () => number
}

/**
 * Sends with Ronglian's TemplateSMS. It is idempotent: Ronglian drops a second request with the same key on the same
 * calendar day.
 *
 * TemplateSMS reaches mainland China only, so any number that is not a `+86` mobile one is `permanent_recipient`
 * without a call. Throws a TypeError that names the option when one is missing or malformed.
 */
export function ronglianProvider(options: RonglianOptions): SmsProvider {
  const { accountSid, authToken, appId, templateId } = options
  const { fetch = globalThis.fetch, now = Date.now } = options
  const baseUrl = options.baseUrl ?? 'https://app.cloopen.com:8883'
  const base = checkBaseUrl('ronglianProvider: baseUrl', baseUrl)
  checkOption('ronglianProvider: accountSid', accountSid, /^[\w-]+$/, 'letters, digits, _ and -')
  checkOption('ronglianProvider: authToken', authToken)
  checkOption('ronglianProvider: appId', appId)
  checkOption('ronglianProvider: templateId', templateId, /^\d+$/, 'a string of digits')

  return {
    name: 'ronglian',
    idempotent: true,
    async send(message, { signal }) {
      const to = /^\+86(1\d{10})$/.exec(message.phone)?.[1]
      if (!to) return { class: 'permanent_recipient' }

      const { sig, authorization } = signRonglian(accountSid, authToken, now())
      // https://console.yuntongxun.com/doc/rest/sms/3_2_2_2.html
      const url = `${base}/2013-12-26/Accounts/${accountSid}/SMS/TemplateSMS?sig=${sig}`
      const datas = [message.code, String(message.minutes)]
      const answer = await post(fetch, url, {
        headers: {
          Accept: 'application/json',
          'Content-Type': 'application/json;charset=utf-8',
          Authorization: authorization,
        },
        body: JSON.stringify({ to, appId, templateId, datas, reqId: message.key }),
        signal,
      })
      if ('class' in answer) return answer
      if (answer.status !== 200) return outcomeOfHttpStatus(answer.status)
      return outcomeOfAnswer(answer.json, message.attempt)
    },
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
  const sig = createHash('md5').update(`${accountSid}${authToken}${stamp}`).digest('hex')
  const authorization = Buffer.from(`${accountSid}:${stamp}`).toString('base64')
  return { sig: sig.toUpperCase(), authorization }
}

// yyyyMMddHHmmss as the vendor's clocks show it, wherever this process runs. China is UTC+8 with no summer time
// since 1991.
function shanghaiStamp(time: number): string {
  return new Date(time + 8 * 3_600_000).toISOString().replace(/\D/g, '').slice(0, 14)
}

// Ronglian refuses with HTTP 200 and a statusCode. Another status comes from something in front of it: 4xx has turned
// the request away, so it is worth another try, and is for a person to see unless it only says to slow down. Anything
// else may have passed the request on; to repeat that is safe, since the request carries its reqId.
function outcomeOfHttpStatus(status: number): Outcome {
  const code = `HTTP_${status}`
  if (status === 408 || status === 429) return { class: 'retry', code }
  if (status >= 400 && status < 500) return { class: 'retry', code, alert: true }
  return { class: 'ambiguous', code }
}

function outcomeOfAnswer(json: Record<string, unknown>, attempt: number): Outcome {
  const { statusCode } = json
  if (typeof statusCode !== 'string') return { class: 'ambiguous' }
  // Anything but six digits is not Ronglian's and may quote the request, so it must not reach the log.
  if (!/^\d{6}$/.test(statusCode)) return { class: 'ambiguous', alert: true }
  if (statusCode !== '000000') return outcomeOfStatus(statusCode, attempt)
  const messageId = messageIdOf(json)
  return messageId === undefined ? { class: 'ok' } : { class: 'ok', messageId }
}

// The vendor's JSON spells it templateSMS, its XML TemplateSMS.
function messageIdOf({ templateSMS, TemplateSMS }: Record<string, unknown>): string | undefined {
  const result = templateSMS ?? TemplateSMS
  if (typeof result !== 'object' || result === null || !('smsMessageSid' in result))
    return undefined
  const { smsMessageSid } = result
  return typeof smsMessageSid === 'string' && /^\w{32}$/.test(smsMessageSid)
    ? smsMessageSid
    : undefined
}
