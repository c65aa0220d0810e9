import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failoverProvider } from '../src/providers/failover.ts'
import type { Outcome, OutcomeClass, SmsProvider } from '../src/providers/provider.ts'
import { message } from './provider-contract.ts'

const options = { signal: AbortSignal.timeout(5000) }

for (const passed of ['retry', 'account', 'permanent_request', 'rate_recipient'] as const) {
  test(`After ${passed} the next vendor is asked.`, async () => {
    const [first, second] = [vendor('one', { class: passed }), vendor('two', { class: 'ok' })]
    const outcome = await failoverProvider([first, second]).send(message, options)
    assert.equal(outcome.class, 'ok')
    assert.deepEqual([first.calls, second.calls], [1, 1])
  })
}

const final: OutcomeClass[] = ['ok', 'duplicate', 'ambiguous', 'permanent_recipient', 'fraud_block']

for (const name of final) {
  test(`After ${name} no other vendor is asked.`, async () => {
    const [first, second] = [vendor('one', { class: name }), vendor('two', { class: 'ok' })]
    const outcome = await failoverProvider([first, second]).send(message, options)
    assert.equal(outcome.class, name)
    assert.deepEqual([first.calls, second.calls], [1, 0])
  })
}

test('A vendor that throws may have sent, so that no other is asked.', async () => {
  const second = vendor('two', { class: 'ok' })
  for (const send of [
    () => Promise.reject(new Error('with +8613800138000 in it')),
    () => {
      throw new Error('at once')
    },
  ]) {
    const outcome = await failoverProvider([{ name: 'one', send }, second]).send(message, options)
    assert.deepEqual(outcome, { class: 'ambiguous', code: 'one:ambiguous' })
  }
  assert.equal(second.calls, 0)
})

test('When all have refused, retry wins over the last outcome.', async () => {
  const outcome = await failoverProvider([
    vendor('one', { class: 'retry', code: '160050' }),
    vendor('two', { class: 'permanent_request', code: '21617' }),
  ]).send(message, options)
  assert.deepEqual(outcome, { class: 'retry', code: 'one:160050 two:21617' })
})

test('When all have refused and none says retry, the last outcome stands.', async () => {
  const outcome = await failoverProvider([
    vendor('one', { class: 'permanent_request', code: '160032' }),
    vendor('two', { class: 'rate_recipient', code: '14107' }),
  ]).send(message, options)
  assert.deepEqual(outcome, { class: 'rate_recipient', code: 'one:160032 two:14107' })
})

test('An outcome that is final wins over an earlier retry.', async () => {
  const outcome = await failoverProvider([
    vendor('one', { class: 'retry' }),
    vendor('two', { class: 'ambiguous' }),
  ]).send(message, options)
  assert.deepEqual(outcome, { class: 'ambiguous', code: 'one:retry two:ambiguous' })
})

test('A success of the second vendor tells its id and still reports the first to a person.', async () => {
  const outcome = await failoverProvider([
    vendor('one', { class: 'account', code: '160014' }),
    vendor('two', { class: 'ok', messageId: 'SM1' }),
  ]).send(message, options)
  assert.deepEqual(outcome, {
    class: 'ok',
    messageId: 'SM1',
    code: 'one:160014 two:ok',
    alert: true,
  })
})

test('When the time is over no other vendor is asked.', async () => {
  const second = vendor('two', { class: 'ok' })
  const provider = failoverProvider([vendor('one', { class: 'retry' }), second])
  const outcome = await provider.send(message, { signal: AbortSignal.abort() })
  assert.equal(outcome.class, 'retry')
  assert.equal(second.calls, 0)
})

test('Every vendor gets the same message and signal.', async () => {
  const seen: unknown[] = []
  const spy: SmsProvider = {
    name: 'spy',
    async send(...given) {
      seen.push(given)
      return { class: 'retry' }
    },
  }
  await failoverProvider([spy, spy]).send(message, options)
  assert.deepEqual(seen, [
    [message, options],
    [message, options],
  ])
})

test('The name joins the names, and it is idempotent only if all are.', () => {
  const yes = { ...vendor('yes', { class: 'ok' }), idempotent: true }
  const no = { ...vendor('no', { class: 'ok' }), idempotent: false }
  const { name, idempotent } = failoverProvider([yes, no])
  assert.deepEqual({ name, idempotent }, { name: 'yes+no', idempotent: false })
  assert.equal(failoverProvider([yes, yes]).idempotent, true)
  assert.equal(failoverProvider([yes, vendor('silent', { class: 'ok' })]).idempotent, false)
})

test('A list without vendors is refused at the start.', () => {
  assert.throws(() => failoverProvider([]), {
    name: 'TypeError',
    message: 'failoverProvider: providers: expected at least one, got none',
  })
})

function vendor(name: string, outcome: Outcome): SmsProvider & { calls: number } {
  return {
    name,
    calls: 0,
    async send() {
      this.calls++
      return outcome
    },
  }
}
