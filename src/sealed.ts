/** What the web half seals into the store for the worker half, and for itself. Sealed for one verification, it opens in no other. */
import type { Secrets } from './secrets.ts'

/** All that sending takes besides the number. */
export interface SealedCode {
  code: string
  country: string
  /** Seconds that the code lives in all. */
  ttl: number
  locale?: string | undefined
}

export const sealPhone = (secrets: Secrets, id: string, phone: string): string =>
  secrets.seal(phone, `phone:${id}`)

export const openPhone = (secrets: Secrets, id: string, sealed: string): string =>
  secrets.open(sealed, `phone:${id}`)

export const sealCode = (secrets: Secrets, id: string, code: SealedCode): string =>
  secrets.seal(JSON.stringify([code.code, code.country, code.ttl, code.locale]), `code:${id}`)

export function openCode(secrets: Secrets, id: string, sealed: string): SealedCode {
  const [code, country, ttl, locale] = JSON.parse(secrets.open(sealed, `code:${id}`))
  return { code, country, ttl, ...(locale && { locale }) }
}
