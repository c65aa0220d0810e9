/** Ronglian (容联云通讯, Cloopen): template SMS to mainland China. */
import type { ByLocale } from './locales.ts'
import { checkName, type NameOption } from './name.ts'
import type { SmsProvider } from './provider.ts'
import { outcomeOfAnswer, type RonglianAccount, ronglianApi } from './ronglian-api.ts'
import { checkTemplate } from './template.ts'

export interface RonglianOptions extends RonglianAccount, NameOption {
  /**
   * The approved template's id, digits only. `{1}` in the template becomes the code, `{2}` the minutes it lives. Or several
   * by locale, or by locale and purpose, such as `{ zh: { login: '1', default: '2' }, en: '3' }`; whose language is not among
   * them gets `zh`.
   */
  templateId: string | ByLocale
}

/**
 * Sends with Ronglian's TemplateSMS. It is idempotent: Ronglian drops a second request with the same key on the same
 * calendar day.
 *
 * TemplateSMS reaches mainland China only, so any number that is not a `+86` mobile one is `permanent_recipient`
 * without a call. Throws a TypeError that names the option when one is missing or malformed.
 */
export function ronglianProvider(options: RonglianOptions): SmsProvider {
  const call = ronglianApi('ronglianProvider', options)
  const name = checkName('ronglianProvider', 'ronglian', options.name)
  const templateId = checkTemplate(
    'ronglianProvider: templateId',
    options.templateId,
    /^\d+$/,
    'a string of digits',
  )
  // https://console.yuntongxun.com/doc/rest/sms/3_2_2_2.html
  const path = `/2013-12-26/Accounts/${options.accountSid}/SMS/TemplateSMS`

  return {
    name,
    idempotent: true,
    text: 'template',
    serves: (country) => country === 'CN',
    async send(message, { signal }) {
      const to = /^\+86(1\d{10})$/.exec(message.phone)?.[1]
      if (!to) return { class: 'permanent_recipient' }
      const datas = [message.code, String(message.minutes)]
      const fields = { to, templateId: templateId(message), datas, reqId: message.key }
      return outcomeOfAnswer(await call({ path, fields, signal }), message.attempt)
    },
  }
}
