/** Honest people behind one address of a mobile carrier: most enter their code, some never do. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Siege } from './siege.ts'

export interface People {
  /** Ends it, not before so many milliseconds after its begin, and waits for those who are still typing. */
  stop(notBefore: number): Promise<void>
  told(): { sent: number; verified: number; refused: string[] }
}

export interface PeopleOptions {
  perHour: number
  /** How much faster the clock runs than theirs. */
  faster: number
  /** Of them who enter their code. */
  share: number
}

const ADDRESS = '100.64.0.1'

/** Seconds from "send code" to the entered code: half of the people need less. */
const MEDIAN = 20

export function startPeople(siege: Siege, { perHour, faster, share }: PeopleOptions): People {
  const { chance } = siege
  const startedAt = Date.now()
  const refused: string[] = []
  const under: Promise<void>[] = []
  let sent = 0
  let verified = 0
  let going = true

  const people = (async () => {
    for (let arrival = 0; going; ) {
      arrival += (-Math.log(1 - chance.next()) * 3_600_000) / perHour / faster
      await sleep(Math.max(0, startedAt + arrival - Date.now()))
      if (going) under.push(one())
    }
  })()

  async function one(): Promise<void> {
    sent++
    const phone = siege.newPhone()
    const seconds = MEDIAN * Math.exp(0.7 * normal())
    const enters = chance.next() < share
    const headers = { 'idempotency-key': randomUUID() }
    const { status, body } = await siege.send({ phone }, { ip: ADDRESS, headers })
    if (status !== 202) return void refused.push(`send: ${status} ${JSON.stringify(body)}`)
    if (!enters) return
    await sleep((Math.min(seconds, 280) * 1000) / faster)
    const code = await siege.codeOf(phone)
    const check = await siege.verify({ id: body.id, code }, { ip: ADDRESS })
    if (check.status === 200) verified++
    else refused.push(`verify: ${check.status} ${JSON.stringify(check.body)}`)
  }

  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next())

  return {
    async stop(notBefore) {
      await sleep(Math.max(0, startedAt + notBefore - Date.now()))
      going = false
      await people
      await Promise.all(under)
    },
    told: () => ({ sent, verified, refused }),
  }
}
