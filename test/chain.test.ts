import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  BREAKER,
  type ProviderChainOptions,
  providerChain,
  strictestText,
} from '../src/providers/chain.ts'
import type { SmsProvider } from '../src/providers/provider.ts'
import { recordingProvider } from './helper.ts'

const named = (name: string, more: Partial<SmsProvider> = {}): SmsProvider => ({
  ...recordingProvider(),
  ...more,
  name,
})

const [ronglian, aliyun, twilio] = [named('ronglian'), named('aliyun'), named('twilio')]

const namesFor = (options: ProviderChainOptions, country = 'CN', key = 'key') =>
  providerChain(options)
    .order({ country, key })
    .map(({ name }) => name)

test('Each country has a route, and all others have one together.', () => {
  const options = { routes: { CN: [ronglian, aliyun], '*': [twilio] } }
  assert.equal(providerChain(options).name, 'ronglian+aliyun+twilio')
  assert.deepEqual(namesFor(options, 'CN'), ['ronglian', 'aliyun'])
  assert.deepEqual(namesFor(options, 'US'), ['twilio'])
  assert.deepEqual(namesFor({ routes: { CN: [ronglian] } }, 'US'), [])
})

test('A provider is not asked for a country that it does not serve.', () => {
  const home = named('home', { serves: (country) => country === 'CN' })
  const options = { routes: { '*': [home, twilio] } }
  assert.deepEqual(namesFor(options, 'CN'), ['home', 'twilio'])
  assert.deepEqual(namesFor(options, 'US'), ['twilio'])
})

test('Those with a weight are asked first in proportion to it, the others after them.', () => {
  const options = {
    routes: { '*': [twilio, ronglian, aliyun] },
    weights: { ronglian: 3, aliyun: 1 },
  }
  const orders = Array.from({ length: 4000 }, (_, n) => namesFor(options, 'CN', `key ${n}`))
  const first = orders.filter(([name]) => name === 'ronglian').length
  assert.ok(first > 2850 && first < 3150, `${first} of 4000`)
  assert.ok(orders.every((order) => order.length === 3 && order[2] === 'twilio'))
})

test('The order is the same each time for one SMS, so that a repeat asks the same vendor.', () => {
  const options = { routes: { '*': [ronglian, aliyun] }, weights: { ronglian: 1, aliyun: 1 } }
  for (let n = 0; n < 50; n++) {
    assert.deepEqual(namesFor(options, 'CN', `${n}`), namesFor(options, 'CN', `${n}`))
  }
})

test('Text is taken as the strictest of the vendors does, and none only if none of them does.', () => {
  const of = (...kinds: SmsProvider['text'][]) =>
    strictestText(kinds.map((text) => named('one', text && { text })))
  assert.equal(of('template', 'template'), 'template')
  assert.equal(of('template', undefined), 'free')
  assert.equal(of('free', 'mainland', 'template'), 'mainland')
})

