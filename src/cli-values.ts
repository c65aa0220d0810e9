/** Reading what stands on the command line and in the environment. */

export type Environment = Record<string, string | undefined>

export const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)

export function required(value: string | undefined, name: string): string {
  if (value) return value
  throw new Error(`${name}: expected a value, got none; see sms-verify-consumer --help`)
}

/** The object that a variable holds as JSON; undefined if it is not set. Does not show it. */
export function jsonObject(value: string | undefined, name: string): object | undefined {
  if (!value) return undefined
  try {
    const parsed: unknown = JSON.parse(value)
    if (typeof parsed === 'object' && parsed && !Array.isArray(parsed)) return parsed
  } catch {}
  throw new Error(`${name}: expected a JSON object, got another text`)
}

export function number(name: string, text: string | undefined): number {
  const value = Number(text)
  if (text?.trim() && Number.isFinite(value)) return value
  throw new Error(`${name}: expected a number, got ${text}`)
}

export function portNumber(name: string, text: string): number {
  const value = number(name, text)
  if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  throw new Error(`${name}: expected a port from 0 to 65535, got ${text}`)
}

/** A switch, off unless it is there. */
export function onOrOff(name: string, text: string | undefined): boolean {
  if (!text || text === 'off') return false
  if (text === 'on') return true
  throw new Error(`${name}: expected on or off, got ${text}`)
}
