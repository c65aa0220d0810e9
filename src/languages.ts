/** What the header Accept-Language says (RFC 9110, 12.5.4), as far as it is of the form that `locale` takes. */

/** Of a longer list the rest is not looked at, and of what was looked at only so many are kept. */
const LOOKED_AT = 20
export const MOST_LOCALES = 5

const ENTRY = /^([A-Za-z0-9-]{1,32})(?:\s*;\s*q=([01](?:\.\d{0,3})?))?$/i

/** The tags, best first. Undefined if there are none; what cannot be read is passed over, as is `*`. */
export function acceptedLanguages(header: string | undefined): string[] | undefined {
  if (!header) return undefined
  const entries = header.split(',', LOOKED_AT).flatMap((entry) => {
    const [, tag, quality = '1'] = ENTRY.exec(entry.trim()) ?? []
    return tag && Number(quality) > 0 ? [{ tag, quality: Number(quality) }] : []
  })
  if (entries.length === 0) return undefined
  // Sorting is stable: of equal ones the first that was written is the first.
  entries.sort((one, other) => other.quality - one.quality)
  return entries.slice(0, MOST_LOCALES).map(({ tag }) => tag)
}
