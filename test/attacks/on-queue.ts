/** Attacks by somebody who can write to the queue. */
import { brew } from '../faults/poison.ts'
import { eventually } from '../faults/world.ts'
import type { Attack } from './attack.ts'
import { settle } from './siege.ts'

export const QUEUE_ATTACKS: Attack[] = [
  {
    name: 'forgery',
    title: 'jobs forged, replayed and broken, straight into the queue',
    options: { limits: { cooldown: false } },
    optionsAre: 'no cooldown',
    async run(siege) {
      const { broker } = siege.world
      const count = siege.small ? 200 : 2000
      const sent = await siege.begin()
      const verified = await siege.begin()
      await siege.verify({ id: verified.id, code: verified.code })
      const resent = await siege.begin()
      await siege.send({ phone: resent.phone, id: resent.id })
      await settle()
      // Whom the vendor refuses for now: each attempt that can be had by a forged job is one more call.
      siege.world.vendor.treat = ({ phone }) => ({ accept: phone !== unlucky, after: 5 })
      const unlucky = siege.newPhone()
      const refused = await siege.send({ phone: unlucky })
      const { received } = siege.world.vendor
      const callsFor = () => received.filter(({ phone }) => phone === unlucky).length
      await eventually(() => callsFor() > 0, 10_000)
      const attempts = Array.from({ length: 99 }, (_, n) => ({
        body: Buffer.from(JSON.stringify({ v: 1, id: refused.body.id, version: 1 })),
        headers: { 'x-attempt': n + 2 },
      }))
      await broker.put(attempts)
      const before = received.length - callsFor()
      const ids = [sent.id, verified.id, resent.id]
      const job = (n: number) => ({
        v: 1,
        // One in four is of nobody.
        id:
          ids[n % 4] ??
          siege.chance.next().toString(36).padEnd(24, 'A').slice(2, 26).padEnd(24, 'B'),
        version: siege.chance.between(1, 3),
      })
      const forged = Array.from({ length: count }, (_, n) => ({
        body: Buffer.from(JSON.stringify(job(n))),
        headers: { 'x-attempt': siege.chance.between(1, 4) },
      }))
      await broker.put(forged)
      await broker.put(Array.from({ length: count }, (_, n) => brew(siege.chance, n)))
      // The shortened attack does not wait for the retries of the one that is refused, which take 12 s.
      const empty = await eventually(
        async () => (await broker.waiting()) === 0,
        siege.small ? 2000 : 60_000,
      )
      siege.require(empty || siege.small, 'jobs are left in the queues')
      await settle()
      const through = received.length - callsFor() - before
      siege.require(callsFor() <= 4, `${callsFor()} calls of the vendor for one send`)
      const after = await siege.begin()
      siege.require(after.code !== '', 'honest jobs are no longer sent')
      return { tries: count * 2, through, most: 0, unit: 'SMS' }
    },
  },
]
