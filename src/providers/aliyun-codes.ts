/** What the answers of Aliyun's SendSms mean. */
import { outcomeOfHttpStatus } from './http.ts'
import type { Outcome, OutcomeClass } from './provider.ts'

/** The outcome of an answer with this HTTP `status` and these fields of its body. */
export function outcomeOfAnswer(status: number, { Code, BizId }: Record<string, unknown>): Outcome {
  if (typeof Code !== 'string') {
    return status === 200 ? { class: 'ambiguous' } : outcomeOfHttpStatus(status)
  }
  // Anything else is not Aliyun's and may quote the request, so it must not reach the log.
  if (!/^(?=.{1,64}$)[A-Za-z]+([._][A-Za-z]+)*$/.test(Code)) {
    return status === 200 ? { class: 'ambiguous', alert: true } : outcomeOfHttpStatus(status)
  }
  if (Code !== 'OK') return outcomeOfCode(status, Code)
  if (status !== 200) return outcomeOfHttpStatus(status)
  const readable = typeof BizId === 'string' && /^\d{1,32}\^\d{1,32}$/.test(BizId)
  return readable ? { class: 'ok', messageId: BizId } : { class: 'ok' }
}

function outcomeOfCode(status: number, code: string): Outcome {
  const [family = ''] = code.split('.')
  const known = classes.get(code) ?? classes.get(`${family}.*`)
  if (known === 'ambiguous_alert') return { class: 'ambiguous', code, alert: true }
  if (known === 'account') return { class: 'account', code, alert: true }
  if (known) return { class: known, code }
  return { class: unknownClass(status, family), code, alert: true }
}

// isv is what the sender did wrong, isp what the platform did; all others are of the gateway in front of it.
function unknownClass(status: number, family: string): OutcomeClass {
  if (family === 'isv') return 'permanent_request'
  if (family === 'isp') return 'retry'
  return status >= 400 && status < 500 ? 'permanent_request' : 'ambiguous'
}

// Meanings after https://help.aliyun.com/document_detail/101346.html. Left out are those of other calls than SendSms.
const table: [OutcomeClass | 'ambiguous_alert', string][] = [
  // Errors inside the platform, with the advice to call again; too many calls a second.
  ['retry', 'isp.SYSTEM_ERROR isp.GATEWAY_ERROR ServiceUnavailable.* Throttling.*'],

  ['ambiguous', 'InternalError.*'],
  // This very request has come before: something on the way has repeated it, and the first may have been taken.
  ['ambiguous_alert', 'SignatureNonceUsed.*'],

  // Limits for this number by minute, hour or day.
  ['rate_recipient', 'isv.BUSINESS_LIMIT_CONTROL'],

  // Not a number; opted out, or its owner complained.
  ['permanent_recipient', 'isv.MOBILE_NUMBER_ILLEGAL'],
  ['permanent_recipient', 'isv.BLACK_KEY_CONTROL_LIMIT isv.CUSTOMER_REFUSED'],

  // Template or signature: not approved, not of this account, not for each other or not for this number.
  ['permanent_request', 'isv.SMS_TEMPLATE_ILLEGAL isv.SMS_SIGNATURE_ILLEGAL isv.SMS_SIGN_ILLEGAL'],
  ['permanent_request', 'isv.SIGN_STATE_ILLEGAL isv.SIGN_NAME_ILLEGAL'],
  ['permanent_request', 'isv.SMS_SIGNATURE_SCENE_ILLEGAL isv.DOMESTIC_NUMBER_NOT_SUPPORTED'],
  // Variables: missing, of another kind, too long, with a link; the text that they make.
  ['permanent_request', 'isv.TEMPLATE_MISSING_PARAMETERS isv.TEMPLATE_PARAMS_ILLEGAL'],
  ['permanent_request', 'isv.INVALID_PARAMETERS isv.INVALID_JSON_PARAM isv.PARAM_LENGTH_LIMIT'],
  ['permanent_request', 'isv.PARAM_NOT_SUPPORT_URL isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL'],
  ['permanent_request', 'isv.SMS_CONTENT_ILLEGAL isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE'],
  ['permanent_request', 'isv.UNSUPPORTED_CONTENT'],
  // Too many numbers; extension.
  ['permanent_request', 'isv.MOBILE_COUNT_OVER_LIMIT isv.EXTEND_CODE_ERROR'],

  // Access key, signature of the request, clock, rights.
  ['account', 'InvalidAccessKeyId.* MissingAccessKeyId.* SignatureDoesNotMatch.*'],
  ['account', 'IncompleteSignature.* InvalidTimeStamp.* InvalidSecurityToken.*'],
  ['account', 'Forbidden.* NoPermission.* isp.RAM_PERMISSION_DENY'],
  // The account: unknown, frozen, without balance, without this product; where it may be used from.
  ['account', 'isv.ACCOUNT_NOT_EXISTS isv.ACCOUNT_ABNORMAL isv.SECURITY_FROZEN_ACCOUNT'],
  ['account', 'isv.OUT_OF_SERVICE isv.AMOUNT_NOT_ENOUGH'],
  ['account', 'isv.PRODUCT_UN_SUBSCRIPT isv.PRODUCT_UNSUBSCRIBE isv.DENY_IP_RANGE'],
  // Its limits a day and a month; test templates, which only reach registered numbers.
  ['account', 'isv.DAY_LIMIT_CONTROL isv.MONTH_LIMIT_CONTROL'],
  ['account', 'isv.SMS_TEST_SIGN_TEMPLATE_LIMIT isv.SMS_TEST_NUMBER_LIMIT'],
]

const classes = new Map(
  table.flatMap(([name, codes]) => codes.split(' ').map((code) => [code, name] as const)),
)
