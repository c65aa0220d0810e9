/** Which text or template a person gets: by language, then by purpose. */
import type { SmsMessage } from './provider.ts'

/**
 * By BCP 47 tag in its usual spelling, such as `zh` or `zh-Hant`: one for all purposes, or one by purpose, where `default`
 * is for those that are not named.
 */
export type ByLocale = Record<string, string | Record<string, string>>

/**
 * The one for the person: in one of their languages, best first; else in that of the number's country, as Unicode's CLDR
 * knows it; else in English. Undefined where there is none of these, or none for the purpose.
 */
export function chooseByLocale(
  choices: ByLocale,
  { locales, country, purpose }: Pick<SmsMessage, 'locales' | 'country' | 'purpose'>,
): string | undefined {
  const locale = firstLocale((tag) => Object.hasOwn(choices, tag), locales, country)
  const choice = locale === undefined ? undefined : choices[locale]
  if (typeof choice !== 'object') return choice
  return Object.hasOwn(choice, purpose) ? choice[purpose] : choice.default
}

/** No list of all is made: the first one nearly always has a text. */
function firstLocale(
  isThere: (tag: string) => boolean,
  locales: readonly string[],
  country: string,
): string | undefined {
  for (const each of locales) {
    const found = spellings(each).find(isThere)
    if (found !== undefined) return found
  }
  return spokenIn(country).find(isThere) ?? (isThere('en') ? 'en' : undefined)
}

/** Whether it is a tag that `chooseByLocale` can find: `zh-Hant`, not `zh-hant` or `zh_Hant`. */
export const isLocale = (tag: string): boolean => parse(tag)?.baseName === tag

/**
 * Throws a TypeError that names the option unless there is one for every purpose in every locale, and one for everybody in
 * `country`. Each is looked at by `check`, which throws likewise.
 */
export function checkByLocale(
  option: string,
  choices: ByLocale,
  country: string,
  check: (option: string, choice: unknown) => void,
): void {
  for (const [locale, choice] of Object.entries(choices)) {
    if (!isLocale(locale)) {
      throw new TypeError(`${option}: expected locales such as 'zh' or 'zh-Hant', got '${locale}'`)
    }
    const of = `${option}.${locale}`
    if (typeof choice !== 'object' || choice === null) check(of, choice)
    else {
      for (const [purpose, one] of Object.entries({ default: undefined, ...choice })) {
        check(`${of}.${purpose}`, one)
      }
    }
  }
  if (chooseByLocale(choices, { locales: [], country, purpose: 'default' }) !== undefined) return
  const needed = [...new Set([...spokenIn(country).slice(-1), 'en'])]
  const got = needed.length > 1 ? 'neither' : 'none'
  throw new TypeError(
    `${option}: expected one for ${needed.join(' or ')}, for all others, got ${got}`,
  )
}

/** Texts whose tags are remembered: browsers send some hundred languages, and anybody may send others. */
const MOST_REMEMBERED = 1000

/** Finds tags once for a text, since `Intl.Locale` takes longer than all else that is done for a message. */
function remembered(find: (text: string) => string[]): (text: string) => string[] {
  const known = new Map<string, string[]>()
  return (text) => {
    const before = known.get(text)
    if (before) return before
    const found = find(text)
    if (known.size >= MOST_REMEMBERED) known.clear()
    known.set(text, found)
    return found
  }
}

/** From the closest to the most general: `zh-HK`, `zh-Hant-HK`, `zh-Hant`, `zh`. None of what is no tag. */
const spellings = remembered((tag) => {
  const locale = parse(tag)
  if (!locale) return []
  const { language, script, region } = locale.maximize()
  return [
    locale.baseName,
    `${language}-${script}-${region}`,
    `${language}-${region}`,
    `${language}-${script}`,
    language,
  ]
})

/**
 * By country. Who has not asked for Chinese gets none in the other characters: a bare `zh` is not what is read in Taiwan.
 */
const spokenIn = remembered((country) => {
  const tag = `und-${country}`
  const script = scriptOf(tag)
  return spellings(tag).filter((each) => scriptOf(each) === script)
})

const scriptOf = (tag: string): string | undefined => parse(tag)?.maximize().script

function parse(tag: string): Intl.Locale | undefined {
  try {
    return new Intl.Locale(tag)
  } catch {
    return undefined
  }
}
