/** Twilio Programmable Messaging: free text to most countries. */
import { checkBaseUrl, checkOption, post } from './http.ts'
import type { Fetch, Outcome, SmsProvider } from './provider.ts'
import { outcomeOfError } from './twilio-codes.ts'

export interface TwilioOptions {
  /** The account's id, `AC` and 32 hex digits. */
  accountSid: string
  /** The account's secret. Give either this or `apiKey` with `apiSecret`. */
  authToken?: string | undefined
  /** An API key's id, `SK` and 32 hex digits. It can be withdrawn without touching the account's secret. */
  apiKey?: string | undefined
  /** The API key's secret. */
  apiSecret?: string | undefined
  /** The sender: a number of the account, a short code or a sender name. Give either this or `messagingServiceSid`. */
  from?: string | undefined
  /** The Messaging Service that picks the sender, `MG` and 32 hex digits. */
  messagingServiceSid?: string | undefined
  /**
   * Where the API is, without the path. Outside the US region give the host with edge and region, such as
   * `https://api.dublin.ie1.twilio.com`.
   * @default 'https://api.twilio.com'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request.
   * @default globalThis.fetch
   */
  fetch?: Fetch
}

/**
 * Sends `message.text` with Twilio's Messages resource. It is not idempotent: Twilio has no key that would let it drop
 * a repeated request. Throws a TypeError that names the option when one is missing, malformed or one too many.
 */
export function twilioProvider(options: TwilioOptions): SmsProvider {
  const { accountSid, fetch = globalThis.fetch } = options
  checkOption('twilioProvider: accountSid', accountSid, ...sidShape('AC'))
  const base = checkBaseUrl('twilioProvider: baseUrl', options.baseUrl ?? 'https://api.twilio.com')
  const url = `${base}/2010-04-01/Accounts/${accountSid}/Messages.json`
  const sender = checkSender(options)
  const headers = {
    Accept: 'application/json',
    'Content-Type': 'application/x-www-form-urlencoded',
    Authorization: `Basic ${Buffer.from(checkCredentials(options)).toString('base64')}`,
  }

  return {
    name: 'twilio',
    idempotent: false,
    async send(message, { signal }) {
      const form = new URLSearchParams({
        ...sender,
        To: message.phone,
        Body: message.text,
        // An SMS that waits longer in Twilio's queue than the code lives is of no use. 1 to 36000 s are accepted.
        ValidityPeriod: String(Math.min(Math.max(Math.floor(message.expiresIn), 1), 36_000)),
        Attempt: String(message.attempt),
      })
      const answer = await post(fetch, url, { headers, body: form.toString(), signal })
      if ('class' in answer) return answer
      const { status, json } = answer
      return status >= 200 && status < 300
        ? outcomeOfSuccess(json)
        : outcomeOfError(status, json.code)
    },
  }
}

function checkSender({ from, messagingServiceSid }: TwilioOptions): Record<string, string> {
  if ((from === undefined) === (messagingServiceSid === undefined)) {
    throw new TypeError('twilioProvider: expected exactly one of from and messagingServiceSid')
  }
  if (messagingServiceSid !== undefined) {
    checkOption('twilioProvider: messagingServiceSid', messagingServiceSid, ...sidShape('MG'))
    return { MessagingServiceSid: messagingServiceSid }
  }
  checkOption('twilioProvider: from', from, /\S/, 'a number, a short code or a sender name')
  return { From: String(from) }
}

function checkCredentials({ accountSid, authToken, apiKey, apiSecret }: TwilioOptions): string {
  const hasKey = apiKey !== undefined || apiSecret !== undefined
  if ((authToken !== undefined) === hasKey) {
    throw new TypeError(
      'twilioProvider: expected exactly one of authToken and apiKey with apiSecret',
    )
  }
  if (!hasKey) {
    checkOption('twilioProvider: authToken', authToken)
    return `${accountSid}:${authToken}`
  }
  checkOption('twilioProvider: apiKey', apiKey, ...sidShape('SK'))
  checkOption('twilioProvider: apiSecret', apiSecret)
  return `${apiKey}:${apiSecret}`
}

function sidShape(prefix: string): [RegExp, string] {
  return [new RegExp(`^${prefix}[0-9a-fA-F]{32}$`), `${prefix} and 32 hex digits`]
}

function outcomeOfSuccess({ sid }: Record<string, unknown>): Outcome {
  const readable = typeof sid === 'string' && /^(SM|MM)[0-9a-fA-F]{32}$/.test(sid)
  return readable ? { class: 'ok', messageId: sid } : { class: 'ambiguous' }
}
