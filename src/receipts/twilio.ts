/** What Twilio says of an SMS: status callbacks, signed with the account's token. And what it is told: that a code was entered. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { checkOption } from '../providers/http.ts'
import type { OutcomeClass } from '../providers/provider.ts'
import {
  checkCallbackUrl,
  isMessageSid,
  type TwilioAccount,
  twilioApi,
} from '../providers/twilio-api.ts'
import { classOfCode } from '../providers/twilio-codes.ts'
import type { FailureReason } from '../store/store.ts'
import type { Receipt, ReceiptSource } from './receipt.ts'

export interface TwilioReceiptsOptions extends Omit<TwilioAccount, 'authToken'> {
  /**
   * The account's secret, with which Twilio signs, also where messages are sent with an API key. Several while it is being
   * changed: one with any of them is believed, and the first is used for feedback unless there is an API key.
   */
  authToken: string | string[]
  /**
   * The public URL that Twilio calls, exactly as `statusCallback` of `twilioProvider` or the Messaging Service has it, query
   * included: the signature is over it. Nothing of it is taken from the request.
   */
  url: string
  /**
   * Tell Twilio of each message whose code was entered. For a provider with `feedback`.
   * @default false
   */
  feedback?: boolean | undefined
}

/**
 * Believes a request if its signature is by one of the tokens, over the URL and all fields. Throws a TypeError that names the
 * option when one is missing or malformed.
 */
export function twilioReceipts(options: TwilioReceiptsOptions): ReceiptSource {
  const { authToken, url, feedback = false, ...account } = options
  const tokens = checkTokens(authToken)
  checkCallbackUrl('twilioReceipts: url', url)
  if (typeof feedback !== 'boolean') {
    throw new TypeError(`twilioReceipts: feedback: expected a boolean, got ${typeof feedback}`)
  }
  const hasKey = account.apiKey !== undefined || account.apiSecret !== undefined
  const call = twilioApi('twilioReceipts', hasKey ? account : { ...account, authToken: tokens[0] })
  const urls = signedUrls(url)

  async function confirm(messageId: string, { signal }: { signal: AbortSignal }): Promise<void> {
    if (!isMessageSid(messageId)) throw new Error('twilio: feedback: not the id of a message')
    const path = `Messages/${messageId}/Feedback.json`
    const answer = await call({ path, form: { Outcome: 'confirmed' }, signal })
    if ('class' in answer) throw new Error(`twilio: feedback: ${answer.code ?? answer.class}`)
    const { status } = answer
    if (status < 200 || status > 299) throw new Error(`twilio: feedback: HTTP ${status}`)
  }

  return {
    provider: 'twilio',
    read({ headers, body }) {
      const given = headers['x-twilio-signature']
      if (typeof given !== 'string') return 'forged'
      const form = new URLSearchParams(body)
      const fields = signedFields(form)
      const believed = tokens.some((token) =>
        urls.some((each) => equal(hmac(token, each + fields), given)),
      )
      return believed ? readCallback(form) : 'forged'
    },
    ...(feedback && { confirm }),
  }
}

function checkTokens(authToken: string | string[]): string[] {
  const tokens = Array.isArray(authToken) ? authToken : [authToken]
  if (tokens.length === 0) {
    throw new TypeError('twilioReceipts: authToken: expected at least one, got none')
  }
  for (const token of tokens) checkOption('twilioReceipts: authToken', token)
  return tokens
}

// Which form of the URL is signed depends on where the request comes from, so that the vendor's library tries them all: with
// and without a port, and as the WHATWG writes it. The fragment is an instruction to Twilio and no part of the request.
// https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
function signedUrls(url: string): string[] {
  const spellings = [url, new URL(url).href].flatMap((each) => [each, each.replace(/#.*$/, '')])
  return [...new Set(spellings.flatMap((each) => [withPort(each), withoutPort(each)]))]
}

const ADDRESS = /^(https?):\/\/([^/?#]*@)?(\[[^\]]*\]|[^/?#:]*)(:\d*)?/i

const withoutPort = (url: string): string => url.replace(ADDRESS, '$1://$2$3')

const withPort = (url: string): string =>
  url.replace(ADDRESS, (address, scheme: string, _user, _host, port?: string) => {
    if (port) return address
    return `${address}:${scheme.toLowerCase() === 'https' ? 443 : 80}`
  })

/**
 * What Twilio puts into `X-Twilio-Signature` of a request with this form: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
 * A field that is repeated counts with its distinct values, sorted.
 */
export const signTwilio = (authToken: string, url: string, form: URLSearchParams): string =>
  hmac(authToken, url + signedFields(form))

// In one go over the form, for anybody may send one of many thousand fields.
function signedFields(form: URLSearchParams): string {
  const values = new Map<string, Set<string>>()
  for (const [name, value] of form) values.set(name, (values.get(name) ?? new Set()).add(value))
  return [...values.keys()]
    .sort()
    .flatMap((name) => [...(values.get(name) ?? [])].sort().map((value) => name + value))
    .join('')
}

const hmac = (authToken: string, text: string): string =>
  createHmac('sha1', authToken).update(text).digest('base64')

function equal(signature: string, given: string): boolean {
  const [one, other] = [Buffer.from(signature), Buffer.from(given)]
  return one.length === other.length && timingSafeEqual(one, other)
}

// https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
function readCallback(form: URLSearchParams): Receipt[] | 'malformed' {
  const messageId = form.get('MessageSid')
  const status = form.get('MessageStatus')
  if (!isMessageSid(messageId) || status === null) return 'malformed'
  if (status === 'delivered') return [{ messageId, state: 'delivered' }]
  if (status !== 'undelivered' && status !== 'failed') return []
  const code = form.get('ErrorCode')
  // Twilio's codes are numbers of five digits. Anything else may quote the message, so it must not reach the log.
  if (code === null || !/^\d{5}$/.test(code))
    return [{ messageId, state: 'failed', reason: 'provider' }]
  return [{ messageId, state: 'failed', reason: reasonOf(code), code }]
}

function reasonOf(code: string): FailureReason {
  // Twilio waited for the message's turn until its ValidityPeriod was over.
  if (code === '30036') return 'late'
  // The phone is off or out of reach.
  if (code === '30003') return 'recipient'
  return REASONS[classOfCode(code) ?? 'ambiguous'] ?? 'provider'
}

const REASONS: Partial<Record<OutcomeClass, FailureReason>> = {
  permanent_recipient: 'recipient',
  rate_recipient: 'rate',
  fraud_block: 'blocked',
}
