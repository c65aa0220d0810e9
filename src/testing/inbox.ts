/** The phones that a fake provider's SMS arrive at. */
import { EventEmitter, once } from 'node:events'
import type { SmsMessage } from '../providers/provider.ts'

export interface Inbox {
  /** Every SMS, in order. */
  sent: SmsMessage[]
  arrive(message: SmsMessage): void
  /** The newest SMS to the number that was not read before; undefined if none has come within `seconds`. */
  read(phone: string, seconds: number): Promise<SmsMessage | undefined>
  clear(): void
}

export function createInbox(): Inbox {
  const sent: SmsMessage[] = []
  /** The newest of each number. */
  const unread = new Map<string, SmsMessage>()
  const arrivals = new EventEmitter().setMaxListeners(0)

  return {
    sent,
    arrive(message) {
      sent.push(message)
      unread.set(message.phone, message)
      arrivals.emit(message.phone)
    },
    async read(phone, seconds) {
      // Not AbortSignal.timeout, which does not keep a test alive that has nothing else to wait for.
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), seconds * 1000)
      try {
        while (!unread.has(phone)) await once(arrivals, phone, { signal: late.signal })
      } catch {
        return undefined
      } finally {
        clearTimeout(timer)
      }
      const message = unread.get(phone)
      unread.delete(phone)
      return message
    },
    clear() {
      sent.length = 0
      unread.clear()
    },
  }
}
