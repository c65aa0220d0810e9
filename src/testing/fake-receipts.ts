/** What a fake provider says later about its SMS: pushed as signed requests, or waiting to be pulled. */
import { createHmac, randomBytes } from 'node:crypto'
import type { Receipt, ReceiptRequest, ReceiptSource } from '../receipts/receipt.ts'

/** Gets each receipt, and the request that a vendor would make of it: a POST with these headers and this body. */
export type OnReceipt = (
  receipt: Receipt,
  request: Pick<ReceiptRequest, 'headers' | 'body'>,
) => unknown

export interface FakeReceipts {
  source: ReceiptSource
  /** Resolves when `onReceipt` has, or when the receipt can be pulled. */
  report(receipt: Receipt): Promise<void>
  /** What the host has confirmed, by message id. */
  confirmed: string[]
  clear(): void
}

const SIGNATURE = 'fake-signature'

export function createFakeReceipts(provider: string, onReceipt?: OnReceipt): FakeReceipts {
  const secret = randomBytes(32)
  const confirmed: string[] = []
  const waiting: Receipt[] = []
  const sign = (body: string) => createHmac('sha256', secret).update(body).digest('hex')

  const source: ReceiptSource = {
    provider,
    read({ headers, body }) {
      return headers[SIGNATURE] === sign(body) ? parse(body) : 'forged'
    },
    async confirm(messageId) {
      confirmed.push(messageId)
    },
  }
  const pull = { every: 1, receipts: async () => waiting.splice(0) }

  return {
    source: onReceipt ? source : { ...source, pull },
    async report(receipt) {
      if (!onReceipt) {
        waiting.push(receipt)
        return
      }
      const body = JSON.stringify(receipt)
      const headers = { 'content-type': 'application/json', [SIGNATURE]: sign(body) }
      await onReceipt(receipt, { headers, body })
    },
    confirmed,
    clear() {
      confirmed.length = 0
      waiting.length = 0
    },
  }
}

// The signature says that we have written it.
const parse = (body: string): Receipt[] => [JSON.parse(body)]
