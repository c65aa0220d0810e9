/** Where receipts of the vendors that come with the package come from, and the contract for writing another. */
export { type AliyunReceiptsOptions, aliyunReceipts } from './aliyun.ts'
export type { Receipt, ReceiptRequest, ReceiptSource } from './receipt.ts'
export {
  type RonglianPullOptions,
  type RonglianReceiptsOptions,
  ronglianReceipts,
} from './ronglian.ts'
export { type TencentReceiptsOptions, tencentReceipts } from './tencent.ts'
export { signTwilio, type TwilioReceiptsOptions, twilioReceipts } from './twilio.ts'
