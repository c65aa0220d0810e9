import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  getCountries,
  getCountryCallingCode,
  getExampleNumber,
  parsePhoneNumberFromString,
} from 'libphonenumber-js/max'
import examples from 'libphonenumber-js/mobile/examples'
import { isSmsVerifyError } from '../src/errors.ts'
import { maskPhone } from '../src/mask.ts'
import { canonicalPhone, countryOf, parsePhone } from '../src/phone.ts'
import { COUNTRIES } from '../src/providers/countries.ts'
import { INTERNATIONAL, NATIONAL, PHONE, REFUSED } from './spellings.ts'

test('Every spelling of a number is either refused or the same number, in any setting.', () => {
  const spellings = [...INTERNATIONAL, ...NATIONAL, ...REFUSED]
  assert.ok(new Set(spellings).size >= 60, `${spellings.length} spellings`)
  for (const spelling of spellings) {
    for (const defaultCountry of [undefined, 'CN', 'US']) {
      const result = parse(spelling, { countries: 'all', defaultCountry })
      const about = `${JSON.stringify(spelling)} with ${defaultCountry}`
      assert.ok(result === PHONE || result === 'SMS_VERIFY_INVALID_PHONE', `${about}: ${result}`)
    }
  }
})

test('International spellings are taken with and without a default country.', () => {
  for (const spelling of INTERNATIONAL) {
    for (const defaultCountry of [undefined, 'CN', 'US']) {
      assert.equal(parse(spelling, { countries: ['CN'], defaultCountry }), PHONE, spelling)
    }
  }
})

test('National spellings are taken with their default country and refused without it.', () => {
  for (const spelling of NATIONAL) {
    assert.equal(parse(spelling, { countries: ['CN'], defaultCountry: 'CN' }), PHONE, spelling)
    for (const defaultCountry of [undefined, 'US']) {
      const result = parse(spelling, { countries: 'all', defaultCountry })
      assert.equal(result, 'SMS_VERIFY_INVALID_PHONE', spelling)
    }
  }
})

test('What is not a plain spelling is refused, whatever the default country.', () => {
  for (const spelling of REFUSED) {
    for (const defaultCountry of [undefined, 'CN']) {
      const result = parse(spelling, { countries: 'all', defaultCountry })
      assert.equal(result, 'SMS_VERIFY_INVALID_PHONE', JSON.stringify(spelling))
    }
  }
})

test('Separators anywhere in a number never make another number of it.', () => {
  const SEPARATORS = [' ', '-', '.', '(', ')', '  ', '(0)', '']
  let state = 1
  const below = (n: number): number => {
    state = (state * 48271) % 2147483647
    return state % n
  }
  let taken = 0
  for (let i = 0; i < 5000; i++) {
    const spelling = [...PHONE].map((c) => (below(4) ? c : c + SEPARATORS[below(8)])).join('')
    const result = parse(spelling, { countries: ['CN'], defaultCountry: 'CN' })
    if (result === PHONE) taken++
    else assert.equal(result, 'SMS_VERIFY_INVALID_PHONE', `${spelling}: ${result}`)
  }
  assert.ok(taken > 1000, `${taken} of 5,000 taken`)
})

test('Mobile numbers that are written in several ways abroad are one number.', () => {
  const spellings = [
    ['+5491123456789', '+54 9 11 2345-6789', '+54 11 15 2345-6789', '+54 011 15 2345-6789'],
    ['+447400123456', '+44 (0)7400 123456', '+44 07400 123456'],
    ['+79123456789', '+7 8 912 345-67-89', '+7 (912) 345-67-89'],
  ]
  for (const [e164, ...others] of spellings) {
    for (const spelling of others) {
      assert.equal(parse(spelling, { countries: 'all' }), e164, spelling)
    }
  }
})

test('Only types of numbers that a code can reach without profit for others are taken.', () => {
  const examples = {
    MOBILE: '+447400123456',
    FIXED_LINE_OR_MOBILE: '+12125550123',
    FIXED_LINE: '+442079460958',
    PREMIUM_RATE: '+449012345678',
    TOLL_FREE: '+18005550123',
    SHARED_COST: '+4918012345',
    VOIP: '+445612345678',
    PERSONAL_NUMBER: '+447012345678',
    PAGER: '+447640123456',
    UAN: '+445512345678',
    VOICEMAIL: '+41860123456789',
  }
  for (const [type, phone] of Object.entries(examples)) {
    // The example is one: else the test would show nothing.
    assert.equal(parsePhoneNumberFromString(phone)?.getType(), type, phone)
    const isTaken = type === 'MOBILE' || type === 'FIXED_LINE_OR_MOBILE'
    const expected = isTaken ? phone : 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'
    assert.equal(parse(phone, { countries: 'all' }), expected, type)
    const country = parsePhoneNumberFromString(phone)?.country as string
    assert.equal(parse(phone, { countries: [country] }), expected, type)
  }
})

