/** One canonical form of a phone number, made before anything is keyed, limited, signed or sent by it. */
import {
  type CountryCode,
  Metadata,
  type PhoneNumber,
  parsePhoneNumberFromString,
} from 'libphonenumber-js/max'
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
  // Only a valid number has a type. What may be mobile or landline is as good as mobile.
  const type = isMobile(number) ? 'MOBILE' : number.getType()
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

interface Expressions {
  valid: RegExp
  mobile: RegExp
  /** Of mobile numbers, in digits; any where it is not there. */
  lengths: number[] | undefined
}

/** What the library knows of a country, of which its types do not tell: where it is not there, `getType` is asked. */
interface Plan {
  nationalNumberPattern?(): string
  type?(name: 'MOBILE'): { pattern?(): string; possibleLengths?(): number[] } | undefined
}

const metadata = new Metadata()
const byCountry = new Map<CountryCode, Expressions | undefined>()

/**
 * Certainly a valid mobile number, by the expressions that `getType` goes by. But that makes those of all types anew for each
 * number, which takes longer than to parse it.
 */
function isMobile({ country, nationalNumber }: PhoneNumber): boolean {
  if (!country) return false
  if (!byCountry.has(country)) byCountry.set(country, expressionsOf(country))
  const known = byCountry.get(country)
  if (!known || known.lengths?.includes(nationalNumber.length) === false) return false
  return known.valid.test(nationalNumber) && known.mobile.test(nationalNumber)
}

function expressionsOf(country: CountryCode): Expressions | undefined {
  metadata.selectNumberingPlan(country)
  const plan = metadata.numberingPlan as Plan | undefined
  const type = plan?.type?.('MOBILE')
  const [valid, mobile] = [plan?.nationalNumberPattern?.(), type?.pattern?.()]
  // Where mobile numbers cannot be told from others by their form, there is none for them.
  if (!valid || !mobile) return undefined
  const whole = (pattern: string) => new RegExp(`^(?:${pattern})$`)
  return { valid: whole(valid), mobile: whole(mobile), lengths: type?.possibleLengths?.() }
}

function read(text: string, defaultCountry: string | undefined) {
  if (!PLAIN.test(text)) throw invalidPhone()
  const number = parsePhoneNumberFromString(text, {
    extract: false,
    ...(defaultCountry && { defaultCountry: defaultCountry as CountryCode }),
  })
  if (!number || number.ext) throw invalidPhone()
  return number
}
