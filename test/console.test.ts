import assert from 'node:assert/strict'
import { test } from 'node:test'
import { consoleProvider } from '../src/providers/console.ts'
import type { SmsMessage } from '../src/providers/provider.ts'
import { message } from './provider-contract.ts'

const options = { signal: AbortSignal.timeout(5000) }

test('The console prints number and text on one line and is ok.', async (t) => {
  const log = t.mock.method(console, 'log', () => {})
  const text = 'Your code is 012345.\n\n@example.com #012345'
  const outcome = await consoleProvider().send({ ...message, text }, options)
  assert.deepEqual(outcome, { class: 'ok' })
  assert.deepEqual(
    log.mock.calls.map((call) => call.arguments),
    [['SMS to +8613800138000: Your code is 012345. @example.com #012345']],
  )
})

test('The console hands the message to a print function of the host.', async (t) => {
  const log = t.mock.method(console, 'log', () => {})
  const printed: SmsMessage[] = []
  const provider = consoleProvider({ print: (each) => printed.push(each) })
  assert.deepEqual(await provider.send(message, options), { class: 'ok' })
  assert.deepEqual(printed, [message])
  assert.equal(log.mock.callCount(), 0)
})

test('The console says of itself that it is not idempotent.', () => {
  const { name, idempotent } = consoleProvider()
  assert.deepEqual({ name, idempotent }, { name: 'console', idempotent: false })
})
