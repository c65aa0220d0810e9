/** The load on the routes, by autocannon in the bench's own process. */
import autocannon, { type Client, type Request, type Result } from 'autocannon'
import { ACCEPT_LANGUAGE } from './programs/options.ts'
import { quantile } from './row.ts'

const CONNECTIONS = 50

/** Milliseconds between two looks whether it is over; autocannon's own second would be waited for to its end. */
const LOOK = 10

/** How many numbers were used. */
let numbers = 0

/** Mainland mobile numbers, each one once. */
export function nextPhone(): string {
  const number = numbers++
  return `+861${38 + Math.floor(number / 1e8)}${String(number % 1e8).padStart(8, '0')}`
}

/** Rate and p99 are measured once each connection has had an answer, since a process that is busy takes them in one by one. */
export interface Load {
  /** Requests a second; not a number where all was over before. */
  rate: number
  /** Milliseconds that 99 % of them did not exceed. */
  p99: number
  /** Requests in all. */
  count: number
}

/** With the languages that the SMS may be in. */
const AS_A_BROWSER = { 'content-type': 'application/json', 'accept-language': ACCEPT_LANGUAGE }

/** How many answers of each kind that is rare there may be in a load: a right guess ends its verification, whose other checks are 410. */
const RARE = 10

/**
 * One request after the other, `CONNECTIONS` at once. Throws where an answer is another than `expected`, or where many are what is to
 * be `rare`.
 */
export async function load(
  url: string,
  requests: Request[],
  amount: number,
  expected: number[],
  rare: number[] = [],
): Promise<Load> {
  const connections = Math.min(CONNECTIONS, amount)
  let unanswered = connections
  const times: number[] = []
  // Not autocannon's own duration, which begins before there are connections, and is in hundredths of a second.
  let begun = 0
  let ended = Number.NaN
  const timed = (client: Client) =>
    client.once('response', () => {
      unanswered--
      begun = performance.now()
      client.on('response', (_status, _bytes, milliseconds) => {
        if (unanswered > 0) return
        times.push(milliseconds)
        ended = performance.now()
      })
    })
  const result = await autocannon({
    url,
    amount,
    sampleInt: LOOK,
    setupClient: timed,
    connections,
    requests: requests.map((request) => ({
      method: 'POST',
      headers: AS_A_BROWSER,
      ...request,
    })),
  })
  check(result, expected, rare)
  const rate = (times.length * 1000) / (ended - begun)
  return { rate, p99: quantile(times, 0.99), count: result.requests.total }
}

function check({ errors, statusCodeStats = {} }: Result, expected: number[], rare: number[]): void {
  const counts = Object.entries(statusCodeStats).map(
    ([status, { count = 0 }]) => [Number(status), count] as const,
  )
  const isFine = ([status, count]: readonly [number, number]) =>
    expected.includes(status) || (rare.includes(status) && count <= RARE)
  if (errors === 0 && counts.every(isFine)) return
  throw new Error(`expected ${expected}, got ${errors} errors, ${JSON.stringify(statusCodeStats)}`)
}

/** A send to a number that was not used before. */
export const send: Request = {
  path: '/sms/send',
  setupRequest: (request) => ({ ...request, body: JSON.stringify({ phone: nextPhone() }) }),
}

/** So many sends; answers the load, and what the verifications are called. */
export async function sendMany(url: string, count: number): Promise<Load & { ids: string[] }> {
  const ids: string[] = []
  const kept = (_status: number, body: string) =>
    void ids.push((JSON.parse(body) as { id: string }).id)
  const done = await load(url, [{ ...send, onResponse: kept }], count, [202])
  return { ...done, ids }
}

/** Checks of each verification, of the five that it has. */
const CHECKS = 4

/** Verifications for so many checks. */
export const sendToCheck = (url: string, checks: number) =>
  sendMany(url, Math.ceil(checks / CHECKS))

/** What a check of a code that is wrong is answered. */
export const WRONG = 422

/** One in a million is right, and its verification is over. */
export const RIGHT = [200, 410]

/** Checks wrong codes of all these verifications: counted and compared like right ones. */
export function loadChecks(url: string, ids: string[]): Promise<Load> {
  let next = 0
  const check: Request = {
    path: '/sms/verify',
    setupRequest(request) {
      const id = ids[Math.floor(next++ / CHECKS)]
      return { ...request, body: JSON.stringify({ id, code: '000000' }) }
    },
  }
  return load(url, [check], ids.length * CHECKS, [WRONG], RIGHT)
}
