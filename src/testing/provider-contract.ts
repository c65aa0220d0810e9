/** What every provider has to do, however it talks to its vendor: the contract of providers/provider.ts as tests. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { codeOf } from '../call.ts'
import type { Outcome, OutcomeClass, SmsMessage, SmsProvider } from '../providers/provider.ts'

/**
 * What the vendor does with a call: takes the SMS, refuses it for good, reads it and never answers, or reads it and breaks the
 * connection (or whatever the client that you use makes an error of).
 */
export type VendorMood = 'accepts' | 'refuses' | 'silent' | 'breaks'

export interface ProviderContract {
  /**
   * A provider with valid settings before a vendor that is not the real one and behaves like this. `quote` is what it says where
   * vendors put text, in a refusal and in errors: vendors quote what they were sent.
   */
  setup(mood: VendorMood, quote: string): ProviderSetup | Promise<ProviderSetup>
  /** What is not as in the usual message, for a vendor that does not send to mainland China. */
  message?: Partial<SmsMessage>
  /** Everything in the settings that must not be shown. */
  secrets: string[]
}

export interface ProviderSetup {
  provider: SmsProvider
  /** The code of each call that got to the vendor so far, as the vendor would read it. */
  codes(): unknown[]
  /** The same of their idempotency keys. For a provider that is `idempotent`. */
  keys?(): unknown[]
  /** Called when the test is over. */
  close?(): unknown
}

/** An SMS to a provider. It cannot be changed: a provider shares it with others. */
export const message: SmsMessage = Object.freeze({
  phone: '+8613800138000',
  country: 'CN',
  code: '012345',
  text: 'Your code is 012345.',
  minutes: 5,
  expiresIn: 290,
  purpose: 'login',
  locales: Object.freeze([]) as never,
  id: '0123456789abcdef0123456789abcdef',
  version: 1,
  attempt: 1,
  key: '00112233445566778899aabbccddeeff',
})

/** Milliseconds that a call may go on after its signal, and that one gets which is to be ended or not. */
const IN_TIME = 2000
const SHORT = 50
const LONG = 5000

/** Registers the tests that every provider passes. */
export function testProvider(name: string, contract: ProviderContract): void {
  const { secrets } = contract
  const sms: SmsMessage = Object.freeze({ ...message, ...contract.message })
  /** The SMS with another code in all of its places. */
  const withCode = (code: string, fields: Partial<SmsMessage> = {}): SmsMessage =>
    Object.freeze({ ...sms, code, text: `Your code is ${code}.`, ...fields })

  async function setup(t: TestContext, mood: VendorMood, quote = ''): Promise<ProviderSetup> {
    const made = await contract.setup(mood, quote)
    t.after(() => made.close?.())
    return made
  }

  test(`${name}: has a short name and nothing of its settings on it.`, async (t) => {
    const { provider } = await setup(t, 'accepts')
    assert.match(provider.name, /^[a-z][a-z0-9-]{0,29}(:[a-z0-9-]{1,20})?$/)
    for (const shown of [JSON.stringify(provider), inspect(provider, { depth: 9 })]) {
      checkHidden(shown, secrets)
    }
  })

  test(`${name}: an accepted SMS is ok, by one call to the vendor.`, async (t) => {
    const { provider, codes } = await setup(t, 'accepts')
    const outcome = await outcomeOf(provider, sms)
    assert.equal(outcome.class, 'ok')
    checkShape(outcome)
    assert.deepEqual(codes(), [sms.code])
  })

  test(`${name}: an SMS refused for good is permanent.`, async (t) => {
    const { provider } = await setup(t, 'refuses')
    const outcome = await outcomeOf(provider, sms)
    assert.match(outcome.class, /^permanent_/)
    checkShape(outcome)
  })

  test(`${name}: a code with leading zeros arrives as it is.`, async (t) => {
    const { provider, codes } = await setup(t, 'accepts')
    await outcomeOf(provider, withCode('000042'))
    assert.deepEqual(codes(), ['000042'])
  })

  test(`${name}: two calls at once are not mixed up.`, async (t) => {
    const { provider, codes } = await setup(t, 'accepts')
    const other = withCode('987654', { key: sms.key.replace('0', 'f') })
    const outcomes = await Promise.all([outcomeOf(provider, sms), outcomeOf(provider, other)])
    for (const outcome of outcomes) assert.equal(outcome.class, 'ok')
    assert.deepEqual(codes().sort(), ['012345', '987654'])
  })

  test(`${name}: if it is idempotent, every attempt has the key of the SMS.`, async (t) => {
    const { provider, keys } = await setup(t, 'accepts')
    assert.ok(!provider.idempotent || keys, 'expected keys() of an idempotent provider')
    if (!provider.idempotent || !keys) return
    await outcomeOf(provider, sms)
    await outcomeOf(provider, withCode(sms.code, { attempt: 2 }))
    await outcomeOf(provider, withCode('987654', { version: 2, key: 'f'.repeat(32) }))
    const [first, second, third] = keys()
    assert.ok(typeof first === 'string' && first !== '', 'expected a key')
    assert.equal(second, first)
    assert.notEqual(third, first)
  })

  test(`${name}: the signal ends a call that is never answered, in time and as ambiguous.`, async (t) => {
    const { provider, codes } = await setup(t, 'silent')
    const outcome = await outcomeOf(provider, sms, asked(codes))
    assert.equal(outcome.class, 'ambiguous')
    checkShape(outcome)
    assert.deepEqual(codes(), [sms.code])
  })

  test(`${name}: a signal that has aborted before sends nothing and is no success.`, async (t) => {
    const { provider, codes } = await setup(t, 'accepts')
    const outcome = await outcomeOf(provider, sms, 0)
    assert.ok(outcome.class === 'retry' || outcome.class === 'ambiguous', outcome.class)
    assert.deepEqual(codes(), [])
  })

  test(`${name}: a call that breaks after the vendor has read it is ambiguous.`, async (t) => {
    const { provider } = await setup(t, 'breaks')
    const outcome = await outcomeOf(provider, sms)
    assert.equal(outcome.class, 'ambiguous')
    checkShape(outcome)
  })

  test(`${name}: no secret, number or code is in an outcome or printed.`, async (t) => {
    const national = sms.phone.slice(3)
    const hidden = [...secrets, sms.phone, national, sms.code, sms.text]
    const printed = listen(t)
    for (const mood of ['accepts', 'refuses', 'silent', 'breaks'] as const) {
      const { provider } = await setup(t, mood, hidden.join(' '))
      const outcome = await outcomeOf(provider, sms, mood === 'silent' ? SHORT : undefined)
      checkHidden(JSON.stringify(outcome), hidden)
    }
    // Without the durations that the test runner prints: they may have any digits.
    checkHidden(
      printed()
        .join('')
        .replaceAll(/\d+\.\d+/g, ''),
      hidden,
    )
  })
}

