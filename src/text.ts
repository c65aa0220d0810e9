/** The text of the SMS, for vendors that take free text; template vendors get the code and the minutes instead. */
import { Type } from '@sinclair/typebox'
import { invalidOptions } from './errors.ts'
import { type ByLocale, chooseByLocale, isLocale } from './providers/locales.ts'
import type { SmsMessage } from './providers/provider.ts'
import { BrandSchema, expecting, PURPOSE_PATTERN } from './validate.ts'

/** What the text says; for providers that send a text, not a template. */
export interface TextOptions {
  /**
   * Name of the app: in front of the built-in texts, and where a text of yours has `{brand}`. Without one the person cannot
   * tell who asks for the code. @default none
   */
  brand?: string | undefined
  /**
   * Texts by locale, or by locale and purpose, such as `{ fr: { login: '…', default: '…' } }`, where `default` is for the
   * purposes that are not named. `{code}`, `{minutes}` and `{brand}` are filled in. They go over the built-in ones.
   * @default built-in texts in `en` and `zh`
   */
  texts?: ByLocale | undefined
  /**
   * The host name of your page, such as `example.com`: the last line becomes `@example.com #123456`, by which browsers fill in
   * the code on that page and on no other (WebOTP, AutoFill of iOS and macOS). @default none
   */
  origin?: string | undefined
  /** The 11 characters by which Google's SMS Retriever hands the SMS to your Android app. @default none */
  androidHash?: string | undefined
}

export const TextSchemas = {
  brand: Type.Optional(BrandSchema),
  texts: Type.Optional(
    expecting(
      Type.Record(
        Type.String(),
        Type.Union([Type.String(), Type.Record(Type.String(), Type.String())]),
      ),
      'an object of texts by locale, or by locale and purpose',
    ),
  ),
  origin: Type.Optional(expecting(Type.String(), "a host name such as 'example.com'")),
  androidHash: Type.Optional(
    expecting(
      Type.String({ pattern: '^[A-Za-z0-9+/]{11}$' }),
      'the 11 characters of the app’s hash',
    ),
  ),
}

/** What the choice of a text goes by, and what is filled in. */
type About = Pick<SmsMessage, 'code' | 'minutes' | 'locales' | 'country' | 'purpose'>

export interface Composer {
  compose(message: About): string
  /** Every text there is, as long as it can get. */
  longest(): { locale: string; purpose: string; text: string }[]
}

export interface ComposerOptions extends TextOptions {
  /** What is asked for, where it is known; else every locale needs a text for `default`. */
  purposes?: readonly string[]
  /** Digits of a code. @default 10, the most there can be */
  codeLength?: number
}

// Short, so that one segment is enough with a brand: 160 GSM-7 characters, or 70 UCS-2 ones, which a brand in Chinese makes
// of the English text too. No link, and a warning not to share, as OWASP and the UK NCSC ask for.
const BUILT_IN = {
  en: {
    text: '{code} is your code. Valid for {minutes} min. Do not share it.',
    brand: '{brand}: ',
  },
  zh: { text: '您的验证码是{code}，{minutes}分钟内有效。请勿告诉他人。', brand: '【{brand}】' },
}

const PLACEHOLDER = /\{(\w*)\}/g
const NAMES = ['code', 'minutes', 'brand']

/** Characters; what mainland China takes. */
const MAX_LENGTH = 500

/** The most a code can live, in minutes. */
const MAX_MINUTES = 10
const MAX_CODE_LENGTH = 10

