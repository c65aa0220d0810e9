/** Numbers with a fixed code that are never sent to: for the reviewers of an app store, and for tests from end to end. */
import { Type } from '@sinclair/typebox'
import { invalidOptions } from './errors.ts'
import type { Logger } from './log.ts'
import { maskPhone } from './mask.ts'
import { type PhonePolicy, parsePhone } from './phone.ts'
import { expecting } from './validate.ts'

export interface TestNumber {
  /** In E.164; of a country and type that are accepted. */
  phone: string
  /** The code that verifies it, of the configured length. */
  code: string
  /**
   * The first day, as `2027-01-31` in UTC, on which the number is like any other. With `NODE_ENV=production` there has to be
   * one: whoever knows the number and the code is in.
   */
  until?: string
}

export const TestNumbersSchema = expecting(
  Type.Array(
    Type.Object(
      {
        phone: Type.String(),
        code: Type.String({ pattern: '^[0-9]+$' }),
        until: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' })),
      },
      { additionalProperties: false },
    ),
  ),
  "an array of { phone, code, until } such as { phone: '+8613800138000', code: '123456', until: '2027-01-31' }",
  { secret: true },
)

/** NaN for a day that is not in the calendar, which Date would take for one of the next month. */
function dayOf(text: string): number {
  const day = Date.parse(text)
  return new Date(day || 0).toISOString().startsWith(text) ? day : Number.NaN
}

/** The fixed code of a number in canonical form, as long as it has one. */
export type TestCode = (e164: string) => string | undefined

export interface TestNumbersOptions {
  where: string
  codeLength: number
  phonePolicy: PhonePolicy
  logger: Logger
}

/** Throws `SMS_VERIFY_INVALID_OPTIONS`; what is wrong with a code is said without the code. */
export function createTestCodes(numbers: TestNumber[], options: TestNumbersOptions): TestCode {
  const { where, codeLength, phonePolicy, logger } = options
  const codes = new Map<string, { code: string; until: number }>()
  for (const { phone, code, until } of numbers) {
    const e164 = canonical(phone)
    const masked = maskPhone(e164)
    const end = until === undefined ? Number.POSITIVE_INFINITY : dayOf(until)
    if (code.length !== codeLength) {
      refuse(`a code of ${codeLength} digits for ${masked}, got ${code.length}`)
    }
    if (Number.isNaN(end)) refuse(`a date as until of ${masked}, got ${until}`)
    if (until === undefined && process.env.NODE_ENV === 'production') {
      refuse(`until, in production, for ${masked}, got none`)
    }
    codes.set(e164, { code, until: end })
    logger.warn(
      { event: 'options.test_number', phone: masked, until },
      'a number with a fixed code',
    )
  }

  return (e164) => {
    const test = codes.get(e164)
    return test && Date.now() < test.until ? test.code : undefined
  }

  function canonical(phone: string): string {
    try {
      return parsePhone(phone, phonePolicy).e164
    } catch (error) {
      return refuse(`numbers that are accepted, got one that is not: ${(error as Error).message}`)
    }
  }

  function refuse(expected: string): never {
    throw new invalidOptions(`${where}: testNumbers: expected ${expected}`)
  }
}
