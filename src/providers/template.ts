/** Templates that lie with the vendor: which one a person gets, and what is filled in. */
import { checkOption } from './http.ts'
import { type ByLocale, checkByLocale, chooseByLocale } from './locales.ts'
import type { SmsMessage } from './provider.ts'

/**
 * Throws a TypeError that names the option unless `template` is one of that `shape`, or several by locale, among them one
 * for everybody else in `country`, or for everybody else where that is ''. Answers what chooses for a message.
 */
export function checkTemplate(
  option: string,
  template: string | ByLocale,
  shape: RegExp,
  expected: string,
  country = 'CN',
): (message: SmsMessage) => string {
  const check = (name: string, one: unknown) => checkOption(name, one, shape, expected)
  if (typeof template !== 'object' || template === null) {
    check(option, template)
    return () => template
  }
  checkByLocale(option, template, country, check)
  return (message) => chooseByLocale(template, message) as string
}

/** Throws a TypeError that names the option unless it is a signature as the vendor has it, without the brackets. */
export function checkSignName(option: string, signName: unknown): void {
  const shape = /^[^\s【】]([^【】]*[^\s【】])?$/
  checkOption(option, signName, shape, 'the name of a signature, without 【】')
}

/**
 * Throws a TypeError that names the option unless all values are strings, with no other placeholder than `{code}` and
 * `{minutes}`, and the first of them in one at least.
 */
export function checkVariables(option: string, variables: Record<string, string> | string[]): void {
  if (typeof variables !== 'object' || variables === null) {
    throw new TypeError(`${option}: expected the variables of the template, got another type`)
  }
  for (const [name, value] of Object.entries<unknown>(variables)) {
    const shape = /^(\{(code|minutes)\}|[^{}])*$/
    checkOption(`${option}.${name}`, value, shape, '{code} and {minutes} only')
  }
  if (!Object.values(variables).some((value) => value.includes('{code}'))) {
    throw new TypeError(`${option}: expected a variable with {code}, got none`)
  }
}

/** In one go: what is filled in is not looked at again. */
export function fillIn(variable: string, { code, minutes }: SmsMessage): string {
  return variable.replace(/\{(code|minutes)\}/g, (_, name) =>
    name === 'code' ? code : String(minutes),
  )
}
