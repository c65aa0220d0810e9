/** The vendors that come with the package, and the contract for writing another. */

export { type AliyunOptions, aliyunProvider } from './aliyun.ts'
export {
  type BreakerOptions,
  type ProviderChain,
  type ProviderChainOptions,
  providerChain,
} from './chain.ts'
export { type ConsoleOptions, consoleProvider } from './console.ts'
export { outcomeOfError } from './http.ts'
export { type ByLocale, chooseByLocale } from './locales.ts'
export { pooledFetch } from './pool.ts'
export type {
  Fetch,
  Outcome,
  OutcomeClass,
  SendOptions,
  SmsMessage,
  SmsProvider,
} from './provider.ts'
export { type RonglianOptions, ronglianProvider } from './ronglian.ts'
export {
  type RonglianInternationalOptions,
  ronglianInternationalProvider,
} from './ronglian-international.ts'
export { type TencentOptions, tencentProvider } from './tencent.ts'
export { type TwilioOptions, twilioProvider } from './twilio.ts'
export { type WebhookOptions, webhookProvider } from './webhook.ts'
