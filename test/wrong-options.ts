/** Wrong values for every option of the plugin and of the consumer, and what is said about them. */
import { SECRET } from './helper.ts'

/** The option, a wrong value for it, what is expected, and what was there. */
export type Case = [option: string, value: unknown, expected: string, got: string]

export const SECRETS = 'a string of at least 32 bytes, or an array of them'
const COUNTRIES = "an array of ISO 3166-1 alpha-2 codes such as ['CN', 'US'], or 'all'"
const COUNTRY = "an ISO 3166-1 alpha-2 code such as 'CN'"
const REDIS = 'a redis:// or rediss:// URL, ioredis options, or an ioredis client'
const AMQP =
  'an amqp:// or amqps:// URL, an array of them, or connect options; a heartbeat, if any, of 1 to 10 s'
const QUEUE = 'a name of letters, digits, dots and dashes'
const PROVIDER =
  'a provider, an object with a name and a send function, or what providerChain answers'
const BRAND = 'a string of at most 32 characters'
const TEXTS = 'an object of texts by locale, or by locale and purpose'
const ORIGIN = "a host name such as 'example.com'"
const HASH = 'the 11 characters of the app’s hash'
const PURPOSES = "an array of different names of a-z, 0-9 and '-'"
const LIMIT = '{ max, window } in whole messages and seconds, an array of them, or false'
const GROWING =
  '{ max, window } in whole checks and seconds, with share from 0 to 1 if wanted, an array of them, or false'
const CONVERSION = '{ below, sends } with a share from 0 to 1 and a whole number, or false'
const BUDGET =
  "{ max, window } in messages and whole seconds, with share from 0 to 1 and unit 'message' or 'price' if wanted, an array of them, or false"

const SOURCES = 'an array of receipt sources, as twilioReceipts and the others make them'
const SOURCE_NAME = 'the name of a provider, without what is behind a colon'
const TOKEN = '20 to 100 characters of A-Z, a-z, 0-9, _ and -'
const PULL_EVERY = 'seconds above 0 and at most 3600'

const whole = (least: number, most: number) => `a whole number from ${least} to ${most}`

