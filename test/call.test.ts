import assert from 'node:assert/strict'
import { test } from 'node:test'
import { call } from '../src/call.ts'
import type { SendOptions, SmsMessage, SmsProvider } from '../src/providers/provider.ts'

const message = {} as SmsMessage

/** Never answers, and keeps what it was handed. */
function silent() {
  const handed: SendOptions[] = []
  const provider: SmsProvider = {
    name: 'silent',
    send(_, options) {
      handed.push(options)
      return new Promise(() => {})
    },
  }
  return { provider, handed }
}

const TIMEOUT = { class: 'ambiguous', code: 'timeout' }

test('A signal ends with the time of its call, whether it was asked for before or after.', async () => {
  const { provider, handed } = silent()
  const outcome = call(provider, message, 20)
  const early = handed[0]?.signal
  assert.equal(early?.aborted, false)
  assert.deepEqual(await outcome, TIMEOUT)
  assert.equal(early?.aborted, true)

  assert.deepEqual(await call(provider, message, 20), TIMEOUT)
  const late = handed[1]?.signal
  assert.equal(late?.aborted, true)
  assert.match(late?.reason.message, /^no answer within 20 ms$/)
  assert.notEqual(late, early)
})

test('The signal is there for who wraps a provider and copies what he was handed.', async () => {
  const { provider, handed } = silent()
  const wrapper: SmsProvider = {
    name: 'wrapper',
    send: (sent, options) => provider.send(sent, { ...options }),
  }
  await call(wrapper, message, 20)
  assert.deepEqual(Object.keys(handed[0] ?? {}), ['signal'])
  assert.equal(handed[0]?.signal.aborted, true)
})

test('No signal is made for a provider that asks for none.', async () => {
  const { AbortController: own } = globalThis
  let made = 0
  globalThis.AbortController = class extends own {
    constructor() {
      super()
      made++
    }
  }
  try {
    const deaf: SmsProvider = { name: 'deaf', send: async () => ({ class: 'ok' }) }
    assert.deepEqual(await call(deaf, message, 1000), { class: 'ok' })
    assert.equal(made, 0)
    const { provider, handed } = silent()
    await call(provider, message, 20)
    assert.equal(handed[0]?.signal.aborted, true)
    assert.equal(made, 1)
  } finally {
    globalThis.AbortController = own
  }
})
