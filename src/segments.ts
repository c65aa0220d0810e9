/** How many SMS a text is: what is billed, and what a phone may show in pieces. */

export interface Segments {
  /** One character outside GSM-7 (GSM 03.38) has the whole text sent as UCS-2. */
  encoding: 'GSM-7' | 'UCS-2'
  /** Septets in GSM-7, 16-bit units in UCS-2. */
  units: number
  segments: number
}

/** Units of a text that fits into one segment, and of each where there are several and a header joins them. */
const CAPACITY = {
  'GSM-7': { single: 160, part: 153 },
  'UCS-2': { single: 70, part: 67 },
}

const BASIC = new Set(
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà',
)

/** Sent with an escape in front, so they cost two septets. */
const EXTENDED = new Set('\f^{}\\[~]|€')

/**
 * Counts as the air interface does or, with `mainland`, as mainland China bills: every character like a Chinese one, so 70 in
 * a single segment and 67 in each of several. A signature in 【】 counts like the rest.
 */
export function countSegments(text: string, { mainland = false } = {}): Segments {
  const characters = [...text]
  const gsm = !mainland && characters.every((each) => BASIC.has(each) || EXTENDED.has(each))
  const encoding = gsm ? 'GSM-7' : 'UCS-2'
  const costs = characters.map((each) => {
    if (gsm) return EXTENDED.has(each) ? 2 : 1
    return each.length
  })
  const units = costs.reduce((sum, cost) => sum + cost, 0)
  const { single, part } = CAPACITY[encoding]
  return { encoding, units, segments: units <= single ? 1 : parts(costs, part) }
}

/** No character is split, so a part may end one unit early. */
function parts(costs: number[], capacity: number): number {
  let count = 1
  let used = 0
  for (const cost of costs) {
    if (used + cost > capacity) {
      count++
      used = 0
    }
    used += cost
  }
  return count
}
