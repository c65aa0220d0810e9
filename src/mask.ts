/** Phone numbers as logs may show them. By itself, so that who only logs need not load what parses numbers. */

/**
 * Country calling codes, none of which begins with another one: one digit, these of two, and all others of three.
 * https://www.itu.int/pub/T-SP-E.164D
 */
const CALLING_CODE = /^\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{3})/

/** The number in E.164 with only its calling code and last two digits readable. */
export function maskPhone(e164: string): string {
  const shown = CALLING_CODE.exec(e164)?.[0] ?? '+'
  return shown + '*'.repeat(Math.max(e164.length - shown.length - 2, 0)) + e164.slice(-2)
}
