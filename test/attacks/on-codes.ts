/** Attacks that want a right code, or to keep others from entering theirs. */
import type { Attack } from './attack.ts'
import { atOnce, perDay } from './defaults.ts'
import { having, many, type Siege } from './siege.ts'

/** Another code than this one, a different one for each number. */
const wrong = (code: string, n = 0): string =>
  String((Number(code) + 1 + n) % 10 ** code.length).padStart(code.length, '0')

const ID_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

const randomId = ({ chance }: Siege): string =>
  Array.from({ length: 24 }, () => chance.pick([...ID_LETTERS])).join('')

export const CODE_ATTACKS: Attack[] = [
  {
    name: 'parallel-guesses',
    title: 'parallel guesses at one code, each from another address',
    async run(siege) {
      const tries = siege.small ? 300 : 1000
      const { id, code } = await siege.begin()
      const replies = await Promise.all(
        Array.from({ length: tries }, (_, n) => siege.verify({ id, code: wrong(code, n) })),
      )
      const through = having(422, replies)
      siege.require(having(410, replies) === tries - through, 'an answer but 422 and 410')
      siege.require(through === 5, `${through} guesses were compared, not 5`)
      const late = await siege.verify({ id, code })
      siege.require(late.status === 410, 'the right code verifies after five wrong ones')
      return { tries, through, most: 5, unit: 'codes compared' }
    },
  },
  {
    name: 'parallel-successes',
    title: 'the right code, and then its proof, 200 times at once',
    async run(siege) {
      const rounds = siege.small ? 5 : 50
      let through = 0
      for (let round = 0; round < rounds; round++) {
        const { id, code } = await siege.begin()
        const replies = await many(200, 200, () => siege.verify({ id, code }))
        const proof = replies.find(({ status }) => status === 200)?.body.proof
        siege.require(having(200, replies) === 1, `${having(200, replies)} successes of one code`)
        siege.require(having(410, replies) === 199, 'an answer but 200 and 410')
        const redeemed = await many(20, 20, () => redeem(siege, proof))
        siege.require(having(200, redeemed) === 1, 'a proof that is not good for exactly once')
        through += having(200, replies)
      }
      return { tries: rounds * 200, through, most: rounds, unit: 'successes' }
    },
  },
  {
    name: 'inverted',
    title: 'one guess at each of many codes, from one address',
    async run(siege) {
      const tries = siege.small ? 60 : 1000
      const begun = await many(tries, 20, () => siege.begin())
      const replies = await many(tries, 20, (n) => {
        const { id, code } = begun[n] as (typeof begun)[number]
        return siege.verify({ id, code: wrong(code) }, { ip: '203.0.113.7' })
      })
      const through = having(422, replies)
      siege.require(having(429, replies) === tries - through, 'an answer but 422 and 429')
      const most = atOnce('failedChecksPerIp')
      const aDay = `${perDay('failedChecksPerIp')} codes for an address, each of another number`
      return { tries, through, most, unit: 'codes compared', aDay }
    },
  },
  {
    name: 'lock-out',
    title: 'calls about a number whose owner has just been sent a code',
    // Else the attacker would have to wait for a minute between two codes.
    options: { limits: { cooldown: [1] } },
    optionsAre: 'cooldown of 1 s',
    async run(siege) {
      const tries = siege.small ? 1000 : 10_000
      const phone = siege.newPhone()
      const own = () => useUp(siege, phone)
      await own()
      const victim = await onceAllowed(() => siege.begin(phone))
      await onceAllowed(own)
      await many(tries, 50, async (n) => {
        const id = randomId(siege)
        const code = String(n % 1e10).padStart(10, '0')
        const calls = [
          () => siege.send({ phone }),
          () => siege.send({ phone, id }),
          () => siege.send({ phone }, { headers: { 'idempotency-key': `${n}` } }),
          () => siege.verify({ id, code }),
          () => siege.verify({ id: phone, code }),
          () => siege.verify({ id: `${victim.id.slice(0, 2)}${id.slice(2)}`, code }),
          () => siege.status(id),
        ]
        return (calls[n % calls.length] as () => Promise<unknown>)()
      })
      const { body } = await siege.status(victim.id)
      siege.require(body.checksLeft === 5, `${body.checksLeft} checks are left`)
      const { status } = await siege.verify({ id: victim.id, code: victim.code })
      return { tries, through: status === 200 ? 0 : 1, most: 0, unit: 'owners kept out' }
    },
  },
]

async function redeem(siege: Siege, proof: unknown): Promise<{ status: number }> {
  const headers = { 'content-type': 'application/json' }
  return siege.ask({ path: '/accounts', headers, body: JSON.stringify({ proof }) })
}

/** The attacker's own code for the number, with five wrong checks. */
async function useUp(siege: Siege, phone: string): Promise<void> {
  const { id, code } = await siege.begin(phone)
  for (let n = 0; n < 5; n++) await siege.verify({ id, code: wrong(code, n) })
}

async function onceAllowed<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run()
    } catch (error) {
      if (!/429/.test(String(error))) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}
