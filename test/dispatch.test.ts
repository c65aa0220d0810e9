import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { createDispatch, type Dispatched } from '../src/dispatch.ts'
import type { ProviderHealth } from '../src/provider-health.ts'
import { type ProviderChainOptions, providerChain } from '../src/providers/chain.ts'
import type { Outcome, OutcomeClass, SmsProvider } from '../src/providers/provider.ts'
import { ronglianProvider } from '../src/providers/ronglian.ts'
import { createMemoryHealth } from '../src/store/memory-health.ts'
import type { Previous } from '../src/store/store.ts'
import { message } from '../src/testing/provider-contract.ts'
import { noHealth } from './helper.ts'

interface Vendor extends SmsProvider {
  calls: number
}

function vendor(
  name: string,
  answer: Outcome | (() => Promise<Outcome>) = { class: 'ok' },
): Vendor {
  return {
    name,
    calls: 0,
    async send() {
      this.calls++
      return typeof answer === 'function' ? answer() : answer
    },
  }
}

/** What becomes of one message where these are asked in turn. */
function dispatchTo(
  providers: SmsProvider[],
  more: { previous?: Previous; health?: Partial<ProviderHealth>; chain?: object } = {},
): Promise<Dispatched> {
  const options: ProviderChainOptions = { routes: { '*': providers }, ...more.chain }
  const dispatch = createDispatch({
    queue: 'test',
    chain: providerChain(options),
    health: { ...noHealth, ...more.health },
    store: createMemoryHealth(() => Date.now()),
  })
  return dispatch(message, more.previous)
}

/** What is there of it. */
const said = ({ provider, ...outcome }: Dispatched) =>
  Object.fromEntries(
    Object.entries({ ...outcome, by: provider?.name }).filter(([, value]) => value !== undefined),
  )

const passedOn = ['retry', 'account', 'permanent_request', 'rate_recipient'] as const

for (const name of passedOn) {
  test(`After ${name} the next vendor is asked at once.`, async () => {
    const [first, second] = [vendor('one', { class: name }), vendor('two')]
    const { class: outcome, provider } = await dispatchTo([first, second])
    assert.deepEqual([outcome, provider?.name], ['ok', 'two'])
    assert.deepEqual([first.calls, second.calls], [1, 1])
  })
}

const final: OutcomeClass[] = ['ok', 'duplicate', 'ambiguous', 'permanent_recipient', 'fraud_block']

for (const name of final) {
  test(`After ${name} no other vendor is asked.`, async () => {
    const [first, second] = [vendor('one', { class: name }), vendor('two')]
    const { class: outcome, provider } = await dispatchTo([first, second])
    assert.deepEqual([outcome, provider?.name], [name, 'one'])
    assert.deepEqual([first.calls, second.calls], [1, 0])
  })
}

const throwing: [title: string, send: () => Promise<Outcome>][] = [
  ['rejects', () => Promise.reject(new Error('with +8613800138000 in it'))],
  [
    'throws',
    () => {
      throw new Error('with +8613800138000 in it')
    },
  ],
]

for (const [title, send] of throwing) {
  test(`A vendor that ${title} may have sent, so that no other is asked.`, async () => {
    const second = vendor('two')
    const outcome = await dispatchTo([{ name: 'one', send }, second])
    assert.deepEqual(said(outcome), { class: 'ambiguous', code: 'Error', alert: true, by: 'one' })
    assert.equal(second.calls, 0)
  })
}

test('An outcome that cannot be read may be anything, so that no other vendor is asked.', async () => {
  const second = vendor('two')
  for (const answer of [undefined, null, 'ok', {}, { class: 'fine' }]) {
    const first = vendor('one', async () => answer as never)
    const outcome = await dispatchTo([first, second])
    const expected = { class: 'ambiguous', code: 'unreadable outcome', alert: true, by: 'one' }
    assert.deepEqual(said(outcome), expected)
  }
  assert.equal(second.calls, 0)
})

test('When all have refused, retry wins over the last outcome, and all codes are told.', async () => {
  const outcome = await dispatchTo([
    vendor('one', { class: 'retry', code: '160050' }),
    vendor('two', { class: 'permanent_request', code: '21617' }),
  ])
  assert.deepEqual(said(outcome), { class: 'retry', code: 'one:160050 two:21617', by: 'one' })
})

test('When all have refused and none says retry, the last outcome stands.', async () => {
  const outcome = await dispatchTo([
    vendor('one', { class: 'permanent_request', code: '160032' }),
    vendor('two', { class: 'rate_recipient', code: '14107' }),
  ])
  const code = 'one:160032 two:14107'
  assert.deepEqual(said(outcome), { class: 'rate_recipient', code, by: 'two' })
})

test('A success of the second vendor tells its id and still reports the first to a person.', async () => {
  const outcome = await dispatchTo([
    vendor('one', { class: 'account', code: '160014' }),
    vendor('two', { class: 'ok', messageId: 'SM1' }),
  ])
  const expected = { class: 'ok', messageId: 'SM1', code: 'one:160014 two:ok', alert: true }
  assert.deepEqual(said(outcome), { ...expected, by: 'two' })
})

