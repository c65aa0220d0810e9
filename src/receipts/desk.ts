/** What is done with receipts, whoever brought them: the verification's state, the provider's health, the vendor's feedback. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../log.ts'
import { noteState, type ProviderHealth } from '../provider-health.ts'
import type { MessageState, ProviderStore, SentBy } from '../store/store.ts'
import { messageName, type Receipt, type ReceiptSource, vendorOf } from './receipt.ts'

export interface ReceiptDesk {
  /** Rejects when the store cannot be asked: the vendor should say it again. */
  take(provider: string, receipts: Receipt[]): Promise<void>
  /** A code was entered: it speaks for the provider, and its vendor may want to know. Not waited for. */
  entered(sentBy: SentBy, country: string): void
  /** Asks the vendors that can be asked, from now on. */
  startPulling(): void
  close(): Promise<void>
}

export interface ReceiptDeskOptions {
  sources: readonly ReceiptSource[]
  store: Pick<ProviderStore, 'noteReceipt' | 'receive'>
  health: Pick<ProviderHealth, 'note' | 'close'>
  logger: Logger
}

/** Milliseconds that a call to a vendor may take here. */
const CALL_TIMEOUT = 10_000

/** Confirmations under way at once. What is more is left out: they are a favour. */
const MOST_CONFIRMATIONS = 100

export function createReceiptDesk(options: ReceiptDeskOptions): ReceiptDesk {
  const { sources, store, health, logger } = options
  const ended = new AbortController()
  let confirming = 0

  async function take(provider: string, receipts: Receipt[]): Promise<void> {
    for (const receipt of receipts) await takeOne(provider, receipt)
  }

  async function takeOne(provider: string, receipt: Receipt): Promise<void> {
    const { messageId, key, code, ...state } = receipt
    const about = { provider, messageId, code, ...state }
    for (const name of key ? [messageId, key] : [messageId]) {
      const noted = await store.noteReceipt(messageName(provider, name), state)
      if (!noted.sent) continue
      const { id, version, country, provider: sentBy } = noted.sent
      const verdict = await store.receive(noted.sent, noted.state)
      if (!noted.repeated) noteState(health, sentBy, country, noted.state)
      logger.info({ event: `receipt.${verdict}`, id, version, ...about }, TOLD[noted.state.state])
      return
    }
    // Of another app of the same account, or faster than the answer to our call: then the consumer finds it.
    logger.info({ event: 'receipt.unknown', ...about }, 'a receipt of an SMS that is not known')
  }

  /** One question after the other, with a pause where there was no answer; what could not be stored is tried again before the next. */
  async function pullFrom({ provider, pull }: ReceiptSource): Promise<void> {
    if (!pull) return
    let receipts: Receipt[] = []
    for (;;) {
      try {
        if (receipts.length === 0) receipts = await withTime((signal) => pull.receipts({ signal }))
        await take(provider, receipts)
        const isMore = receipts.length > 0
        receipts = []
        if (isMore && !ended.signal.aborted) continue
      } catch (error) {
        if (ended.signal.aborted) return
        logger.warn({ event: 'receipt.pull', provider, error: messageOf(error) }, 'no receipts now')
      }
      const { signal } = ended
      await sleep(pull.every * 1000, undefined, { signal, ref: false }).catch(() => {})
      if (ended.signal.aborted) return
    }
  }

  /** Its signal ends with the time, and with the desk. */
  async function withTime<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    const end = () => abort.abort()
    const timer = setTimeout(end, CALL_TIMEOUT)
    ended.signal.addEventListener('abort', end, { once: true })
    try {
      return await run(abort.signal)
    } finally {
      clearTimeout(timer)
      ended.signal.removeEventListener('abort', end)
    }
  }

  return {
    take,
    entered({ provider, messageId }, country) {
      // It counted as one that was not entered since it was sent.
      health.note({ provider, country, signal: 'codes', good: 1, bad: -1 })
      const source = sources.find((each) => each.provider === vendorOf(provider) && each.confirm)
      if (!source?.confirm || !messageId || confirming >= MOST_CONFIRMATIONS) return
      confirming++
      // However it fails, the person's proof is not to be lost over it.
      withTime(async (signal) => source.confirm?.(messageId, { signal }))
        .catch((error) => {
          const about = { event: 'receipt.unconfirmed', provider, messageId }
          logger.warn(
            { ...about, error: messageOf(error) },
            'could not tell the vendor of a success',
          )
        })
        .finally(() => {
          confirming--
        })
    },
    startPulling() {
      for (const source of sources) void pullFrom(source)
    },
    async close() {
      ended.abort()
      await health.close()
    },
  }
}

const TOLD: Record<MessageState['state'], string> = {
  delivered: 'the SMS has arrived',
  failed: 'the SMS has not arrived',
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
