/** Ronglian (容联云通讯, Cloopen): free text to everywhere but mainland China. */
import { checkName, type NameOption } from './name.ts'
import type { SmsProvider } from './provider.ts'
import { outcomeOfAnswer, type RonglianAccount, ronglianApi } from './ronglian-api.ts'
import { checkSignName } from './template.ts'

export interface RonglianInternationalOptions extends RonglianAccount, NameOption {
  /**
   * Who is sending, put in front of a text as `【name】` unless the text begins with such a bracket. The brackets are none of
   * GSM-7's characters, so that an SMS holds 70 characters with them.
   * @default the text goes out as it is
   */
  signName?: string | undefined
}

/**
 * Sends `message.text` with Ronglian's international SMS. It is not idempotent: nothing says that this call, unlike
 * TemplateSMS, knows a `reqId`.
 *
 * It does not serve mainland China, which takes a provider of template SMS: a number there is `permanent_request` without a
 * call. Throws a TypeError that names the option when one is missing or malformed.
 */
export function ronglianInternationalProvider(options: RonglianInternationalOptions): SmsProvider {
  const owner = 'ronglianInternationalProvider'
  const call = ronglianApi(owner, options)
  const name = checkName(owner, 'ronglian-international', options.name)
  const { accountSid, signName } = options
  if (signName !== undefined) checkSignName(`${owner}: signName`, signName)
  // https://doc.yuntongxun.com/pe/604f29eda80948a1006e928d
  const path = `/v2/account/${accountSid}/international/send`

  return {
    name,
    idempotent: false,
    serves: (country) => country !== 'CN',
    async send({ phone, text, attempt }, { signal }) {
      if (phone.startsWith('+86')) return { class: 'permanent_request', code: 'MAINLAND' }
      const signed = signName === undefined || text.startsWith('【')
      const fields = {
        mobile: phone.replace('+', '00'),
        content: signed ? text : `【${signName}】${text}`,
      }
      return outcomeOfAnswer(await call({ path, fields, signal }), attempt)
    },
  }
}
