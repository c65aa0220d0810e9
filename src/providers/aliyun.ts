/** Aliyun (阿里云, Alibaba Cloud): template SMS to mainland China and abroad. */
import { createHmac, hash, randomBytes } from 'node:crypto'
import { outcomeOfAnswer } from './aliyun-codes.ts'
import { checkBaseUrl, checkOption, post } from './http.ts'
import type { ByLocale } from './locales.ts'
import { checkName, type NameOption } from './name.ts'
import type { Fetch, SmsProvider } from './provider.ts'
import { checkSignName, checkTemplate, checkVariables, fillIn } from './template.ts'

export interface AliyunOptions extends NameOption {
  /** The id of an access key, best of a RAM user that may do nothing but `dysms:SendSms`. */
  accessKeyId: string
  /** The access key's secret. */
  accessKeySecret: string
  /** The approved signature, without the brackets in which the SMS shows it. */
  signName: string
  /**
   * The approved template's code, such as `SMS_154950909`. Or several by locale, or by locale and purpose, such as
   * `{ zh: { login: 'SMS_1', default: 'SMS_2' }, en: 'SMS_3' }`; whose language is not among them gets `zh`.
   */
  templateCode: string | ByLocale
  /**
   * The variables of the template by name. `{code}` and `{minutes}` in their values are filled in. Aliyun refuses an SMS
   * when one of the template's is missing; a template of its kind for codes has but one.
   * @default { code: '{code}' }
   */
  templateParam?: Record<string, string> | undefined
  /**
   * Where the API is, such as `https://dysmsapi.ap-southeast-1.aliyuncs.com` for an account abroad.
   * https://api.aliyun.com/product/Dysmsapi lists them.
   * @default 'https://dysmsapi.aliyuncs.com'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request, say through a proxy.
   * @default pooledFetch
   */
  fetch?: Fetch
  /**
   * Milliseconds since 1970, for the time stamp of the signature. Aliyun refuses one that is off by more than 15 minutes.
   * @default Date.now
   */
  now?: () => number
}

/**
 * Sends with Aliyun's SendSms. It is not idempotent: Aliyun has no key that would let it drop a repeated request; `OutId`
 * carries `message.key`, for the receipt gives it back.
 *
 * A number of mainland China that is not a mobile one is `permanent_recipient` without a call. Throws a TypeError that
 * names the option when one is missing or malformed.
 */
export function aliyunProvider(options: AliyunOptions): SmsProvider {
  const { accessKeyId, accessKeySecret, signName } = options
  const { fetch, now = Date.now } = options
  const { templateParam = { code: '{code}' } } = options
  const baseUrl = options.baseUrl ?? 'https://dysmsapi.aliyuncs.com'
  const base = checkBaseUrl('aliyunProvider: baseUrl', baseUrl)
  const name = checkName('aliyunProvider', 'aliyun', options.name)
  checkOption('aliyunProvider: accessKeyId', accessKeyId)
  checkOption('aliyunProvider: accessKeySecret', accessKeySecret)
  checkSignName('aliyunProvider: signName', signName)
  checkVariables('aliyunProvider: templateParam', templateParam)
  const templateCode = checkTemplate(
    'aliyunProvider: templateCode',
    options.templateCode,
    /^SMS_\w+$/,
    'a code such as SMS_154950909',
  )

  return {
    name,
    idempotent: false,
    text: 'template',
    async send(message, { signal }) {
      const phoneNumbers = numberFor(message.phone)
      if (!phoneNumbers) return { class: 'permanent_recipient' }

      const variables = Object.entries(templateParam)
      const filledIn = variables.map(([name, value]) => [name, fillIn(value, message)])
      // https://help.aliyun.com/document_detail/419273.html. All of it is in the query: the body is empty.
      const query = canonicalQuery({
        OutId: message.key,
        PhoneNumbers: phoneNumbers,
        SignName: signName,
        TemplateCode: templateCode(message),
        TemplateParam: JSON.stringify(Object.fromEntries(filledIn)),
      })
      const url = `${base}/?${query}`
      const headers = {
        // Without it a fetch would add one of its own, and it has to be signed.
        'content-type': 'application/x-www-form-urlencoded',
        'x-acs-action': 'SendSms',
        'x-acs-content-sha256': NO_BODY,
        'x-acs-date': new Date(now()).toISOString().replace(/\.\d+/, ''),
        'x-acs-signature-nonce': randomBytes(16).toString('hex'),
        'x-acs-version': '2017-05-25',
      }
      const authorization = signAliyun(accessKeyId, accessKeySecret, url, headers)
      const answer = await post(fetch, url, {
        headers: { accept: 'application/json', ...headers, authorization },
        body: '',
        signal,
      })
      return 'class' in answer ? answer : outcomeOfAnswer(answer.status, answer.json)
    },
  }
}

// Abroad the country's code and the number, without a plus.
function numberFor(phone: string): string | undefined {
  return phone.startsWith('+86') ? /^\+86(1\d{10})$/.exec(phone)?.[1] : phone.slice(1)
}

/**
 * The header `Authorization` of a POST to `url`, whose query is sorted and encoded already, with these `headers` (names in
 * lower case) and the host's: ACS3-HMAC-SHA256, https://help.aliyun.com/document_detail/2593177.html.
 */
export function signAliyun(
  accessKeyId: string,
  accessKeySecret: string,
  url: string,
  headers: Record<string, string> & { 'x-acs-content-sha256': string },
): string {
  const { host, pathname, search } = new URL(url)
  const signed = Object.entries({ ...headers, host }).sort(([a], [b]) => (a < b ? -1 : 1))
  const names = signed.map(([name]) => name).join(';')
  const request = [
    'POST',
    pathname,
    search.slice(1),
    ...signed.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    headers['x-acs-content-sha256'],
  ].join('\n')
  const signature = createHmac('sha256', accessKeySecret)
    .update(`ACS3-HMAC-SHA256\n${sha256(request)}`)
    .digest('hex')
  return `ACS3-HMAC-SHA256 Credential=${accessKeyId},SignedHeaders=${names},Signature=${signature}`
}

// encodeURIComponent leaves some characters that RFC 3986 reserves.
function canonicalQuery(parameters: Record<string, string>): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  return Object.keys(parameters)
    .sort()
    .map((name) => `${name}=${encode(parameters[name] as string)}`)
    .join('&')
}

const sha256 = (text: string): string => hash('sha256', text)

const NO_BODY = sha256('')
