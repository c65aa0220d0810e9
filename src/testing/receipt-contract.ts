/** What every source of receipts has to do: the contract of receipts/receipt.ts as tests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Receipt, ReceiptRequest, ReceiptSource } from '../receipts/receipt.ts'
import type { FailureReason } from '../store/store.ts'
import { checkHidden, within } from './provider-contract.ts'

export interface ReceiptSourceContract {
  /** Makes the source with valid settings, the same each time. */
  make(): ReceiptSource
  /** The vendor's request that says that an SMS got there, signed if the vendor signs. */
  delivered: ReceiptRequest
  /** The one that says that it did not. */
  failed: ReceiptRequest
  /** Those about what happens on the way, such as `sent`. @default none */
  interim?: ReceiptRequest[]
  /** Requests whose signature does not hold, beside those that the suite makes of `delivered`. @default none */
  forged?: ReceiptRequest[]
  /** What must not be in a receipt: settings, and the numbers in the requests. */
  secrets: string[]
}

/** Milliseconds. */
const IN_TIME = 2000

/** Registers the tests that every source of receipts passes. */
export function testReceiptSource(name: string, contract: ReceiptSourceContract): void {
  const { make, delivered, failed, interim = [], secrets } = contract
  const signed = make().token === undefined

  for (const [state, request] of [
    ['delivered', delivered],
    ['failed', failed],
  ] as const) {
    test(`${name}: what says ${state} is a receipt that says so.`, () => {
      const receipts = receiptsIn(make(), request)
      assert.ok(receipts.length > 0, 'expected a receipt')
      for (const receipt of receipts) {
        assert.equal(receipt.state, state)
        checkShape(receipt)
        checkHidden(JSON.stringify(receipt), secrets)
      }
    })
  }

  test(`${name}: what happens on the way is no receipt.`, () => {
    for (const request of interim) assert.deepEqual(make().read(request), [])
  })

  test(`${name}: a request that comes again says the same.`, () => {
    const source = make()
    for (const request of [delivered, failed]) {
      const first = receiptsIn(source, request)
      assert.deepEqual(source.read(request), first)
      assert.deepEqual(make().read(request), first)
    }
  })

  test(`${name}: junk is refused or says nothing, and never throws.`, () => {
    for (const body of junk(delivered.body)) {
      for (const headers of [delivered.headers, {}]) {
        const read = make().read({ ...delivered, headers, body })
        const said = Array.isArray(read) ? read.length : read
        assert.ok([0, 'forged', 'malformed'].includes(said), `${body.slice(0, 20)}: ${said}`)
      }
    }
  })

  test(`${name}: either its requests are signed or its path cannot be guessed.`, () => {
    const { token } = make()
    if (token !== undefined) {
      assert.match(token, /^[A-Za-z0-9_-]{20,}$/)
      return
    }
    const tampered = delivered.body.replaceAll(/\d/g, (digit) => String((Number(digit) + 1) % 10))
    const headless = { ...delivered, headers: {} }
    const forged = [{ ...delivered, body: `${tampered} ` }, { ...failed, headers: {} }, headless]
    for (const request of forged) assert.equal(make().read(request), 'forged')
  })

  test(`${name}: a signature that does not hold is refused.`, () => {
    const { forged = [] } = contract
    for (const request of forged) assert.equal(make().read(request), 'forged')
    assert.ok(signed || forged.length === 0, 'expected no forged requests where none are signed')
  })

  test(`${name}: belongs to a provider, and its answer can be sent.`, () => {
    const { provider, answer = {}, pull } = make()
    assert.match(provider, /^[a-z][a-z0-9-]{0,29}$/)
    assert.deepEqual(JSON.parse(JSON.stringify(answer)), answer)
    assert.ok(pull === undefined || pull.every >= 1, 'expected to pull once a second at most')
  })

  test(`${name}: a signal that has aborted ends what it asks and tells the vendor.`, async () => {
    const signal = AbortSignal.abort()
    const { pull, confirm } = make()
    const settled = Promise.allSettled([
      pull?.receipts({ signal }),
      confirm?.('0123456789', { signal }),
    ])
    await within(IN_TIME, settled)
  })
}

function receiptsIn(source: ReceiptSource, request: ReceiptRequest): Receipt[] {
  const read = source.read(request)
  assert.ok(Array.isArray(read), `expected receipts, got ${read}`)
  return read
}

const REASONS: Record<FailureReason, true> = {
  recipient: true,
  rate: true,
  blocked: true,
  provider: true,
  late: true,
}

function checkShape({ messageId, key, state, reason, code, ...others }: Receipt): void {
  assert.deepEqual(Object.keys(others), [])
  assert.match(messageId, /^\S{1,200}$/)
  if (key !== undefined) assert.match(key, /^[0-9a-f]{32}$/)
  if (state === 'delivered') assert.equal(reason, undefined)
  if (reason !== undefined) assert.ok(Object.hasOwn(REASONS, reason), `unknown reason ${reason}`)
  if (code !== undefined) assert.match(code, /^[\x20-\x7e]{1,100}$/)
}

/** What is no report of any vendor. */
const junk = (body: string): string[] => [
  '',
  ' ',
  'null',
  'true',
  '0',
  '""',
  '[]',
  '{}',
  '[null]',
  '[[]]',
  '[0,"",{}]',
  '{"Request":null}',
  '{"reports":0}',
  '{"__proto__":{"state":"delivered"}}',
  '&&&===',
  '%',
  '<html>',
  '\0\xff\u{10ffff}\ud800',
  '['.repeat(100_000),
  body.slice(0, body.length / 2),
]
