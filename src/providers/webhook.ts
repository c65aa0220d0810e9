/** An HTTPS service of your own, called as https://www.standardwebhooks.com says. */
import { createHmac } from 'node:crypto'
import { isIP, type LookupFunction } from 'node:net'
import { checkOption, type HttpAnswer, post } from './http.ts'
import { checkName, type NameOption } from './name.ts'
import { createFetch } from './pool.ts'
import type { Fetch, Outcome, SmsMessage, SmsProvider } from './provider.ts'
import { ADDRESS_REFUSED, checkedLookup, reachOf } from './receiver-address.ts'

export interface WebhookOptions extends NameOption {
  /** Where the receiver is: https, without credentials and fragment. */
  url: string
  /**
   * What requests are signed with, `whsec_` and the Base64 of 24 to 64 random bytes; or several, of which the receiver knows
   * one, while it is changed.
   */
  secret: string | string[]
  /**
   * Whether the receiver drops a second request with the same `webhook-id`, as the standard recommends. Then an unknown
   * outcome is safe to repeat, at-most-once too.
   * @default false, for nothing in an answer tells
   */
  idempotent?: boolean
  /**
   * Lets the receiver have a private address (RFC 1918, loopback, unique local, carrier-grade NAT), and there also speak
   * plain http. Link-local addresses and other metadata services of clouds stay refused.
   * @default false
   */
  allowPrivate?: boolean
  /**
   * Resolves the receiver's host. What it answers is checked.
   * @default dns.lookup
   */
  lookup?: LookupFunction
  /**
   * Makes the HTTP request, say through a proxy. It then has to see to it where a name leads.
   * @default the pools, with a check of the address that is connected to
   */
  fetch?: Fetch
  /**
   * Milliseconds since 1970, for the time stamp. Receivers refuse one more than some minutes off.
   * @default Date.now
   */
  now?: () => number
}

/**
 * Posts each SMS as `sms.send` to a receiver that sends it. Throws a TypeError that names the option when one is missing or
 * malformed, or when the URL names an address that is refused.
 */
export function webhookProvider(options: WebhookOptions): SmsProvider {
  const { idempotent = false, allowPrivate = false, now = Date.now } = options
  const url = checkUrl(options.url, allowPrivate)
  const keys = checkSecrets(options.secret)
  const name = checkName('webhookProvider', 'webhook', options.name)
  // Plain http is for a network of one's own: it carries the code.
  const reaches = new Set([
    ...(url.protocol === 'https:' ? ['public'] : []),
    ...(allowPrivate ? ['private'] : []),
  ])
  const allowed = (address: string) => reaches.has(reachOf(address))
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) && !allowed(host)) {
    const expected = [...reaches].join(' or ')
    throw new TypeError(`webhookProvider: url: expected a ${expected} address, got ${host}`)
  }
  const fetch = options.fetch ?? createFetch({ lookup: checkedLookup(allowed, options.lookup) })

  return {
    name,
    idempotent,
    async send(message, { signal }) {
      const time = now()
      const body = bodyOf(message, time)
      const timestamp = String(Math.floor(time / 1000))
      const headers = {
        Accept: 'application/json',
        'Content-Type': 'application/json',
        'webhook-id': message.key,
        'webhook-timestamp': timestamp,
        'webhook-signature': signWebhook(keys, message.key, timestamp, body),
      }
      const answer = await post(fetch, url.href, { headers, body, signal })
      if (!('class' in answer)) return outcomeOfAnswer(answer, message)
      const { code } = answer
      return code === ADDRESS_REFUSED ? { class: 'account', code, alert: true } : answer
    },
  }
}

/** The header `webhook-signature`: one signature for each key. */
export function signWebhook(keys: Buffer[], id: string, timestamp: string, body: string): string {
  const signed = `${id}.${timestamp}.${body}`
  return keys
    .map((key) => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
    .join(' ')
}

/** Without the id of the verification: with it and the code, the receiver could verify in the person's place. */
function bodyOf(message: SmsMessage, time: number): string {
  const { phone, country, code, text, minutes, expiresIn, purpose, locales, attempt } = message
  return JSON.stringify({
    type: 'sms.send',
    timestamp: new Date(time).toISOString(),
    data: { phone, country, code, text, minutes, expiresIn, purpose, locales, attempt },
  })
}

function outcomeOfAnswer({ status, json, retryAfter }: HttpAnswer, message: SmsMessage): Outcome {
  const code = `HTTP_${status}`
  if (status >= 200 && status < 300) return { class: 'ok', ...messageIdOf(json, message) }
  // Without the header it may come from a gateway that has lost the receiver after it had passed the request on.
  if (status === 503) return { class: retryAfter ? 'retry' : 'ambiguous', code }
  const known = outcomes.get(status)
  if (known) return { ...known, code }
  // Another 4xx refuses every request, for its method, its path or its type.
  if (status >= 400 && status < 500) return { class: 'permanent_request', code, alert: true }
  // The receiver is not where a redirect says: following it would lead anywhere.
  const alert = status >= 300 && status < 400
  return { class: 'ambiguous', code, ...(alert && { alert }) }
}

const outcomes = new Map<number, Outcome>([
  [400, { class: 'permanent_request' }],
  [401, { class: 'account', alert: true }],
  [403, { class: 'account', alert: true }],
  [408, { class: 'retry' }],
  [409, { class: 'duplicate' }],
  [410, { class: 'permanent_recipient' }],
  [422, { class: 'permanent_request' }],
  [425, { class: 'retry' }],
  [429, { class: 'retry' }],
])

// It gets into the log, so it is left out where it may be a text, or made of the number or the code.
function messageIdOf(json: Record<string, unknown>, { phone, code }: SmsMessage) {
  const { id } = json
  if (typeof id !== 'string' || !/^[\w-]{1,64}$/.test(id)) return {}
  return id.includes(phone.slice(-8)) || id.includes(code) ? {} : { messageId: id }
}

function checkUrl(value: string, allowPrivate: boolean): URL {
  checkOption('webhookProvider: url', value)
  const url = URL.canParse(value) ? new URL(value) : undefined
  const schemes = allowPrivate ? /^https?:$/ : /^https:$/
  if (url && schemes.test(url.protocol) && !(url.username || url.password || url.hash)) return url
  const scheme = allowPrivate ? 'http(s)' : 'https'
  const expected = `an ${scheme} address without credentials and fragment`
  throw new TypeError(`webhookProvider: url: expected ${expected}, got another string`)
}

// 24 bytes are 32 characters, 64 are 86 and padding.
const SECRET =
  /^whsec_(?=[^=]{32,86}=*$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function checkSecrets(secret: string | string[]): Buffer[] {
  const secrets = [secret].flat()
  if (secrets.length === 0) {
    throw new TypeError('webhookProvider: secret: expected at least one, got none')
  }
  return secrets.map((each) => {
    const expected = 'whsec_ and the Base64 of 24 to 64 bytes'
    checkOption('webhookProvider: secret', each, SECRET, expected)
    return Buffer.from(each.slice('whsec_'.length), 'base64')
  })
}
