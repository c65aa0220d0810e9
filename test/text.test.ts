import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type ComposerOptions, createComposer } from '../src/text.ts'
import { build, consume, embedded, newQueuePrefix, recordingProvider, until } from './helper.ts'
import { type OriginBoundCode, parseOriginBoundCode } from './origin-bound-code.ts'

const { originBoundCodes }: { originBoundCodes: { cases: [string, OriginBoundCode | null][] } } =
  JSON.parse(readFileSync(new URL('vectors/sms-text-vectors.json', import.meta.url), 'utf8'))

const ABOUT = { code: '012345', minutes: 5, locales: ['en'], country: 'CN', purpose: 'login' }

const compose = (options: ComposerOptions = {}, about: Partial<typeof ABOUT> = {}): string =>
  createComposer('test', options).compose({ ...ABOUT, ...about })

test('The parser that judges our last line passes the 13 cases of the standard.', () => {
  assert.equal(originBoundCodes.cases.length, 13)
  for (const [text, expected] of originBoundCodes.cases) {
    const { host, code, embedded } = expected ?? {}
    const wanted = expected && { host, code, embedded }
    assert.deepEqual(parseOriginBoundCode(text), wanted, JSON.stringify(text))
  }
})

test('The built-in texts name the code, the minutes and the brand, and say not to share.', () => {
  const zh = { locales: ['zh'] }
  assert.equal(compose(), '012345 is your code. Valid for 5 min. Do not share it.')
  assert.equal(compose({}, zh), '您的验证码是012345，5分钟内有效。请勿告诉他人。')
  const brand = 'Acme'
  assert.equal(compose({ brand }), 'Acme: 012345 is your code. Valid for 5 min. Do not share it.')
  assert.equal(compose({ brand }, zh), '【Acme】您的验证码是012345，5分钟内有效。请勿告诉他人。')
})

test('The last line binds the code to the origin, in every text.', () => {
  const texts = { fr: 'Code : {code}', de: 'Code: {code}\n', it: '@evil.example #{code}' }
  const options = { brand: 'Acme', origin: 'login.example.com', texts }
  for (const locale of ['en', 'zh', 'fr', 'de', 'it']) {
    for (const androidHash of [undefined, 'FA+9qCX9VSu']) {
      const text = compose({ ...options, androidHash }, { locales: [locale] })
      const expected = { host: 'login.example.com', code: '012345', embedded: null }
      assert.deepEqual(parseOriginBoundCode(text), expected, text)
    }
  }
  const bare = compose({ texts: { en: '{code}' }, origin: 'example.com' })
  assert.equal(bare, '012345\n\n@example.com #012345')
  assert.equal(parseOriginBoundCode(compose({ brand: 'Acme' })), null)
})

test('The Android hash is on a line of its own, before the origin where there is one.', () => {
  const texts = { en: 'Your ExampleApp code is: {code}' }
  const androidHash = 'FA+9qCX9VSu'
  const text = 'Your ExampleApp code is: 012345\n\nFA+9qCX9VSu'
  assert.equal(compose({ texts, androidHash }), text)
  const origin = 'example.com'
  assert.equal(compose({ texts, androidHash, origin }), `${text}\n@example.com #012345`)
})

const TEXTS = {
  en: { login: 'en login {code}' },
  'en-GB': 'en-GB {code}',
  zh: 'zh {code}',
  'zh-Hant': 'zh-Hant {code}',
  fr: { login: 'fr login {code}', default: 'fr {code}' },
  'pt-BR': 'pt-BR {code}',
  'sr-Latn': 'sr-Latn {code}',
}

test('A text is chosen by the languages, then by the country, and is English else.', () => {
  for (const [locales, country, text] of [
    [['en-GB'], 'CN', 'en-GB'],
    [['EN-gb'], 'CN', 'en-GB'],
    [['en-AU'], 'CN', 'en login'],
    [['zh'], 'US', 'zh'],
    [['zh-CN'], 'US', 'zh'],
    [['zh-Hans-HK'], 'US', 'zh'],
    [['zh-HK'], 'US', 'zh-Hant'],
    [['zh-TW-u-nu-hanidec'], 'US', 'zh-Hant'],
    [['fr-CA'], 'CN', 'fr login'],
    [['pt'], 'CN', 'pt-BR'],
    [['sr'], 'US', 'en login'],
    [['sr-Latn-RS'], 'US', 'sr-Latn'],
    [['ja', 'ko', 'fr'], 'CN', 'fr login'],
    [['ja'], 'CN', 'zh'],
    [[], 'CN', 'zh'],
    [[], 'TW', 'zh-Hant'],
    [[], 'FR', 'fr login'],
    [[], 'BR', 'pt-BR'],
    [[], 'US', 'en login'],
    [[], 'GB', 'en-GB'],
    [[], 'RS', 'en login'],
    [[], 'JP', 'en login'],
    [['-', 'x', 'constructor', '__proto__', 'toString'], 'CN', 'zh'],
  ] as const) {
    const chosen = compose({ texts: TEXTS }, { locales: [...locales], country })
    assert.equal(chosen, `${text} 012345`, `[${locales}] ${country}`)
  }
})

test('With the built-in texts, Chinese is for who reads it and for mainland China.', () => {
  const isChinese = (locales: string[], country: string) =>
    compose({}, { locales, country }).startsWith('您')
  for (const locale of ['zh', 'zh-CN', 'zh-HK', 'zh-Hant-TW', 'ZH']) {
    assert.equal(isChinese([locale], 'US'), true, locale)
  }
  assert.equal(isChinese(['fr', 'en', 'zh'], 'CN'), false)
  assert.equal(isChinese(['fr'], 'CN'), true)
  // A bare `zh` has the characters of the mainland, which nobody there has asked for.
  for (const country of ['TW', 'HK', 'MO', 'SG', 'US', 'FR']) {
    assert.equal(isChinese([], country), false, country)
  }
})