test('What is taken for mobile is just what the library says is, in every country.', () => {
  let state = 7
  const below = (n: number): number => {
    state = (state * 48271) % 2147483647
    return state % n
  }
  let taken = 0
  for (const country of getCountries()) {
    const example = getExampleNumber(country, examples)?.nationalNumber ?? '5551234567'
    for (let i = 0; i < 40; i++) {
      // Some of its first digits, and others behind them.
      const kept = example.slice(0, below(example.length + 1))
      const rest = Array.from({ length: example.length - kept.length }, () => below(10)).join('')
      const number = parsePhoneNumberFromString(`+${getCountryCallingCode(country)}${kept}${rest}`)
      if (!number) continue
      const type = number.getType()
      const isMobile = type === 'MOBILE' || type === 'FIXED_LINE_OR_MOBILE'
      const expected = isMobile && number.country ? number.number : undefined
      const got = parse(number.number, { countries: 'all' })
      const isTaken = got.startsWith('+')
      assert.equal(isTaken ? got : undefined, expected, `${number.number} is ${type}`)
      if (isTaken) taken++
    }
  }
  assert.ok(taken > 3000, `${taken} numbers`)
})

test('Satellite and other networks without a country are refused even where all are allowed.', () => {
  const networks = {
    'Inmarsat 870': '+870773111632',
    'universal personal 878': '+878101234567890',
    'satellite 881': '+881612345678',
    'networks 882': '+8821612345678',
    'networks 883': '+883510001234567',
    'relief 888': '+88812345678901',
    'premium 979': '+979123456789',
    'toll-free 800': '+80012345678',
    'shared cost 808': '+80812345678',
  }
  for (const [network, phone] of Object.entries(networks)) {
    assert.equal(parsePhoneNumberFromString(phone)?.isValid(), true, network)
    const code = 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED'
    assert.equal(parse(phone, { countries: 'all' }), code, network)
    assert.equal(
      parse(phone, { countries: [...COUNTRIES] }),
      'SMS_VERIFY_COUNTRY_NOT_ALLOWED',
      network,
    )
  }
})

test('Only numbers of the allowed countries are taken, also where they share a calling code.', () => {
  const phones = {
    CN: PHONE,
    HK: '+85251234567',
    TW: '+886912345678',
    MO: '+85366123456',
    US: '+12125550123',
    CA: '+14165550123',
    JM: '+18762101234',
    GB: '+447400123456',
    GG: '+447781123456',
    RU: '+79123456789',
    KZ: '+77012345678',
  }
  for (const [country, phone] of Object.entries(phones)) {
    assert.deepEqual(parsePhone(phone, { countries: [country] }), { e164: phone, country })
    assert.deepEqual(parsePhone(phone, { countries: 'all' }), { e164: phone, country })
    const others = Object.keys(phones).filter((other) => other !== country)
    assert.equal(parse(phone, { countries: others }), 'SMS_VERIFY_COUNTRY_NOT_ALLOWED')
    assert.equal(countryOf(phone), country)
  }
})

test('The default country does not open itself.', () => {
  const policy = { countries: ['US'], defaultCountry: 'CN' }
  assert.equal(parse('13800138000', policy), 'SMS_VERIFY_COUNTRY_NOT_ALLOWED')
})

test('The number itself is judged before its country, its country before its type.', () => {
  assert.equal(parse('+4412', { countries: ['CN'] }), 'SMS_VERIFY_INVALID_PHONE')
  assert.equal(parse('+449012345678', { countries: ['CN'] }), 'SMS_VERIFY_COUNTRY_NOT_ALLOWED')
})

test('The canonical form is its own canonical form, for the operator in every country.', () => {
  for (const phone of [PHONE, '+442079460958', '+881612345678', '+390236618300']) {
    assert.equal(canonicalPhone(phone), phone)
    assert.equal(canonicalPhone(canonicalPhone(phone)), phone)
  }
  assert.equal(canonicalPhone('138 0013 8000', 'CN'), PHONE)
  assert.throws(() => canonicalPhone('138 0013 8000'), { code: 'SMS_VERIFY_INVALID_PHONE' })
})

test('A masked number shows its calling code and its last two digits, and keeps its length.', () => {
  for (const country of getCountries()) {
    const code = getCountryCallingCode(country)
    assert.equal(maskPhone(`+${code}12345678`), `+${code}******78`)
  }
  assert.equal(maskPhone(PHONE), '+86*********00')
  assert.equal(maskPhone('+12125550123'), '+1********23')
  assert.equal(maskPhone('+353850123456'), '+353*******56')
  assert.equal(maskPhone('+881612345678'), '+881*******78')
  // Nothing that is not a number is passed on.
  assert.equal(maskPhone('not a number'), '+*********er')
})

test('The countries that can be allowed are ISO 3166-1 codes, and those that the parser knows.', () => {
  for (const country of COUNTRIES) assert.match(country, /^[A-Z]{2}$/)
  assert.deepEqual(COUNTRIES, getCountries().toSorted())
})

/** The canonical number, or the code of the error. */
function parse(
  text: string,
  policy: { countries: string[] | 'all'; defaultCountry?: string | undefined },
): string {
  try {
    return parsePhone(text, policy).e164
  } catch (error) {
    if (!isSmsVerifyError(error)) throw error
    return error.code
  }
}
