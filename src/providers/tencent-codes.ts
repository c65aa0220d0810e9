/** What the answers of Tencent's SendSms mean. */
import { outcomeOfHttpStatus } from './http.ts'
import type { Outcome, OutcomeClass } from './provider.ts'

/**
 * The outcome of an answer with this HTTP `status` and this JSON object as its body. Tencent refuses with HTTP 200, at two
 * levels: the request by `Error`, a number by the `Code` of its item in `SendStatusSet`.
 */
export function outcomeOfAnswer(status: number, json: Record<string, unknown>): Outcome {
  const response = fieldsOf(json.Response)
  const { Code, SerialNo } =
    response.Error === undefined ? onlyItem(response.SendStatusSet) : fieldsOf(response.Error)
  if (typeof Code !== 'string') {
    return status === 200 ? { class: 'ambiguous' } : outcomeOfHttpStatus(status)
  }
  // Anything else is not Tencent's and may quote the request, so it must not reach the log.
  if (!/^(?=.{1,80}$)[A-Za-z]+(\.[A-Za-z]*)?$/.test(Code)) {
    return status === 200 ? { class: 'ambiguous', alert: true } : outcomeOfHttpStatus(status)
  }
  if (Code !== 'Ok') return outcomeOfCode(Code)
  if (status !== 200 || response.Error !== undefined) return outcomeOfHttpStatus(status)
  const readable = typeof SerialNo === 'string' && /^\d{1,8}:\w{1,64}$/.test(SerialNo)
  return readable ? { class: 'ok', messageId: SerialNo } : { class: 'ok' }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

// One number was sent, so more or fewer of them are no answer to it.
function onlyItem(items: unknown): Record<string, unknown> {
  return Array.isArray(items) && items.length === 1 ? fieldsOf(items[0]) : {}
}

function outcomeOfCode(code: string): Outcome {
  const [family = ''] = code.split('.')
  const known = classes.get(code)
  if (known && known !== 'account') return { class: known, code }
  if (known) return { class: known, code, alert: true }
  return { class: classes.get(`${family}.*`) ?? 'ambiguous', code, alert: true }
}

// Meanings after https://cloud.tencent.com/document/api/382/59177 and errors.go of
// https://github.com/TencentCloud/tencentcloud-sdk-go. Some are spelled in two ways. Those of other calls are left out.
const table: [OutcomeClass, string][] = [
  // Too many calls a second, or too many SMS abroad; unavailable.
  ['retry', 'RequestLimitExceeded RequestLimitExceeded.IPLimitExceeded'],
  ['retry', 'RequestLimitExceeded.UinLimitExceeded AuthFailure.RequestLimitExceeded'],
  ['retry', 'RequestLimitExceeded.GlobalRegionUinLimitExceeded'],
  ['retry', 'LimitExceeded.GlobalSmsSendingRateLimit ServiceUnavailable ResourceUnavailable'],

  // No answer in time from what is behind the API; errors without a name.
  ['ambiguous', 'InternalError InternalError.Timeout InternalError.SendAndRecvFail'],
  ['ambiguous', 'InternalError.OtherError InternalError.UnknownError'],

  // Limits for this number: 30 seconds, an hour, a day, the same text, and in all.
  ['rate_recipient', 'LimitExceeded.PhoneNumberThirtySecondLimit'],
  ['rate_recipient', 'LimitExceeded.PhoneNumberOneHourLimit LimitExceeded.PhoneNumberDailyLimit'],
  ['rate_recipient', 'LimitExceeded.PhoneNumberSameContentDailyLimit'],
  ['rate_recipient', 'LimitExceeded.DeliveryFrequencyLimit'],

  // Not a number; opted out or barred; a region that is not served.
  ['permanent_recipient', 'InvalidParameterValue.IncorrectPhoneNumber'],
  ['permanent_recipient', 'FailedOperation.PhoneNumberParseFail'],
  ['permanent_recipient', 'MissingParameter.EmptyPhoneNumberSet'],
  ['permanent_recipient', 'FailedOperation.PhoneNumberInBlacklist'],
  ['permanent_recipient', 'UnsupportedOperation.UnsuportedRegion'],
  ['permanent_recipient', 'UnsupportedOperation.UnsupportedRegion'],

  // Template or signature: not approved, not fitting what was sent, not for this number.
  ['permanent_request', 'FailedOperation.SignatureIncorrectOrUnapproved'],
  ['permanent_request', 'FailedOperation.TemplateIncorrectOrUnapproved'],
  ['permanent_request', 'FailedOperation.TemplateUnapprovedOrNotExist'],
  ['permanent_request', 'FailedOperation.TemplateParamSetNotMatchApprovedTemplate'],
  ['permanent_request', 'UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone'],
  ['permanent_request', 'UnsupportedOperation.GlobalTemplateToChineseMainlandPhone'],
  ['permanent_request', 'FailedOperation.MarketingSendTimeConstraint'],
  // Text or variables: too long, of another kind, with a link, with a barred word.
  ['permanent_request', 'InvalidParameterValue.ContentLengthLimit'],
  ['permanent_request', 'InvalidParameterValue.TemplateParameterFormatError'],
  ['permanent_request', 'InvalidParameterValue.TemplateParameterLengthLimit'],
  ['permanent_request', 'InvalidParameterValue.ProhibitedUseUrlInTemplateParameter'],
  ['permanent_request', 'FailedOperation.ContainSensitiveWord InvalidParameter.DirtyWordFound'],
  // Other fields of the request.
  ['permanent_request', 'FailedOperation.FailResolvePacket FailedOperation.JsonParseFail'],
  ['permanent_request', 'FailedOperation.OtherError FailedOperation.ParametersOtherError'],
  ['permanent_request', 'InternalError.JsonParseFail InternalError.RestApiInterfaceNotExist'],
  ['permanent_request', 'InvalidParameter.InvalidParameters LimitExceeded.PhoneNumberCountLimit'],
  ['permanent_request', 'UnsupportedOperation.'],
  ['permanent_request', 'UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber'],

  // API key, signature of the request, clock.
  ['account', 'AuthFailure.InvalidAuthorization AuthFailure.InvalidSecretId'],
  ['account', 'AuthFailure.MFAFailure AuthFailure.SecretIdNotFound AuthFailure.SignatureExpire'],
  ['account', 'AuthFailure.SignatureFailure AuthFailure.TokenFailure'],
  ['account', 'AuthFailure.UnauthorizedOperation InternalError.RequestTimeException'],
  ['account', 'InternalError.SigFieldMissing InternalError.SigVerificationFail'],
  // The account or application: unknown, disabled, without balance or rights; where it may be used from and for.
  ['account', 'UnauthorizedOperation UnauthorizedOperation.RequestPermissionDeny'],
  ['account', 'UnauthorizedOperation.RequestIpNotInWhitelist IpInBlacklist IpNotInWhitelist'],
  ['account', 'UnauthorizedOperation.SdkAppIdIsDisabled UnauthorizedOperation.SdkAppidIsDisabled'],
  ['account', 'UnauthorizedOperation.SmsSdkAppIdVerifyFail InvalidParameter.AppidAndBizId'],
  ['account', 'UnauthorizedOperation.SerivceSuspendDueToArrears'],
  ['account', 'UnauthorizedOperation.ServiceSuspendDueToArrears'],
  ['account', 'UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny'],
  ['account', 'FailedOperation.InsufficientBalanceInSmsPackage ResourceInsufficient'],
  ['account', 'InvalidParameterValue.SdkAppIdNotExist'],
  // Its limits a day: in all, at home, abroad, by country; countries that it may not send to.
  ['account', 'LimitExceeded.AppDailyLimit LimitExceeded.DailyLimit'],
  ['account', 'LimitExceeded.AppMainlandChinaDailyLimit LimitExceeded.AppGlobalDailyLimit'],
  ['account', 'LimitExceeded.AppCountryOrRegionDailyLimit'],
  ['account', 'LimitExceeded.AppCountryOrRegionInBlacklist'],

  // Whatever else there may be in these families. An unknown limit may be the number's.
  ['retry', 'RequestLimitExceeded.* ServiceUnavailable.* ResourceUnavailable.*'],
  ['permanent_request', 'FailedOperation.* InvalidParameter.* InvalidParameterValue.*'],
  ['permanent_request', 'LimitExceeded.* MissingParameter.* UnknownParameter.*'],
  ['permanent_request', 'UnsupportedOperation.* InvalidAction.* NoSuchVersion.*'],
  ['account', 'AuthFailure.* UnauthorizedOperation.* ResourceInsufficient.*'],
]

const classes = new Map(
  table.flatMap(([name, codes]) => codes.split(' ').map((code) => [code, name] as const)),
)
