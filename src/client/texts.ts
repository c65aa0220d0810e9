/** What `<sms-verify>` says, in English and Simplified Chinese. `{…}` is filled in. */
import type { DeliveryFailure, VerificationErrorCode, VerificationState } from './index.ts'

export type Texts = Record<
  | 'phone'
  | 'phoneMissing'
  | 'send'
  | 'sending'
  /** After the connection was lost. */
  | 'retrying'
  | 'code'
  /** `{digits}` */
  | 'codeMissing'
  | 'check'
  | 'checking'
  | 'resend'
  | 'change'
  /** `{phone}` */
  | 'waiting'
  | 'delivered'
  /** `{time}` */
  | 'expires'
  | 'verified'
  /** What a form says that needs the proof. */
  | 'required'
  | VerificationErrorCode
  | DeliveryFailure,
  string
> & {
  /** `{phone}`; before the provider has taken the SMS, and after. Without them `waiting` is said once for both. */
  queued?: string
  sent?: string
}

const EN: Texts = {
  phone: 'Mobile number',
  phoneMissing: 'Enter your mobile number.',
  send: 'Send code',
  sending: 'Sending …',
  retrying: 'No connection. Trying again …',
  code: 'Code from the SMS',
  codeMissing: 'The code has {digits} digits.',
  check: 'Verify',
  checking: 'Checking …',
  resend: 'Send again',
  change: 'Use another number',
  waiting: 'The code is on its way to {phone}.',
  delivered: 'The code has arrived at {phone}.',
  expires: 'Valid for {time}.',
  verified: 'Your number is verified.',
  required: 'Verify your mobile number first.',
  SMS_VERIFY_INVALID_REQUEST: 'Something in there is not right. Check what you entered.',
  SMS_VERIFY_INVALID_PHONE:
    'This is not a phone number. Check it, and begin with the country code.',
  SMS_VERIFY_COUNTRY_NOT_ALLOWED: 'Codes cannot be sent to this country.',
  SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED: 'Codes can only be sent to mobile numbers.',
  SMS_VERIFY_REFUSED: 'No code can be sent to this number now.',
  SMS_VERIFY_CHALLENGE_REQUIRED: 'Your browser could not prove that it is one. Try again.',
  SMS_VERIFY_GONE: 'This code is over: expired, used, or tried too often. Ask for a new one.',
  SMS_VERIFY_WRONG_CODE: 'That is not the code. Tries left: {checksLeft}.',
  SMS_VERIFY_TOO_MANY_REQUESTS: 'That was too often. Wait until the button has counted down.',
  SMS_VERIFY_UNAVAILABLE: 'This does not work at the moment. Try again soon.',
  SMS_VERIFY_INTERNAL_ERROR: 'Something went wrong on our side. Try again.',
  SMS_VERIFY_UNREACHABLE: 'The server cannot be reached. Check your connection and try again.',
  recipient: 'This number cannot receive the SMS. Check it, or use another one.',
  rate: 'This number was sent too many SMS. Try again later.',
  blocked: 'The SMS was blocked on its way. Use another number.',
  provider: 'The SMS could not be sent. Try again.',
  late: 'The SMS could not be sent in time. Try again.',
}

const ZH: Texts = {
  phone: '手机号码',
  phoneMissing: '请输入手机号码。',
  send: '获取验证码',
  sending: '正在发送…',
  retrying: '网络连接中断，正在重试…',
  code: '短信验证码',
  codeMissing: '验证码为 {digits} 位数字。',
  check: '验证',
  checking: '正在验证…',
  resend: '重新发送',
  change: '更换手机号码',
  waiting: '验证码正在发送至 {phone}。',
  delivered: '验证码已送达 {phone}。',
  expires: '{time} 内有效。',
  verified: '手机号码已验证。',
  required: '请先验证手机号码。',
  SMS_VERIFY_INVALID_REQUEST: '输入的内容有误，请检查。',
  SMS_VERIFY_INVALID_PHONE: '手机号码格式不正确，请检查，并以国家代码开头。',
  SMS_VERIFY_COUNTRY_NOT_ALLOWED: '暂不支持向该国家或地区发送验证码。',
  SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED: '只能向手机号码发送验证码。',
  SMS_VERIFY_REFUSED: '目前无法向该号码发送验证码。',
  SMS_VERIFY_CHALLENGE_REQUIRED: '浏览器未能通过安全检查，请重试。',
  SMS_VERIFY_GONE: '验证码已失效：已过期、已使用或尝试次数过多。请重新获取。',
  SMS_VERIFY_WRONG_CODE: '验证码错误，还可尝试 {checksLeft} 次。',
  SMS_VERIFY_TOO_MANY_REQUESTS: '操作过于频繁，请等待按钮倒计时结束。',
  SMS_VERIFY_UNAVAILABLE: '服务暂时不可用，请稍后再试。',
  SMS_VERIFY_INTERNAL_ERROR: '服务器出错，请重试。',
  SMS_VERIFY_UNREACHABLE: '无法连接服务器，请检查网络后重试。',
  recipient: '该号码无法接收短信，请检查或更换号码。',
  rate: '向该号码发送的短信过多，请稍后再试。',
  blocked: '短信被拦截，请更换号码。',
  provider: '短信发送失败，请重试。',
  late: '短信未能及时发出，请重试。',
}

/** The language there are texts in. */
export const languageOf = (tag: string): 'en' | 'zh-CN' => (/^zh\b/i.test(tag) ? 'zh-CN' : 'en')

export const textsOf = (tag: string): Texts => (languageOf(tag) === 'en' ? EN : ZH)

/** The text with its `{…}` filled in, each apart from what surrounds it: a number stays one in a text from right to left. */
export const fill = (text: string, fields: object): string =>
  text.replace(/\{(\w+)\}/g, (_, name) => `\u2068${fields[name as keyof object] ?? ''}\u2069`)

/** What has gone wrong, in words; '' if nothing has. */
export function problemOf(state: VerificationState, texts: Texts): string {
  const { error, delivery, reason = 'provider' } = state
  if (error) return fill(texts[error.code], error)
  return delivery === 'failed' ? texts[reason] : ''
}

/** 0:59 and, where a limit has a day's window, 23:59:59. */
export function clock(seconds: number): string {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const text = parts.map((part) => String(part).padStart(2, '0')).join(':')
  return text.replace(/^(00:0?|0)/, '')
}
