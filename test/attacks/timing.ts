/** What the time of an answer tells. */
import { randomUUID } from 'node:crypto'
import type { Attack } from './attack.ts'
import { many, type Siege } from './siege.ts'

/**
 * How far from a toss-up somebody may be who tells two kinds of answers apart by their times alone: three times as far as
 * chance brings so many samples, and more beside other tests.
 */
const telling = (small: boolean) => (small ? 0.2 : 0.1)

export const TIMING_ATTACKS: Attack[] = [
  {
    name: 'timing-send',
    title: 'telling numbers that were verified before from new ones by the time of a send',
    async run(siege) {
      const samples = siege.small ? 150 : 2000
      const known = await many(samples, 20, async () => {
        const begun = await siege.begin()
        await siege.verify({ id: begun.id, code: begun.code })
        return begun.phone
      })
      const send = async (phone: string) => {
        // What a busy machine answered with 503 is asked again, and must not run into the cooldown of its own first try.
        const headers = { 'idempotency-key': randomUUID() }
        const { status } = await siege.send({ phone }, { headers })
        siege.require(status === 202, `a send that is answered with ${status}`)
      }
      const [ofKnown, ofNew] = await sampled(samples, [
        (n) => send(known[n] as string),
        () => send(siege.newPhone()),
      ])
      return finding(siege, samples * 2, ofKnown, ofNew)
    },
  },
  {
    name: 'timing-gone',
    title:
      'telling ids that were never given out from used ones by the answer of a check or its time',
    async run(siege) {
      const samples = siege.small ? 300 : 5000
      const used = await siege.begin()
      await siege.verify({ id: used.id, code: used.code })
      const unknown = `${used.id.slice(0, 2)}${'A'.repeat(22)}`
      const texts = new Set<string>()
      const guessed = await siege.begin()
      const wrong = guessed.code === '0000000000' ? '0000000001' : '0000000000'
      for (let n = 0; n < 5; n++) await siege.verify({ id: guessed.id, code: wrong })
      const check = async (id: string) => {
        const code = '1234567890'
        const { status, body } = await siege.verify({ id, code }, { ip: siege.newIp() })
        texts.add(`${status} ${JSON.stringify(body)}`)
      }
      const [ofUsed, ofUnknown] = await sampled(samples, [
        () => check(used.id),
        () => check(unknown),
      ])
      await check(guessed.id)
      siege.require(texts.size === 1, 'the answers differ')
      return finding(siege, samples * 2, ofUsed, ofUnknown)
    },
  },
]

type Times = number[]

/** In turns, so that whatever slows the machine down slows both. */
async function sampled(
  samples: number,
  kinds: [(n: number) => Promise<unknown>, (n: number) => Promise<unknown>],
): Promise<[Times, Times]> {
  const times: [Times, Times] = [[], []]
  for (let n = 0; n < samples; n++) {
    for (const i of n % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const startedAt = performance.now()
      await kinds[i](n)
      times[i].push(performance.now() - startedAt)
    }
  }
  return times
}

function finding(siege: Siege, tries: number, one: Times, other: Times) {
  const chance = slower(one, other)
  const gap = Math.abs(median(one) - median(other))
  const notes = [
    `of two answers the slower one is of the first kind in ${(chance * 100).toFixed(1)} %`,
    `medians ${median(one).toFixed(2)} and ${median(other).toFixed(2)} ms`,
  ]
  const told = Math.abs(chance - 0.5) > telling(siege.small) && gap > 0.1
  siege.require(!told, notes.join(', '))
  return { tries, through: Number(told), most: 0, unit: 'kinds told apart', notes }
}

/** The chance that one of the first kind took longer than one of the second: Mann and Whitney's U over all pairs. */
function slower(one: Times, other: Times): number {
  const sorted = other.toSorted((a, b) => a - b)
  const below = (value: number): number => {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sorted[middle] as number) < value) low = middle + 1
      else high = middle
    }
    return low
  }
  const pairs = one.reduce((sum, value) => sum + below(value), 0)
  return pairs / (one.length * other.length)
}

const median = (times: Times): number =>
  times.toSorted((a, b) => a - b)[times.length >> 1] as number