const route = { '*': [ronglian] }
const wrong: [title: string, options: unknown, message: string][] = [
  ['no options', undefined, 'expected an object of options, got undefined'],
  ['null for options', null, 'expected an object of options, got null'],
  ['a list for options', [ronglian], 'expected an object of options, got an array'],
  ['an option that there is not', { routes: route, rate: {} }, 'rate: there is no such option'],
  ['one of a singular', { routes: route, weight: {} }, 'weight: there is no such option'],
  ['no route', { routes: {} }, 'routes: expected at least one, got none'],
  ['no routes', {}, 'routes: expected an object of providers by country, got undefined'],
  [
    'a list of routes',
    { routes: [ronglian] },
    'routes: expected an object of providers by country, got an array',
  ],
  ['an empty route', { routes: { CN: [] } }, 'routes.CN: expected at least one, got none'],
  [
    'a route that is no list',
    { routes: { CN: ronglian } },
    'routes.CN: expected an array of providers, got an object',
  ],
  ...['China', 'UK', 'cn', '', '__proto__'].map((country): [string, unknown, string] => [
    `${JSON.stringify(country)} for a country`,
    { routes: JSON.parse(`{"${country}":[]}`) },
    `routes.${country}: expected an ISO 3166-1 alpha-2 code such as 'CN', or '*', got "${country}"`,
  ]),
  [
    'no provider',
    { routes: { CN: [{ name: 'x' }] } },
    'routes.CN: expected providers, each with a name and send, got an object',
  ],
  [
    'a chain in a chain',
    { routes: { CN: [providerChain({ routes: route })] } },
    'routes.CN: expected providers, each with a name and send, got an object',
  ],
  [
    'two of one name',
    { routes: { CN: [ronglian], '*': [named('ronglian')] } },
    'routes: expected providers with names of their own, got two ronglian',
  ],
  [
    'a weight of nobody',
    { routes: route, weights: { twilo: 1 } },
    'weights.twilo: expected one of ronglian, got "twilo"',
  ],
  ...[null, 3, [3]].flatMap((figures): [string, unknown, string][] =>
    ['weights', 'rates'].map((option) => [
      `${JSON.stringify(figures)} for ${option}`,
      { routes: route, [option]: figures },
      `${option}: expected an object of numbers by provider, got ${Array.isArray(figures) ? 'an array' : figures}`,
    ]),
  ),
  ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY, '3', null, true].flatMap(
    (figure): [string, unknown, string][] =>
      ['weights', 'rates'].map((option) => [
        `${typeof figure} ${figure} in ${option}`,
        { routes: route, [option]: { ronglian: figure } },
        `${option}.ronglian: expected a number above 0, got ${typeof figure === 'string' ? `"${figure}"` : figure}`,
      ]),
  ),
  [
    'a doubt of its own',
    { routes: route, inDoubt: 'all' },
    `inDoubt: expected 'same' or 'next', got "all"`,
  ],
  ...[true, null, 0.5].map((breaker): [string, unknown, string] => [
    `${breaker} for a breaker`,
    { routes: route, breaker },
    `breaker: expected an object, or false, got ${breaker}`,
  ]),
  [
    'a threshold of the breaker',
    { routes: route, breaker: { threshold: 0.5 } },
    'breaker.threshold: there is no such option',
  ],
  ...[1.1, 0, '0.5', null].map((share): [string, unknown, string] => [
    `${typeof share} ${share} for a share`,
    { routes: route, breaker: { share } },
    `breaker.share: expected a number above 0 and at most 1, got ${typeof share === 'string' ? `"${share}"` : share}`,
  ]),
  ...['least', 'window', 'pause'].flatMap((name): [string, unknown, string][] =>
    [0, 3601, Number.NaN].map((figure) => [
      `${figure} for ${name}`,
      { routes: route, breaker: { [name]: figure } },
      `breaker.${name}: expected a number above 0 and at most 3600, got ${figure}`,
    ]),
  ),
]

for (const [title, options, message] of wrong) {
  test(`A chain with ${title} is refused.`, () => {
    assert.throws(
      () => providerChain(options as ProviderChainOptions),
      (error) => {
        assert.ok(error instanceof TypeError)
        assert.ok(error.message.startsWith(`providerChain: ${message}`), error.message)
        return true
      },
    )
  })
}

test('An option of a chain that is there but undefined is one that is not there.', () => {
  const breaker = { share: undefined, least: 5, window: undefined, pause: undefined }
  const options = { routes: route, weights: undefined, rates: undefined, inDoubt: undefined }
  const chain = providerChain({ ...options, breaker } as unknown as ProviderChainOptions)
  assert.deepEqual(chain.breaker, { ...BREAKER, least: 5 })
  assert.deepEqual([chain.rates, chain.inDoubt], [{}, 'same'])
  assert.deepEqual(providerChain({ routes: route }).breaker, BREAKER)
  assert.equal(providerChain({ routes: route, breaker: false }).breaker, false)
})