test('Thousands of languages that are asked for change nothing about the others.', () => {
  const { compose } = createComposer('test', {})
  const zh = compose({ ...ABOUT, locales: ['zh-CN'] })
  for (let i = 0; i < 3000; i++) {
    assert.notEqual(compose({ ...ABOUT, locales: [`en-x-${i}`] }), zh)
    assert.equal(compose({ ...ABOUT, locales: [`zh-x-${i}`] }), zh)
  }
  assert.equal(compose({ ...ABOUT, locales: ['zh-CN'] }), zh)
})

test('A purpose has its own text where there is one, else the default, else the built-in one.', () => {
  const of = (locale: string, purpose: string) =>
    compose({ texts: TEXTS }, { locales: [locale], purpose })
  assert.equal(of('fr', 'login'), 'fr login 012345')
  assert.equal(of('fr', 'signup'), 'fr 012345')
  assert.equal(of('en', 'login'), 'en login 012345')
  assert.equal(of('en', 'signup'), '012345 is your code. Valid for 5 min. Do not share it.')
  for (const purpose of ['constructor', 'tostring', '__proto__']) {
    assert.equal(of('fr', purpose), 'fr 012345')
  }
  const texts = { en: { constructor: 'own {code}' } } as never
  assert.equal(compose({ texts }, { purpose: 'constructor' }), 'own 012345')
})

test('What is filled in is not read again, and stands wherever it is named.', () => {
  const texts = { en: '{brand} {code} {minutes} {code} $& {brand}' }
  const brand = '{code} $& $1'
  assert.equal(compose({ texts, brand }), `${brand} 012345 5 012345 $& ${brand}`)
})

test('The longest texts have ten digits and ten minutes, or the digits that are known.', () => {
  const texts = { en: '{code} {minutes}', fr: { default: '{code}', login: '{code}!' } }
  const of = (options: ComposerOptions) => {
    const { longest } = createComposer('test', { texts, ...options })
    return longest().filter(({ locale }) => locale !== 'zh')
  }
  assert.deepEqual(of({}), [
    { locale: 'en', purpose: 'default', text: '0000000000 10' },
    { locale: 'fr', purpose: 'default', text: '0000000000' },
    { locale: 'fr', purpose: 'login', text: '0000000000!' },
  ])
  assert.equal(of({ codeLength: 6, origin: 'a.b' })[0]?.text, '000000 10\n\n@a.b #000000')
})

const refusal = (options: ComposerOptions): string => {
  try {
    compose(options)
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'SMS_VERIFY_INVALID_OPTIONS')
    return (error as Error).message
  }
  return 'none'
}

test('A locale and purpose without a text is refused at the start.', () => {
  const fr = { login: '{code}' }
  assert.equal(refusal({ texts: { fr } }), 'test: texts.fr: expected a text for default, got none')
  assert.equal(
    refusal({ texts: { fr }, purposes: ['login', 'signup'] }),
    'test: texts.fr: expected a text for signup or default, got none',
  )
  assert.equal(
    refusal({ texts: { fr: {} } }),
    'test: texts.fr: expected a text for default, got none',
  )
  assert.equal(refusal({ texts: { fr }, purposes: ['login'] }), 'none')
  assert.equal(refusal({ texts: { en: fr, zh: {} }, purposes: ['login', 'signup'] }), 'none')
})

test('A text for a purpose that there is not is refused at the start.', () => {
  const texts = { en: { sginup: '{code}' } }
  assert.equal(refusal({ texts }), 'none')
  assert.equal(
    refusal({ texts, purposes: ['signup'] }),
    'test: texts.en.sginup: expected one of purposes, or default, got "sginup"',
  )
  assert.equal(
    refusal({ texts: { en: { Login: '{code}' } } }),
    'test: texts.en.Login: expected the name of a purpose, or default, got "Login"',
  )
})

test('What is wrong with a text is said by its locale and purpose.', () => {
  const texts = { fr: { default: '{code}', login: 'Bonjour' } }
  assert.equal(
    refusal({ texts }),
    'test: texts.fr.login: expected a text with {code}, got one without',
  )
})

test('Both halves that send refuse at their start what has no text.', async (t) => {
  const texts = { fr: { login: '{code}' } }
  const provider = recordingProvider()
  await assert.rejects(consume(t, { queuePrefix: newQueuePrefix(), provider, texts }), {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: 'startConsumer: texts.fr: expected a text for default, got none',
  })
  const purposes = ['login', 'signup']
  await assert.rejects(build(t, embedded({ texts, purposes })), {
    code: 'SMS_VERIFY_INVALID_OPTIONS',
    message: 'smsVerify: texts.fr: expected a text for signup or default, got none',
  })
  const app = await build(t, embedded({ texts, purposes: ['login'], provider }))
  await app.smsVerify.send({ phone: '+8613800138000', locale: ['ja', 'fr-BE'] })
  await until('it is sent', () => provider.messages.length === 1)
  assert.match(provider.messages[0]?.text ?? '', /^\d{6}$/)
  await assert.rejects(app.smsVerify.send({ phone: '+8613800138000', locale: [] }), {
    code: 'SMS_VERIFY_INVALID_REQUEST',
  })
})
