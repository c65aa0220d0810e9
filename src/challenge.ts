/**
 * A proof of work in front of a send: nothing for one person's phone, a bill of computing time for whoever asks for
 * thousands of codes. No third party, and nothing to click.
 *
 * The puzzle is `EXPIRES.BITS.RANDOM.MAC`. Its solution is a counter, in base 36, with which the SHA-256 of
 * `PUZZLE.COUNTER` begins with BITS zero bits. The MAC binds it to the number and the address, so nobody solves for
 * others; the store takes each puzzle once, by its own clock.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { networkOf } from './address.ts'
import type { Budgets } from './budgets.ts'
import type { Phone } from './phone.ts'
import { newNonce, type Secrets } from './secrets.ts'
import type { VerificationStore } from './store/store.ts'

export interface Puzzle {
  puzzle: string
  bits: number
}

export interface ChallengeRequest {
  phone: Phone
  ip: string | undefined
  /** What the client brought along. */
  solution: string | undefined
  /** The host asks for it, whatever the option says. */
  demanded: boolean
}

export interface Challenge {
  /** Whether there can be a puzzle at all. */
  isPossible(request: Pick<ChallengeRequest, 'demanded'>): boolean
  /** A puzzle to be solved first; none where none is asked for or its solution was brought along. */
  ask(request: ChallengeRequest): Promise<Puzzle | undefined>
}

export interface ChallengeOptions {
  /** `'off'`, `'on'`, or from what share of a budget on. */
  when: 'off' | 'on' | number
  store: Pick<VerificationStore, 'useOnce'>
  budgets: Pick<Budgets, 'risk'>
  secrets: Pick<Secrets, 'phoneMac' | 'puzzleMac'>
}

/** Milliseconds that a puzzle can be solved in. */
const LIFE = 120_000

/** Zero bits: 65,000 hashes on average, and with a budget that is used up sixteen times as many. */
const LEAST_BITS = 16
const MORE_BITS = 4

export function createChallenge({ when, store, budgets, secrets }: ChallengeOptions): Challenge {
  const macOf = (head: string, { phone, ip }: ChallengeRequest): string =>
    secrets.puzzleMac(`${head}\n${phone.e164}\n${ip ? networkOf(ip) : ''}`)

  function pose(request: ChallengeRequest, at: number, risk: number): Puzzle {
    const bits = LEAST_BITS + Math.round(MORE_BITS * Math.min(risk, 1))
    const random = randomBytes(9).toString('base64url')
    const head = [(at + LIFE).toString(36), bits, random].join('.')
    return { puzzle: `${head}.${macOf(head, request)}`, bits }
  }

  async function isSolved(request: ChallengeRequest): Promise<boolean> {
    const [expires = '', bits = '', random = '', mac, counter] = request.solution?.split('.') ?? []
    const head = [expires, bits, random].join('.')
    if (counter === undefined || !isEqual(mac, macOf(head, request))) return false
    if (zeroBits(request.solution as string) < Number(bits)) return false
    const until = Number.parseInt(expires, 36)
    const phone = secrets.phoneMac(request.phone.e164)
    return store.useOnce({ phone, token: `${random}${mac}`, until, nonce: newNonce() })
  }

  return {
    isPossible: ({ demanded }) => demanded || when !== 'off',
    async ask(request) {
      const { at, risk } = await budgets.risk(request.phone, request.ip)
      if (!request.demanded && when !== 'on' && risk < Number(when)) return undefined
      return (await isSolved(request)) ? undefined : pose(request, at, risk)
    },
  }
}

function isEqual(given: string | undefined, right: string): boolean {
  const [one, other] = [Buffer.from(given ?? ''), Buffer.from(right)]
  return one.length === other.length && timingSafeEqual(one, other)
}

const zeroBits = (text: string): number => Math.clz32(hash('sha256', text, 'buffer').readUInt32BE())