test('One vendor by itself says what it says.', async () => {
  const outcome = await dispatchTo([vendor('one', { class: 'retry', code: '160050' })])
  assert.deepEqual(said(outcome), { class: 'retry', code: '160050', by: 'one' })
})

test('Where no vendor serves the country, nothing can be sent and a person has to know.', async () => {
  const outcome = await dispatchTo([{ ...vendor('one'), serves: () => false }])
  const expected = { class: 'permanent_request', code: 'no route', alert: true }
  assert.deepEqual(said(outcome), expected)
})

test('In a resend whoever sent before is asked last.', async () => {
  const vendors = [vendor('one'), vendor('two'), vendor('three')]
  const previous = { provider: 'one', unsure: false }
  assert.equal((await dispatchTo(vendors, { previous })).provider?.name, 'two')
  const down = vendors.map(({ name }) => vendor(name, { class: 'retry' }))
  const { code } = await dispatchTo(down, { previous })
  assert.equal(code, 'two:retry three:retry one:retry')
})

test('Each resend goes on to the next one, and after the last to the first.', async () => {
  const vendors = [vendor('one'), vendor('two'), vendor('three')]
  const asked: unknown[] = []
  let previous: Previous | undefined
  for (let n = 0; n < 4; n++) {
    const { provider } = await dispatchTo(vendors, previous && { previous })
    asked.push(provider?.name)
    previous = { provider: provider?.name ?? '', unsure: false }
  }
  assert.deepEqual(asked, ['one', 'two', 'three', 'one'])
})

test('Whoever is asked alone need not be well, and nobody is asked how he is.', async () => {
  const health = { admits: () => Promise.reject(new Error('asked')) }
  assert.equal((await dispatchTo([vendor('one')], { health })).class, 'ok')
})

test('In doubt the next one is asked in time, too, where that is wanted.', {
  timeout: 20_000,
}, async () => {
  const silent = vendor('one', () => new Promise(() => {}))
  const [second, chain] = [vendor('two'), { inDoubt: 'next' }]
  const startedAt = performance.now()
  const outcome = await dispatchTo([silent, second], { chain })
  assert.deepEqual(said(outcome), { class: 'ok', code: 'one:timeout two:ok', by: 'two' })
  assert.ok(performance.now() - startedAt < 7000)
  // And when it is tried again, it comes last.
  const previous = { provider: 'one', unsure: true }
  assert.equal((await dispatchTo([silent, second], { chain, previous })).provider?.name, 'two')
})

test('Whoever may have sent is the only one to be asked again, well or not.', async () => {
  const vendors = [vendor('one'), vendor('two', { class: 'retry' }), vendor('three')]
  const previous = { provider: 'two', unsure: true }
  const health = { admits: async (name: string) => name !== 'two' }
  const outcome = await dispatchTo(vendors, { previous, health })
  assert.deepEqual(said(outcome), { class: 'retry', by: 'two' })
  assert.deepEqual(
    vendors.map(({ calls }) => calls),
    [0, 1, 0],
  )
})

test('Where two SMS are better than none, the next vendor is asked in doubt, too.', async () => {
  const doubtful = vendor('one', { class: 'ambiguous', code: 'HTTP_500' })
  const chain = { inDoubt: 'next' }
  const sent = await dispatchTo([doubtful, vendor('two')], { chain })
  assert.deepEqual(said(sent), { class: 'ok', code: 'one:HTTP_500 two:ok', by: 'two' })
  const unsent = await dispatchTo([doubtful, vendor('two', { class: 'retry' })], { chain })
  assert.deepEqual(said(unsent), { class: 'ambiguous', code: 'one:HTTP_500 two:retry', by: 'one' })
})

test('Whoever sent before and is not in the chain any more is forgotten.', async () => {
  for (const unsure of [true, false]) {
    const { provider } = await dispatchTo([vendor('one')], {
      previous: { provider: 'old', unsure },
    })
    assert.equal(provider?.name, 'one')
  }
})

test('Those that are not well are asked last, and are asked where nobody else is left.', async () => {
  const health = { admits: async (name: string) => name !== 'one' }
  const first = [vendor('one'), vendor('two')]
  assert.equal((await dispatchTo(first, { health })).provider?.name, 'two')
  const second = [vendor('one'), vendor('two', { class: 'retry' })]
  assert.equal((await dispatchTo(second, { health })).provider?.name, 'one')
  assert.equal((await dispatchTo([vendor('one')], { health })).provider?.name, 'one')
})

test('What each call comes to is noted for the health of its vendor, in its country.', async () => {
  const noted: unknown[] = []
  const health = { noteCall: (...call: unknown[]) => noted.push(call) }
  await dispatchTo([vendor('one', { class: 'account' }), vendor('two')], { health })
  assert.deepEqual(noted, [
    ['one', 'CN', 'account'],
    ['two', 'CN', 'ok'],
  ])
})

