/** What all calls to Twilio's REST API share: who calls, and the shapes of what is handed over. */
import { checkBaseUrl, checkOption, type HttpAnswer, post } from './http.ts'
import type { Fetch, Outcome } from './provider.ts'

export interface TwilioAccount {
  /** The account's id, `AC` and 32 hex digits. */
  accountSid: string
  /** The account's secret. Give either this or `apiKey` with `apiSecret`. */
  authToken?: string | undefined
  /** An API key's id, `SK` and 32 hex digits. It can be withdrawn without touching the account's secret. */
  apiKey?: string | undefined
  /** The API key's secret. */
  apiSecret?: string | undefined
  /**
   * Where the API is, without the path. Outside the US region give the host with edge and region, such as
   * `https://api.dublin.ie1.twilio.com`.
   * @default 'https://api.twilio.com'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request, say through a proxy.
   * @default pooledFetch
   */
  fetch?: Fetch
}

export interface TwilioCall {
  /** Below the account, such as `Messages.json`. */
  path: string
  form: Record<string, string>
  signal: AbortSignal
}

/**
 * A function that calls in the name of the account, and never throws. Throws itself a TypeError that names the option of
 * `owner` when one is missing, malformed or one too many.
 */
export function twilioApi(
  owner: string,
  account: TwilioAccount,
): (call: TwilioCall) => Promise<HttpAnswer | Outcome> {
  const { accountSid, fetch } = account
  checkOption(`${owner}: accountSid`, accountSid, ...sidShape('AC'))
  const base = checkBaseUrl(`${owner}: baseUrl`, account.baseUrl ?? 'https://api.twilio.com')
  const credentials = checkCredentials(owner, account)
  const headers = {
    Accept: 'application/json',
    'Content-Type': 'application/x-www-form-urlencoded',
    Authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
  }

  return ({ path, form, signal }) =>
    post(fetch, `${base}/2010-04-01/Accounts/${accountSid}/${path}`, {
      headers,
      body: new URLSearchParams(form).toString(),
      signal,
    })
}

function checkCredentials(
  owner: string,
  { accountSid, authToken, apiKey, apiSecret }: TwilioAccount,
): string {
  const hasKey = apiKey !== undefined || apiSecret !== undefined
  if ((authToken !== undefined) === hasKey) {
    throw new TypeError(`${owner}: expected exactly one of authToken and apiKey with apiSecret`)
  }
  if (!hasKey) {
    checkOption(`${owner}: authToken`, authToken)
    return `${accountSid}:${authToken}`
  }
  checkOption(`${owner}: apiKey`, apiKey, ...sidShape('SK'))
  checkOption(`${owner}: apiSecret`, apiSecret)
  return `${apiKey}:${apiSecret}`
}

/** For `checkOption`: a kind of id of Twilio's, and its name. */
export function sidShape(prefix: string): [RegExp, string] {
  return [new RegExp(`^${prefix}[0-9a-fA-F]{32}$`), `${prefix} and 32 hex digits`]
}

/** Whether it has the form of an id that Twilio gives to a message. */
export const isMessageSid = (value: unknown): value is string =>
  typeof value === 'string' && /^(SM|MM)[0-9a-fA-F]{32}$/.test(value)

/**
 * Throws unless `url` is an address that Twilio calls back: no underscore in the host, at most 4000 characters.
 * https://www.twilio.com/docs/api/errors/21609
 */
export function checkCallbackUrl(option: string, url: unknown): void {
  checkOption(option, url)
  const text = String(url)
  const fits = /^https?:\/\//i.test(text) && text.length <= 4000 && URL.canParse(text)
  if (fits && !new URL(text).hostname.includes('_')) return
  const expected = 'an http(s) address of at most 4000 characters without _ in the host'
  throw new TypeError(`${option}: expected ${expected}, got another string`)
}
