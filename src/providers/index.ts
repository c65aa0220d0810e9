/** The vendors that come with the package, and the contract for writing another. */
export { type ConsoleOptions, consoleProvider } from './console.ts'
export { failoverProvider } from './failover.ts'
export type {
  Fetch,
  Outcome,
  OutcomeClass,
  SendOptions,
  SmsMessage,
  SmsProvider,
} from './provider.ts'
export { type RonglianOptions, ronglianProvider } from './ronglian.ts'
export { type TwilioOptions, twilioProvider } from './twilio.ts'
