/** What Tencent says later about an SMS, https://cloud.tencent.com/document/api/382/59178. */
import { delivered, failed, keyOf, type Reasons, readBatch } from './batch.ts'
import { CARRIER_REASONS } from './carriers.ts'
import type { ReceiptSource } from './receipt.ts'
import { checkToken } from './token.ts'

export interface TencentReceiptsOptions {
  /**
   * The last part of the address that Tencent posts to, for it does not sign: 20 to 100 random characters of
   * `[A-Za-z0-9_-]`.
   */
  token: string
}

/**
 * Reads what Tencent pushes for an application. It repeats twice what was not answered. Throws a TypeError when the token is
 * missing or malformed.
 */
export function tencentReceipts({ token }: TencentReceiptsOptions): ReceiptSource {
  checkToken('tencentReceipts: token', token)
  return {
    provider: 'tencent',
    token,
    read: ({ body }) => readBatch(body, receiptOf),
    answer: { result: 0, errmsg: 'OK' },
  }
}

function receiptOf({ sid, ext, report_status, errmsg }: Record<string, unknown>) {
  if (typeof sid !== 'string' || !/^\d{1,8}:\w{1,64}$/.test(sid)) return undefined
  // Our SessionContext, where Tencent has switched it on for the account.
  const about = { messageId: sid, ...keyOf(ext) }
  if (report_status === 'SUCCESS') return delivered(about)
  return report_status === 'FAIL' ? failed(about, errmsg, reasons) : undefined
}

const reasons: Reasons = new Map([
  ...CARRIER_REASONS,
  // After https://www.tencentcloud.com/document/product/382/35462.
  ['SUBFAIL', 'recipient'],
  ['002', 'recipient'],
])