/**
 * What the consumer makes of a call. Its signal ends after so many milliseconds, with 0 before it begins, or when the promise
 * resolves; rejects if that does not end the call.
 */
export async function outcomeOf(
  provider: SmsProvider,
  sms: SmsMessage = message,
  end: number | Promise<unknown> = LONG,
): Promise<Outcome> {
  const abort = new AbortController()
  if (end === 0) abort.abort()
  const most = typeof end === 'number' ? end : LONG
  const timer = setTimeout(() => abort.abort(), most)
  if (typeof end !== 'number') end.then(() => abort.abort())
  try {
    return await within(most + IN_TIME, outcomeOrError(provider, sms, abort.signal))
  } finally {
    clearTimeout(timer)
  }
}

/** Resolves when a call has got to the vendor, or is certainly not going to. */
async function asked(codes: () => unknown[]): Promise<void> {
  const end = Date.now() + LONG
  while (codes().length === 0 && Date.now() < end) await sleep(5)
}

async function outcomeOrError(provider: SmsProvider, sms: SmsMessage, signal: AbortSignal) {
  try {
    return await provider.send(sms, { signal })
  } catch (error) {
    return { class: 'ambiguous', code: codeOf(error) } satisfies Outcome
  }
}

/** Rejects when the promise has not settled in time, even if nothing else keeps the process alive. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const text = `expected an end within ${milliseconds} ms`
    timer = setTimeout(() => reject(new assert.AssertionError({ message: text })), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

export function checkHidden(shown: string, hidden: string[]): void {
  // Not by assert's own message, which would show it.
  const index = hidden.findIndex((text) => shown.includes(text))
  assert.equal(index, -1, `hidden text ${index} is shown`)
}

const CLASSES: Record<OutcomeClass, true> = {
  ok: true,
  duplicate: true,
  retry: true,
  ambiguous: true,
  rate_recipient: true,
  permanent_recipient: true,
  permanent_request: true,
  account: true,
  fraud_block: true,
}

/** The fields of an outcome and no others: what is not known is logged by nobody and looked at by nobody. */
function checkShape(outcome: Outcome): void {
  const { class: name, messageId, code, alert, ...others } = outcome
  assert.ok(Object.hasOwn(CLASSES, name), `expected a class of outcomes, got ${name}`)
  assert.deepEqual(Object.keys(others), [])
  if (messageId !== undefined) assert.match(messageId, /^\S{1,200}$/)
  // A code or a short word, never a text of the vendor's.
  if (code !== undefined) assert.match(code, /^[\x20-\x7e]{1,100}$/)
  if (alert !== undefined) assert.equal(typeof alert, 'boolean')
}

/** All that is written to the terminal until the test is over. */
function listen(t: TestContext): () => string[] {
  const printed: string[] = []
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as (...given: unknown[]) => boolean
    t.mock.method(stream, 'write', (...given: unknown[]) => {
      printed.push(String(given[0]))
      return write(...given)
    })
  }
  return () => printed
}
