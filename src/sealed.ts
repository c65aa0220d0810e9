/** What the web half seals into the store for the worker half, and for itself. Sealed for one verification, it opens in no other. */
import type { Secrets } from './secrets.ts'

/** All that sending takes: it is opened in one go, and dropped once it was sent. */
export interface SealedCode {
  code: string
  /** The number, in E.164. */
  phone: string
  country: string
  /** Seconds that the code lives in all. */
  ttl: number
  /** BCP 47 tags of the person's languages, best first. */
  locales: string[]
}

const phoneOf = (id: string): string => `${id} phone`
const codeOf = (id: string): string => `${id} code`

/** What is left of the number for the web half, once the code was sent. */
export const sealPhone = (secrets: Secrets, id: string, phone: string): string =>
  secrets.seal(phone, phoneOf(id))

export const openPhone = (secrets: Secrets, id: string, sealed: string): string =>
  secrets.open(sealed, phoneOf(id))

// None of them has a blank in it.
export const sealCode = (secrets: Secrets, id: string, sealed: SealedCode): string => {
  const { code, phone, country, ttl, locales } = sealed
  return secrets.seal([code, phone, country, ttl, locales.join()].join(' '), codeOf(id))
}

export function openCode(secrets: Secrets, id: string, sealed: string): SealedCode {
  const [code = '', phone = '', country = '', ttl, locales] = secrets
    .open(sealed, codeOf(id))
    .split(' ')
  return { code, phone, country, ttl: Number(ttl), locales: locales ? locales.split(',') : [] }
}
