/** Prints instead of sending, for development. */
import type { SmsMessage, SmsProvider } from './provider.ts'

export interface ConsoleOptions {
  /**
   * Shows one message.
   * @default prints one line with the number and the text to stdout
   */
  print?: (message: SmsMessage) => void
}

/**
 * Prints every SMS and calls it sent. This is the one place that shows a code and a full number, so keep it out of
 * production.
 */
export function consoleProvider({ print = printLine }: ConsoleOptions = {}): SmsProvider {
  return {
    name: 'console',
    idempotent: false,
    async send(message) {
      print(message)
      return { class: 'ok' }
    },
  }
}

function printLine({ phone, text }: SmsMessage): void {
  console.log(`SMS to ${phone}: ${text.replace(/\s+/g, ' ')}`)
}