const SHARED: Case[] = [
  ['secret', undefined, SECRETS, 'undefined'],
  ['secret', null, SECRETS, 'null'],
  ['secret', 12345, SECRETS, '12345'],
  ['secret', {}, SECRETS, 'an object'],
  ['secret', '', SECRETS, 'a string of 0 bytes'],
  ['secret', 'x'.repeat(31), SECRETS, 'a string of 31 bytes'],
  ['secret', 'é'.repeat(15), SECRETS, 'a string of 30 bytes'],
  ['secret', [], SECRETS, 'an empty array'],
  ['secret', [SECRET, 'short'], SECRETS, 'a string of 5 bytes'],
  ['secret', [SECRET, 5], SECRETS, 'an array of 2'],
  ['redis', null, REDIS, 'null'],
  ['redis', 6379, REDIS, '6379'],
  ['redis', true, REDIS, 'true'],
  ['redis', [], REDIS, 'an empty array'],
  ['redis', 'localhost:6379', REDIS, 'a string of 14 bytes'],
  ['redis', 'http://localhost', REDIS, 'a string of 16 bytes'],
  ['amqp', null, AMQP, 'null'],
  ['amqp', 5672, AMQP, '5672'],
  ['amqp', [], AMQP, 'an empty array'],
  ['amqp', 'localhost', AMQP, 'a string of 9 bytes'],
  ['amqp', 'AMQP://localhost', AMQP, 'a string of 16 bytes'],
  ['amqp', ['amqp://localhost', 'localhost'], AMQP, 'an array of 2'],
  ['queuePrefix', 5, QUEUE, '5'],
  ['queuePrefix', '', QUEUE, '""'],
  ['queuePrefix', 'a b', QUEUE, '"a b"'],
  ['queuePrefix', 'x'.repeat(101), QUEUE, `"${'x'.repeat(60)}"`],
  ['provider', null, PROVIDER, 'null'],
  ['provider', 'twilio', PROVIDER, '"twilio"'],
  ['provider', () => {}, PROVIDER, 'a function'],
  ['provider', {}, PROVIDER, 'an object'],
  ['provider', { name: 'x' }, PROVIDER, 'an object'],
  ['provider', { name: '', send() {} }, PROVIDER, 'an object'],
  ['provider', { name: 'x', send: true }, PROVIDER, 'an object'],
  ['brand', 5, BRAND, '5'],
  ['brand', '', BRAND, '""'],
  ['brand', 'x'.repeat(33), BRAND, `"${'x'.repeat(33)}"`],
  ['texts', 'Your code is {code}.', TEXTS, '"Your code is {code}."'],
  ['texts', { en: 5 }, TEXTS, 'an object'],
  ['texts', { en: { login: null } }, TEXTS, 'an object'],
  ...['zh_CN', 'EN', 'zh-hant', 'x', '', '__proto__'].map(
    (locale): Case => [
      'texts',
      JSON.parse(`{"${locale}":"{code}"}`),
      "locales such as 'fr' or 'zh-Hant'",
      `"${locale}"`,
    ],
  ),
  ['texts.en', 'Hello', 'a text with {code}', 'one without'],
  ['texts.en', '{code} {cod}', '{code}, {minutes} and {brand} only', '{cod}'],
  ['texts.en', '{code} {}', '{code}, {minutes} and {brand} only', '{}'],
  ['texts.en', '{brand}: {code}', 'brand beside {brand}', 'none'],
  ['texts.en', '{code} https://example.com', 'a text without a link', 'one with a link'],
  ['texts.en', '{code} WWW.example.com', 'a text without a link', 'one with a link'],
  ['texts.en', `{code}${'x'.repeat(495)}`, 'at most 500 characters', '501'],
  ['origin', 5, ORIGIN, '5'],
  ...[
    '',
    'https://example.com',
    'example.com/',
    'example.com:443',
    'Example.com',
    'a b',
    'a..b',
  ].map((host): Case => ['origin', host, ORIGIN, JSON.stringify(host)]),
  ...['例え.jp', 'example.com.', '@example.com', 'a #1', 'x'.repeat(254)].map(
    (host): Case => ['origin', host, ORIGIN, JSON.stringify(host.slice(0, 60))],
  ),
  ['androidHash', 'FA+9qCX9VS', HASH, '"FA+9qCX9VS"'],
  ['androidHash', 'FA+9qCX9VSuu', HASH, '"FA+9qCX9VSuu"'],
  ['androidHash', 'FA+9qCX9VS ', HASH, '"FA+9qCX9VS "'],
]

const source = (provider = 'vendor') => ({ provider, token: 'x'.repeat(20), read: () => [] })

