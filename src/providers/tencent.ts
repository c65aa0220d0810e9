/** Tencent Cloud (腾讯云): template SMS to mainland China and abroad. */
import { createHmac, hash } from 'node:crypto'
import { checkBaseUrl, checkOption, post } from './http.ts'
import type { ByLocale } from './locales.ts'
import { checkName, type NameOption } from './name.ts'
import type { Fetch, SmsProvider } from './provider.ts'
import { checkSignName, checkTemplate, checkVariables, fillIn } from './template.ts'
import { outcomeOfAnswer } from './tencent-codes.ts'

export interface TencentOptions extends NameOption {
  /** The id of an API key, best of a sub-user that may do nothing but `sms:SendSms`. */
  secretId: string
  /** The API key's secret. */
  secretKey: string
  /** The SMS application's id, digits only. */
  smsSdkAppId: string
  /**
   * The approved signature's text, not its id, without the brackets in which the SMS shows it. Mainland China requires one;
   * abroad it may be left out.
   */
  signName?: string | undefined
  /**
   * The approved template's id, digits only. Or several by locale, or by locale and purpose, such as
   * `{ zh: { login: '1', default: '2' }, en: '3' }`; whose language is not among them gets `zh`.
   */
  templateId: string | ByLocale
  /**
   * The variables of the template, as many as it has: `{1}`, `{2}` and so on. `{code}` and `{minutes}` are filled in.
   * @default ['{code}', '{minutes}']
   */
  templateParamSet?: string[] | undefined
  /**
   * The region that takes the request; it may be any that has the product.
   * @default 'ap-guangzhou'
   */
  region?: string | undefined
  /**
   * Where the API is, such as `https://sms.ap-singapore.tencentcloudapi.com`.
   * @default 'https://sms.tencentcloudapi.com'
   */
  baseUrl?: string | undefined
  /**
   * Makes the HTTP request, say through a proxy.
   * @default pooledFetch
   */
  fetch?: Fetch
  /**
   * Milliseconds since 1970, for the time stamp of the signature. Tencent refuses one that is off by more than 5 minutes.
   * @default Date.now
   */
  now?: () => number
}

/**
 * Sends with Tencent's SendSms. It is not idempotent: Tencent has no key that would let it drop a repeated request;
 * `SessionContext` carries `message.key`. Throws a TypeError that names the option when one is missing or malformed.
 */
export function tencentProvider(options: TencentOptions): SmsProvider {
  const { secretId, secretKey, smsSdkAppId, signName } = options
  const { fetch, now = Date.now } = options
  const { region = 'ap-guangzhou', templateParamSet = ['{code}', '{minutes}'] } = options
  const baseUrl = options.baseUrl ?? 'https://sms.tencentcloudapi.com'
  const url = `${checkBaseUrl('tencentProvider: baseUrl', baseUrl)}/`
  const name = checkName('tencentProvider', 'tencent', options.name)
  checkOption('tencentProvider: secretId', secretId)
  checkOption('tencentProvider: secretKey', secretKey)
  checkOption('tencentProvider: smsSdkAppId', smsSdkAppId, ...DIGITS)
  checkOption('tencentProvider: region', region)
  if (signName !== undefined) checkSignName('tencentProvider: signName', signName)
  checkVariables('tencentProvider: templateParamSet', templateParamSet)
  const templateId = checkTemplate('tencentProvider: templateId', options.templateId, ...DIGITS)

  return {
    name,
    idempotent: false,
    text: 'template',
    async send(message, { signal }) {
      // https://cloud.tencent.com/document/api/382/55981
      const body = JSON.stringify({
        PhoneNumberSet: [message.phone],
        SmsSdkAppId: smsSdkAppId,
        SignName: signName,
        TemplateId: templateId(message),
        TemplateParamSet: templateParamSet.map((variable) => fillIn(variable, message)),
        SessionContext: message.key,
      })
      const timestamp = Math.floor(now() / 1000)
      const contentType = 'application/json'
      const request = { service: 'sms', url, contentType, timestamp, body }
      const answer = await post(fetch, url, {
        headers: {
          Authorization: signTencent(secretId, secretKey, request),
          'Content-Type': contentType,
          'X-TC-Action': 'SendSms',
          'X-TC-Region': region,
          'X-TC-Timestamp': String(timestamp),
          'X-TC-Version': '2021-01-11',
        },
        body,
        signal,
      })
      return 'class' in answer ? answer : outcomeOfAnswer(answer.status, answer.json)
    },
  }
}

const DIGITS: [RegExp, string] = [/^\d+$/, 'a string of digits']

/** The header `Authorization` of a POST: TC3-HMAC-SHA256, https://cloud.tencent.com/document/api/382/52072. */
export function signTencent(
  secretId: string,
  secretKey: string,
  request: {
    /** The product, whatever the host is called. */
    service: string
    url: string
    contentType: string
    /** Seconds since 1970. */
    timestamp: number
    body: string
  },
): string {
  const { service, url, contentType, timestamp, body } = request
  const { host, pathname } = new URL(url)
  const names = 'content-type;host'
  const canonical = [
    'POST',
    pathname,
    '',
    `content-type:${contentType}`,
    `host:${host}`,
    '',
    names,
    sha256(body),
  ].join('\n')
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10)
  const scope = `${date}/${service}/tc3_request`
  const key = [date, service, 'tc3_request'].reduce<string | Buffer>(hmac, `TC3${secretKey}`)
  const toSign = ['TC3-HMAC-SHA256', timestamp, scope, sha256(canonical)].join('\n')
  const signature = hmac(key, toSign).toString('hex')
  return `TC3-HMAC-SHA256 Credential=${secretId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
}

const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest()

const sha256 = (text: string): string => hash('sha256', text)
