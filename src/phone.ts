/** One canonical form of a phone number, made before anything is keyed, limited, signed or sent by it. */
import { type CountryCode, getCountries, parsePhoneNumberFromString } from 'libphonenumber-js/max'
import { countryNotAllowed, invalidPhone, numberTypeNotAllowed } from './errors.ts'

export interface Phone {
  /** Canonical E.164, such as `+8613800138000`. */
  e164: string
  /** ISO 3166-1 alpha-2, such as `CN`. */
  country: string
}

export interface PhonePolicy {
  countries: readonly string[] | 'all'
  defaultCountry?: string | undefined
}

/** The countries that can be allowed. */
export const COUNTRIES: readonly string[] = getCountries()

// The parser would also find a number inside a text, take extensions, full-width and Arabic digits, and line breaks.
// Many spellings of one number are many ways around a limit, so only the plain ones come in.
const PLAIN = /^[+0-9 ().-]{5,32}$/

// A code by SMS reaches these. All other types (premium, shared cost, toll-free, pager, voicemail, VoIP, landline) are
// how SMS pumping is paid for.
const ALLOWED_TYPES: readonly string[] = ['MOBILE', 'FIXED_LINE_OR_MOBILE']

/**
 * The number in canonical form. Throws `SMS_VERIFY_INVALID_PHONE`, `SMS_VERIFY_COUNTRY_NOT_ALLOWED` or
 * `SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED`.
 */
export function parsePhone(text: string, policy: PhonePolicy): Phone {
  const number = read(text, policy.defaultCountry)
  // Only a valid number has a type, and finding it out is half the work.
  const type = number.getType()
  if (!type) throw invalidPhone()
  // Satellite and other networks without a country (+881, +882, +883, +979) have none here either.
  if (policy.countries !== 'all' && !policy.countries.includes(number.country ?? '')) {
    throw countryNotAllowed()
  }
  if (!number.country || !ALLOWED_TYPES.includes(type)) throw numberTypeNotAllowed()
  return { e164: number.number, country: number.country }
}

/** Canonical E.164 of a number whatever its country, for the operator's `unlock` and `erase`. */
export function canonicalPhone(text: string, defaultCountry?: string): string {
  const number = read(text, defaultCountry)
  if (!number.isValid()) throw invalidPhone()
  return number.number
}

/** The country of a canonical number, '' if it has none. */
export const countryOf = (e164: string): string => parsePhoneNumberFromString(e164)?.country ?? ''

function read(text: string, defaultCountry: string | undefined) {
  if (!PLAIN.test(text)) throw invalidPhone()
  const number = parsePhoneNumberFromString(text, {
    extract: false,
    ...(defaultCountry && { defaultCountry: defaultCountry as CountryCode }),
  })
  if (!number || number.ext) throw invalidPhone()
  return number
}