/** Of `SmsVerifyOptions`. */
export const PLUGIN_CASES: Case[] = [
  ...SHARED,
  ['countries', undefined, COUNTRIES, 'undefined'],
  ['countries', 'CN', COUNTRIES, '"CN"'],
  ['countries', [], COUNTRIES, 'an empty array'],
  ['countries', ['CN', 'UK'], COUNTRIES, "[ 'CN', 'UK' ]"],
  ['countries', ['cn'], COUNTRIES, "[ 'cn' ]"],
  ['countries', ['all'], COUNTRIES, "[ 'all' ]"],
  ['defaultCountry', 'China', COUNTRY, '"China"'],
  ['defaultCountry', 86, COUNTRY, '86'],
  ['defaultCountry', null, COUNTRY, 'null'],
  ['prefix', 5, "a string such as '/sms'", '5'],
  ['embedded', 'true', 'a boolean', '"true"'],
  ['embedded', 1, 'a boolean', '1'],
  ['purposes', 'login', PURPOSES, '"login"'],
  ['purposes', [], PURPOSES, 'an empty array'],
  ['purposes', ['Login'], PURPOSES, "[ 'Login' ]"],
  ['purposes', ['__proto__'], PURPOSES, "[ '__proto__' ]"],
  ['purposes', ['login', 'login'], PURPOSES, "[ 'login', 'login' ]"],
  ['purposes', ['x'.repeat(33)], PURPOSES, `[ '${'x'.repeat(33)}' ]`],
  ['code', 6, 'an object', '6'],
  ['code.length', 5, whole(6, 10), '5'],
  ['code.length', 11, whole(6, 10), '11'],
  ['code.length', 6.5, whole(6, 10), '6.5'],
  ['code.length', '6', whole(6, 10), '"6"'],
  ['code.length', Number.NaN, whole(6, 10), 'NaN'],
  ['code.ttl', 0, whole(1, 600), '0'],
  ['code.ttl', 601, whole(1, 600), '601'],
  ['code.ttl', Number.POSITIVE_INFINITY, whole(1, 600), 'Infinity'],
  ['code.checks', 0, whole(1, 10), '0'],
  ['code.checks', 11, whole(1, 10), '11'],
  ['proof', true, 'an object', 'true'],
  ['proof.ttl', 0, whole(1, 3600), '0'],
  ['proof.ttl', 3601, whole(1, 3600), '3601'],
  ['limits', false, "'balanced', 'strict' or an object", 'false'],
  ['limits', 'lenient', "'balanced', 'strict' or an object", '"lenient"'],
  ['limits.mode', 'off', "'enforce' or 'shadow'", '"off"'],
  [
    'limits.prices',
    { CN: -1 },
    'an object of prices by country, and default for all others',
    'an object',
  ],
  ['limits.conversion', { below: 2, sends: 9 }, CONVERSION, 'an object'],
  ['limits.conversion', true, CONVERSION, 'true'],
  ['limits.cooldown', 60, 'an array of whole seconds, or false', '60'],
  ['limits.cooldown', [], 'an array of whole seconds, or false', 'an empty array'],
  ['limits.cooldown', [60, -1], 'an array of whole seconds, or false', '[ 60, -1 ]'],
  ['limits.cooldown', [0.5], 'an array of whole seconds, or false', '[ 0.5 ]'],
  ['limits.cooldown', true, 'an array of whole seconds, or false', 'true'],
  ...(
    [
      ['phone', LIMIT],
      ['failedChecksPerIp', GROWING],
      ['ip', BUDGET],
      ['prefix', BUDGET],
      ['country', BUDGET],
      ['total', BUDGET],
    ] as const
  ).flatMap(([name, expected]): Case[] => [
    [`limits.${name}`, true, expected, 'true'],
    [`limits.${name}`, 5, expected, '5'],
    [`limits.${name}`, [], expected, 'an empty array'],
    [`limits.${name}`, { max: 0, window: 60 }, expected, 'an object'],
    [`limits.${name}`, { max: 1 }, expected, 'an object'],
    [`limits.${name}`, { max: 1, window: 0 }, expected, 'an object'],
    [`limits.${name}`, { max: 1, window: 60, x: 1 }, expected, 'an object'],
    [`limits.${name}`, { max: 1, window: 60, share: 1.5 }, expected, 'an object'],
    [`limits.${name}`, { max: 1, window: 60, unit: 'euro' }, expected, 'an object'],
    [`limits.${name}`, [{ max: 1, window: '60' }], expected, "[ { max: 1, window: '60' } ]"],
  ]),
  ['limits.phone', { max: 1, window: 60, share: 0.5 }, LIMIT, 'an object'],
  ['limits.phone', { max: 1.5, window: 60 }, LIMIT, 'an object'],
  ...['beforeSend', 'onVerified', 'onDisabled', 'onAlert'].flatMap((name): Case[] => [
    [name, 'allow', 'a function', '"allow"'],
    [name, {}, 'a function', 'an object'],
    [name, null, 'a function', 'null'],
  ]),
  ['receipts', 'twilio', SOURCES, 'a string of 6 bytes'],
  ['receipts', source(), SOURCES, 'an object'],
  ['receipts', [() => []], SOURCES, 'an array of 1'],
  ['receipts', [null], SOURCES, 'an array of 1'],
  ['routes', 'false', 'a boolean', '"false"'],
  ['routes', 0, 'a boolean', '0'],
  ['routeOptions', true, 'an object of Fastify route options', 'true'],
  ['routeOptions', [], 'an object of Fastify route options', 'an empty array'],
]

