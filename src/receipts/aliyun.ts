/** What Aliyun says later about an SMS: the push `SmsReport`, https://help.aliyun.com/document_detail/101867.html. */
import { delivered, failed, keyOf, type Reasons, readBatch } from './batch.ts'
import type { ReceiptSource } from './receipt.ts'
import { checkToken } from './token.ts'

export interface AliyunReceiptsOptions {
  /**
   * The last part of the address that Aliyun posts to, for it does not sign: 20 to 100 random characters of
   * `[A-Za-z0-9_-]`.
   */
  token: string
}

/**
 * Reads what Aliyun pushes ("HTTP 批量推送模式" in the console). It repeats what was not answered with 200 after 1, 5 and 10
 * minutes. Throws a TypeError when the token is missing or malformed.
 */
export function aliyunReceipts({ token }: AliyunReceiptsOptions): ReceiptSource {
  checkToken('aliyunReceipts: token', token)
  return {
    provider: 'aliyun',
    token,
    read: ({ body }) => readBatch(body, receiptOf),
    answer: { code: 0, msg: 'OK' },
  }
}

function receiptOf({ biz_id, out_id, success, err_code }: Record<string, unknown>) {
  if (typeof biz_id !== 'string' || !/^[\d^]{1,64}$/.test(biz_id)) return undefined
  const about = { messageId: biz_id, ...keyOf(out_id) }
  if (success === true) return delivered(about)
  return success === false ? failed(about, err_code, reasons) : undefined
}

// Meanings after https://help.aliyun.com/document_detail/101347.html. All others are about text, signature or channel.
const reasons: Reasons = new Map([
  // Suspended, switched off, out of reach, not assigned.
  ['MOBILE_NOT_ON_SERVICE', 'recipient'],
  ['INVALID_NUMBER', 'recipient'],
  // In arrears, moved to another carrier.
  ['MOBILE_ACCOUNT_ABNORMAL', 'recipient'],
  // Memory or SIM card full. Spelled so; and as it would be right.
  ['MOBLLE_TERMINAL_ERROR', 'recipient'],
  ['MOBILE_TERMINAL_ERROR', 'recipient'],
  // Barred; opted out; takes no SMS from abroad.
  ['MOBILE_IN_BLACK', 'recipient'],
  ['USER_REJECT', 'recipient'],
  ['SP_NOT_BY_INTER_SMS', 'recipient'],
  // No word from the carrier, which mostly means the same.
  ['REQUEST_SUCCESS', 'recipient'],
  // Too many, at Aliyun or at the carrier.
  ['MOBILE_SEND_LIMIT', 'rate'],
])
