/** How many codes of one number can be guessed by somebody who has weeks, and as many addresses as wanted. */
import { policyOf } from '../../src/options.ts'
import { newNonce } from '../../src/secrets.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import type { CheckRequest, IssueRequest } from '../../src/store/store.ts'
import type { Calculation, Finding } from './attack.ts'

/** Milliseconds. */
const STEP = 10_000
const HOUR = 3_600_000
const DAY = 24 * HOUR

interface Plan {
  /** Hours between two visits of the owner, who gets and enters a code each time; none at all. */
  owner: number | undefined
  /** Whether the attacker saves up codes and guesses at them just before they expire. */
  hoards: boolean
}

const PLANS: Plan[] = [undefined, 24, 12, 8, 6, 3].flatMap((owner) => [
  { owner, hoards: false },
  { owner, hoards: true },
])

const POLICY = policyOf({ secret: '', countries: 'all' })

/** Ten sends a day, and three whose codes were still alive when it began, with five checks each: 1 in 15,384. */
const MOST = (10 + 3) * 5

export const DAYS: Calculation = {
  name: 'days',
  title: 'guesses at one number for a month, from addresses without end, on the store in memory',
  async calculate(small): Promise<Finding> {
    const days = small ? 2 : 30
    const played = await Promise.all(
      PLANS.map(async (plan) => ({ plan, ...(await guess(plan, days)) })),
    )
    return {
      tries: played.reduce((sum, { total }) => sum + total, 0),
      through: Math.max(...played.map(({ worst }) => worst)),
      most: MOST,
      unit: 'codes compared in 24 h',
      aDay: `1 in ${Math.floor(1e6 / MOST)} that one of ${MOST} guesses is right`,
      notes: PLANS.filter(({ hoards }) => !hoards).map(({ owner }) => {
        const runs = played.filter(({ plan }) => plan.owner === owner)
        const worst = Math.max(...runs.map(({ worst }) => worst))
        const total = Math.max(...runs.map(({ total }) => total))
        const about = owner === undefined ? 'no owner' : `the owner every ${owner} h`
        return `${about}: ${worst}, ${total} in all`
      }),
    }
  },
}

async function guess({ hoards, owner }: Plan, days: number) {
  const start = Date.UTC(2027, 0, 1)
  let clock = start
  const store = createMemoryStore({ now: () => clock })
  const phone = 'victim'.padEnd(22, '-')
  const guessed: number[] = []
  let lives: { id: string; until: number }[] = []
  let ids = 0
  let visit = owner === undefined ? Infinity : start + owner * HOUR

  while (clock < start + days * DAY) {
    if (clock >= visit && (await comes())) visit += (owner as number) * HOUR
    const id = await issue()
    if (id) lives.push({ id, until: clock + POLICY.ttl - STEP })
    const due = lives.filter(({ until }) => !hoards || until <= clock)
    lives = lives.filter((life) => !due.includes(life))
    for (const { id } of due) {
      while ((await store.check(check(id, 'wrong'), POLICY)).verdict === 'wrong')
        guessed.push(clock)
    }
    clock += STEP
  }
  const inADay = guessed.map(
    (at, i) => guessed.filter((other, j) => j <= i && other > at - DAY).length,
  )
  return { worst: Math.max(0, ...inADay), total: guessed.length }

  async function issue(): Promise<string | undefined> {
    const id = `vi${String(ids++).padStart(22, '0')}`
    const request: IssueRequest = {
      ...{
        phone,
        id,
        resend: false,
        key: '',
        dryRun: false,
        purpose: '',
        trusted: false,
        spent: null,
      },
      ...{ mac: 'right', code: `code of ${id}`, sealedPhone: 'k:phone' },
    }
    const { verdict } = await store.issue(request, POLICY)
    return verdict === 'issued' ? id : undefined
  }

  async function comes(): Promise<boolean> {
    const id = await issue()
    return (
      id !== undefined && (await store.check(check(id, 'right'), POLICY)).verdict === 'verified'
    )
  }

  function check(id: string, mac: string): CheckRequest {
    return { id, macs: [mac], keyIds: ['k'], nonce: newNonce(), proof: `proof of ${id}` }
  }
}
