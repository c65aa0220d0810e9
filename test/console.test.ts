import assert from 'node:assert/strict'
import { test } from 'node:test'
import { consoleProvider } from '../src/providers/console.ts'
import type { SmsMessage } from '../src/providers/provider.ts'
import { message } from '../src/testing/index.ts'

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

test('In production the console prints no code, unless it may until a day, or the host prints.', async (t) => {
  const log = t.mock.method(console, 'log', () => {})
  const { NODE_ENV } = process.env
  process.env.NODE_ENV = 'production'
  t.after(() => {
    process.env.NODE_ENV = NODE_ENV
    if (NODE_ENV === undefined) delete process.env.NODE_ENV
  })
  const refused = { class: 'permanent_request', code: 'production', alert: true }
  assert.deepEqual(await consoleProvider().send(message, options), refused)
  assert.deepEqual(await consoleProvider({ until: '2020-01-01' }).send(message, options), refused)
  assert.equal(log.mock.callCount(), 0)
  const printed: SmsMessage[] = []
  const print = (each: SmsMessage) => printed.push(each)
  assert.deepEqual(await consoleProvider({ print }).send(message, options), { class: 'ok' })
  const allowed = consoleProvider({ until: '2999-01-01' })
  assert.deepEqual(await allowed.send(message, options), { class: 'ok' })
  assert.deepEqual([printed.length, log.mock.callCount()], [1, 1])
  assert.throws(
    () => consoleProvider({ until: 'soon' }),
    /console: until: expected a date, got soon/,
  )
})

test('The console says of itself that it is not idempotent.', () => {
  const { name, idempotent } = consoleProvider()
  assert.deepEqual({ name, idempotent }, { name: 'console', idempotent: false })
})