/** Inside of `receipts`: the value is all of them. */
export const RECEIPT_CASES: Case[] = [
  ...(
    [
      ['provider', undefined, SOURCE_NAME, 'undefined'],
      ['provider', '', SOURCE_NAME, '""'],
      ['provider', 'vendor:abroad', SOURCE_NAME, '"vendor:abroad"'],
      ['provider', 'vendor/x', SOURCE_NAME, '"vendor/x"'],
      ['read', undefined, 'a function', 'undefined'],
      ['read', true, 'a function', 'true'],
      ['token', 'short', TOKEN, 'a string of 5 bytes'],
      ['token', '', TOKEN, 'a string of 0 bytes'],
      ['token', 'x'.repeat(19), TOKEN, 'a string of 19 bytes'],
      ['token', 'x'.repeat(101), TOKEN, 'a string of 101 bytes'],
      ['token', `${'x'.repeat(20)}/`, TOKEN, 'a string of 21 bytes'],
      ['token', null, TOKEN, 'null'],
      ['answer', 'OK', 'an object', '"OK"'],
      ['pull', true, 'an object', 'true'],
      ['pull.every', { receipts() {} }, PULL_EVERY, 'undefined'],
      ['pull.every', { every: 0, receipts() {} }, PULL_EVERY, '0'],
      ['pull.every', { every: 3601, receipts() {} }, PULL_EVERY, '3601'],
      ['pull.receipts', { every: 1 }, 'a function', 'undefined'],
      ['confirm', true, 'a function', 'true'],
    ] as const
  ).map(([option, value, expected, got]): Case => {
    const [name = ''] = option.split('.')
    return [`receipts.0.${option}`, [{ ...source(), [name]: value }], expected, got]
  }),
  ['receipts.1.token', [source('other'), { ...source(), token: 'short' }], TOKEN, 'a string of 5'],
]

/** Of `ConsumerOptions`. */
export const CONSUMER_CASES: Case[] = [
  ...SHARED,
  ['amqp', 'amqp://localhost?heartbeat=60', AMQP, 'a string of 29 bytes'],
  ['amqp', 'amqp://localhost?heartbeat=0', AMQP, 'a string of 28 bytes'],
  ['amqp', { heartbeat: 11 }, AMQP, 'an object'],
  ['amqp', undefined, AMQP, 'undefined'],
  ['redis', undefined, REDIS, 'undefined'],
  ['provider', undefined, PROVIDER, 'undefined'],
  ['concurrency', 0, whole(1, 2000), '0'],
  ['concurrency', 2001, whole(1, 2000), '2001'],
  ['concurrency', '64', whole(1, 2000), '"64"'],
  ['retry', 3, 'an object', '3'],
  ['retry.max', -1, whole(0, 6), '-1'],
  ['retry.max', 7, whole(0, 6), '7'],
  ['retry.backoff', 0, 'seconds from 0.1 to 60', '0'],
  ['retry.backoff', 61, 'seconds from 0.1 to 60', '61'],
  ['retry.backoff', '3', 'seconds from 0.1 to 60', '"3"'],
  ['delivery', 'exactly-once', "'at-least-once' or 'at-most-once'", '"exactly-once"'],
  ['delivery', true, "'at-least-once' or 'at-most-once'", 'true'],
  ['minRemaining', -1, 'seconds from 0 to 600', '-1'],
  ['minRemaining', 601, 'seconds from 0 to 600', '601'],
  ['logger', console.log, 'a logger with debug, info, warn and error', 'a function'],
  ['logger', { info() {} }, 'a logger with debug, info, warn and error', 'an object'],
]
