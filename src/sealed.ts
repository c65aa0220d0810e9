/** What the web half seals into the store for the worker half, and for itself. Sealed for one verification, it opens in no other. */
import type { Secrets } from './secrets.ts'

/** All that sending takes besides the number. */
export interface SealedCode {
  code: string
  country: string
  /** Seconds that the code lives in all. */
  ttl: number
  /** BCP 47 tags of the person's languages, best first. */
  locales: string[]
}

const phoneOf = (id: string): string => `${id} phone`
const codeOf = (id: string): string => `${id} code`

export const sealPhone = (secrets: Secrets, id: string, phone: string): string =>
  secrets.seal(phone, phoneOf(id))

export const openPhone = (secrets: Secrets, id: string, sealed: string): string =>
  secrets.open(sealed, phoneOf(id))

// None of them has a blank in it.
export const sealCode = (secrets: Secrets, id: string, sealed: SealedCode): string => {
  const { code, country, ttl, locales } = sealed
  return secrets.seal([code, country, ttl, locales.join()].join(' '), codeOf(id))
}

export function openCode(secrets: Secrets, id: string, sealed: string): SealedCode {
  const [code = '', country = '', ttl, locales] = secrets.open(sealed, codeOf(id)).split(' ')
  return { code, country, ttl: Number(ttl), locales: locales ? locales.split(',') : [] }
}