/** Throws `SMS_VERIFY_INVALID_OPTIONS` where a text is wrong, or where there is none for a locale and purpose. */
export function createComposer(where: string, options: ComposerOptions): Composer {
  const { brand = '', origin, androidHash, purposes, codeLength = MAX_CODE_LENGTH } = options
  checkOrigin()
  const texts = withBuiltIn(checkTexts(options.texts ?? {}))
  const pieces = new Map<string, string[]>()

  return {
    // Nothing of the request is in it: its locales and purpose only choose among the texts.
    compose({ code, minutes, ...person }) {
      return fill(chooseByLocale(texts, person) as string, code, minutes)
    },
    longest: () =>
      Object.entries(texts).flatMap(([locale, byPurpose]) =>
        Object.entries(byPurpose).map(([purpose, text]) => ({
          locale,
          purpose,
          text: fill(text, '0'.repeat(codeLength), MAX_MINUTES),
        })),
      ),
  }

  // In one go: what is filled in may look like a placeholder.
  function fill(text: string, code: string, minutes: number): string {
    const values: Record<string, string | number> = { code, minutes, brand }
    let body = ''
    for (const [i, piece] of piecesOf(text).entries()) body += i % 2 === 0 ? piece : values[piece]
    // https://wicg.github.io/sms-one-time-codes/: the origin-bound code is the last line, to its last character.
    const lines = [androidHash, origin && `@${origin} #${code}`].filter(Boolean)
    return lines.length === 0 ? body : [body, '', ...lines].join('\n')
  }

  /** What is between placeholders and, at every second place, the name of one. */
  function piecesOf(text: string): string[] {
    const known = pieces.get(text)
    if (known) return known
    const made = text.split(PLACEHOLDER)
    pieces.set(text, made)
    return made
  }

  function withBuiltIn(given: Record<string, Record<string, string>>) {
    const all = { ...given }
    for (const [locale, { text, brand: inFront }] of Object.entries(BUILT_IN)) {
      all[locale] = { default: brand ? inFront + text : text, ...given[locale] }
    }
    return all
  }

  function checkTexts(texts: ByLocale): Record<string, Record<string, string>> {
    const checked = Object.entries(texts).map(([locale, text]) => {
      if (!isLocale(locale)) {
        refuse('texts', "locales such as 'fr' or 'zh-Hant'", JSON.stringify(locale))
      }
      const byPurpose = typeof text === 'string' ? { default: text } : text
      for (const [purpose, one] of Object.entries(byPurpose)) {
        const option = typeof text === 'string' ? `texts.${locale}` : `texts.${locale}.${purpose}`
        checkPurpose(option, purpose)
        checkText(option, one)
      }
      if (!Object.hasOwn(BUILT_IN, locale)) checkComplete(`texts.${locale}`, byPurpose)
      return [locale, byPurpose] as const
    })
    return Object.fromEntries(checked)
  }

  function checkPurpose(option: string, purpose: string): void {
    const known = purposes ? purposes.includes(purpose) : PURPOSE_PATTERN.test(purpose)
    if (purpose === 'default' || known) return
    const expected = purposes ? 'one of purposes' : 'the name of a purpose'
    refuse(option, `${expected}, or default`, JSON.stringify(purpose))
  }

  function checkText(option: string, text: string): void {
    const names = [...text.matchAll(PLACEHOLDER)].map(([, name = '']) => name)
    const unknown = names.find((name) => !NAMES.includes(name))
    if (unknown !== undefined) refuse(option, '{code}, {minutes} and {brand} only', `{${unknown}}`)
    if (!names.includes('code')) refuse(option, 'a text with {code}', 'one without')
    if (names.includes('brand') && !brand) refuse(option, 'brand beside {brand}', 'none')
    // NIST SP 800-63B-4 and the UK NCSC: people must not learn to follow links in such an SMS.
    if (/:\/\/|\bwww\./i.test(text)) refuse(option, 'a text without a link', 'one with a link')
    if (text.length > MAX_LENGTH) {
      refuse(option, `at most ${MAX_LENGTH} characters`, String(text.length))
    }
  }

  function checkComplete(option: string, byPurpose: Record<string, string>): void {
    if (Object.hasOwn(byPurpose, 'default')) return
    const missing = (purposes ?? ['default']).find((each) => !Object.hasOwn(byPurpose, each))
    if (missing === undefined) return
    const wanted = new Set([missing, 'default'])
    refuse(option, `a text for ${[...wanted].join(' or ')}`, 'none')
  }

  function checkOrigin(): void {
    if (origin === undefined || isHost(origin)) return
    refuse('origin', "a host name such as 'example.com'", JSON.stringify(origin.slice(0, 60)))
  }

  function refuse(option: string, expected: string, got: string): never {
    throw new invalidOptions(`${where}: ${option}: expected ${expected}, got ${got}`)
  }
}

/** As a browser writes it: lower case, an international one in Punycode, no port. */
function isHost(text: string): boolean {
  const url = `https://${text}`
  const isPlain = /^(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(text)
  return isPlain && URL.canParse(url) && new URL(url).hostname === text
}
