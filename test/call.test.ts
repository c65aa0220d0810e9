import assert from 'node:assert/strict'
import { test } from 'node:test'
import { call } from '../src/call.ts'
import type { SendOptions, SmsMessage, SmsProvider } from '../src/providers/provider.ts'
import { markReleased } from '../src/providers/signals.ts'

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

test('The signal is there behind a proxy and a prototype, and another one can be put in its place.', async () => {
  const { provider, handed } = silent()
  const own = AbortSignal.abort()
  const wrapper: SmsProvider = {
    name: 'wrapper',
    async send(sent, options) {
      const proxied = new Proxy(options, {})
      const derived = Object.create(options) as SendOptions
      assert.equal(proxied.signal, options.signal)
      assert.equal(derived.signal, options.signal)
      options.signal = own
      return provider.send(sent, options)
    },
  }
  await call(wrapper, message, 20)
  assert.equal(handed[0]?.signal, own)
})

test('Who asks for the signal when the call has ended does not get the one of another call.', async () => {
  const kept: SendOptions[] = []
  const keeping: SmsProvider = {
    name: 'keeping',
    async send(_, options) {
      kept.push(options)
      // As `post` does.
      markReleased(options.signal, true)
      return { class: 'ok' }
    },
  }
  await call(keeping, message, 1000)
  const { provider, handed } = silent()
  const running = call(provider, message, 20)
  const other = handed[0]?.signal
  assert.notEqual(kept[0]?.signal, other)
  await running
  assert.equal(other?.aborted, true)
  assert.equal(kept[0]?.signal.aborted, false)
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