test('What is over a vendor’s rate goes to the next one; where there is none, it is held.', async () => {
  const [one, two] = [vendor('one'), vendor('two')]
  const chain = providerChain({ routes: { '*': [one, two] }, rates: { one: 1 } })
  // At a single moment there is a turn for one, and one a second later, which is waited for.
  const store = createMemoryHealth(() => 0)
  const dispatch = createDispatch({ queue: 'test', chain, health: noHealth, store })
  const made = await Promise.all(Array.from({ length: 5 }, () => dispatch(message)))
  assert.deepEqual([one.calls, two.calls], [2, 3])
  assert.ok(made.every((each) => each.class === 'ok'))

  const alone = providerChain({ routes: { '*': [one] }, rates: { one: 1 } })
  const options = { queue: 'test', chain: alone, health: noHealth, store, longestTurn: 50 }
  const held = await createDispatch(options)(message)
  assert.deepEqual(said(held), { class: 'retry', code: 'rate', held: true, by: 'one' })
})

test('Being busy counts for more than a refusal: the message is held.', async () => {
  const busy = { takeTurn: async () => Number.POSITIVE_INFINITY }
  const chain = providerChain({
    routes: { '*': [vendor('one'), vendor('two', { class: 'permanent_request' })] },
    rates: { one: 1 },
  })
  const dispatch = createDispatch({ queue: 'test', chain, health: noHealth, store: busy })
  const { held, code } = await dispatch(message)
  assert.deepEqual([held, code], [true, 'one:rate two:permanent_request'])
})

test('Where the line of a vendor with a rate cannot be seen, the message is held.', async () => {
  const one = vendor('one')
  const chain = providerChain({ routes: { '*': [one] }, rates: { one: 1000 } })
  const store = { takeTurn: () => Promise.reject(new Error('no Redis')) }
  const { held } = await createDispatch({ queue: 'test', chain, health: noHealth, store })(message)
  assert.deepEqual([held, one.calls], [true, 0])
})

test('A vendor that answers late costs the others nothing but time.', async () => {
  const slow = vendor('one', async () => {
    await sleep(50)
    return { class: 'retry' }
  })
  assert.equal((await dispatchTo([slow, vendor('two')])).provider?.name, 'two')
})

/** Calls by `post`, as all of our providers do, and notes what signal each call was given. */
function caller(answer: () => Promise<unknown> = async () => {}) {
  const signals: AbortSignal[] = []
  const provider = ronglianProvider({
    ...{ accountSid: 'account', authToken: 'token', appId: 'app', templateId: '1' },
    async fetch(_, { signal }) {
      signals.push(signal)
      await answer()
      return { status: 200, body: [Buffer.from('{"statusCode":"000000"}')] }
    },
  })
  return { provider, signals }
}

const dispatchBy = (providers: SmsProvider[], chain: object = {}) =>
  createDispatch({
    queue: 'test',
    chain: providerChain({ routes: { '*': providers }, ...chain }),
    health: noHealth,
    store: createMemoryHealth(() => Date.now()),
  })

test('The signal of a call that has ended is used again, by no two calls at once.', async () => {
  const { provider, signals } = caller()
  const dispatch = dispatchBy([provider])
  for (let i = 0; i < 3; i++) await dispatch(message)
  assert.equal(new Set(signals).size, 1)
  await Promise.all([dispatch(message), dispatch(message)])
  assert.equal(new Set(signals).size, 2)
})

test('A signal that anybody else may still hold is not used again.', async () => {
  const { provider, signals } = caller()
  const own: SmsProvider = {
    name: 'own',
    async send(_, { signal }) {
      AbortSignal.any([signal])
      signals.push(signal)
      return { class: 'retry' }
    },
  }
  const listening: SmsProvider = {
    name: 'listening',
    send(sent, options) {
      options.signal.addEventListener('abort', () => {})
      return provider.send(sent, options)
    },
  }
  for (const [providers, each] of [
    [[own], 1],
    [[listening], 1],
    [[own, provider], 2],
  ] as const) {
    signals.length = 0
    const dispatch = dispatchBy([...providers])
    for (let i = 0; i < 3; i++) await dispatch(message)
    // Of two in a row the first is the one of `own`.
    const given = signals.filter((_, i) => each === 1 || i % 2 === 0)
    assert.equal(new Set(given).size, 3)
  }
})

test('A deadline that is over while the answer is read ends no other call.', async () => {
  // The timer, the answer and the end of the timer's turn all come at once, as in a process that was held up.
  const heldUp = async () => {
    await nextTurn()
    const read = stat('.')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
    await read
  }
  let answer = heldUp
  const { provider, signals } = caller(() => answer())
  const others = Array.from({ length: 19 }, (_, i) => vendor(`other ${i}`))
  const dispatch = dispatchBy([provider, ...others], { inDoubt: 'next' })
  const first = await dispatch(message)
  answer = () => sleep(50)
  const second = await dispatch(message)
  assert.deepEqual([first.class, second.class], ['ok', 'ok'])
  assert.deepEqual([first.provider?.name, second.provider?.name], ['ronglian', 'ronglian'])
  assert.equal(signals[1]?.aborted, false)
})
