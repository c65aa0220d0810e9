/** Prints instead of sending, for development. */
import type { SmsMessage, SmsProvider } from './provider.ts'

export interface ConsoleOptions {
  /**
   * Shows one message.
   * @default prints one line with the number and the text to stdout
   */
  print?: (message: SmsMessage) => void
  /**
   * The first day, as `2027-01-31` in UTC, on which nothing is printed any more where `NODE_ENV` is `production`. Without it
   * nothing is, there.
   */
  until?: string
}

/**
 * Prints every SMS and calls it sent. This is the one place that shows a code and a full number: with
 * `NODE_ENV=production`, and neither `print` nor `until`, it refuses every message instead, as `permanent_request`. Throws
 * where `until` is no date.
 */
export function consoleProvider({ print, until }: ConsoleOptions = {}): SmsProvider {
  const end = until === undefined ? Number.NEGATIVE_INFINITY : Date.parse(until)
  if (Number.isNaN(end)) throw new Error(`console: until: expected a date, got ${until}`)
  const mayPrint = () => print || process.env.NODE_ENV !== 'production' || Date.now() < end
  return {
    name: 'console',
    idempotent: false,
    async send(message) {
      if (!mayPrint()) return { class: 'permanent_request', code: 'production', alert: true }
      const show = print ?? printLine
      show(message)
      return { class: 'ok' }
    },
  }
}

function printLine({ phone, text }: SmsMessage): void {
  console.log(`SMS to ${phone}: ${text.replace(/\s+/g, ' ')}`)
}
