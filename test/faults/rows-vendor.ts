/** Rows in which the vendor is slow, silent or away. */
import { setTimeout as sleep } from 'node:timers/promises'
import { logged } from './judge.ts'
import { vendorDown } from './nemesis.ts'
import { type Row, RUNS } from './row.ts'

const WITH_KEYS = [
  ...RUNS,
  { vendor: 'ronglian' } as const,
  { vendor: 'ronglian', delivery: 'at-most-once' } as const,
]

export const VENDOR_ROWS: Row[] = [
  {
    name: 'vendor-slow',
    title: 'vendor takes 10.5 s, longer than it is given',
    sends: 1000,
    mayRepeat: true,
    // Every attempt takes the full 10 s, and with four of them all jobs are in hand at once.
    setting: { concurrency: 1000 },
    async plan({ world }) {
      world.vendor.treat = () => ({ accept: true, after: 10_500 })
    },
    check: repeatedAsOftenAsAmbiguous,
  },
  {
    name: 'vendor-silent',
    title: 'vendor takes it and does not answer, 50 %',
    sends: 1000,
    runs: WITH_KEYS,
    mayRepeat: true,
    setting: { concurrency: 1000 },
    async plan({ world, chance }) {
      world.vendor.treat = () => ({
        accept: true,
        after: chance.next() < 0.5 ? Number.POSITIVE_INFINITY : 30,
      })
    },
    check: repeatedAsOftenAsAmbiguous,
  },
  {
    name: 'vendor-tenth',
    title: 'vendor takes a tenth of what is asked for, for 60 s',
    sends: 2400,
    runs: RUNS.slice(0, 1),
    mayRefuse: true,
    setting: { concurrency: 2 },
    load: { rate: 40, tries: 1 },
    async plan({ world }) {
      world.vendor.treat = () => ({ accept: true, after: 1000 })
    },
    check({ ends, sends, accepted }, { complain, note }) {
      note(`${sends - accepted} of ${sends} refused with 503`)
      if (accepted === sends) complain('expected some to be refused')
      if (ends.expired > 0) complain(`${ends.expired} expired`)
    },
  },
  {
    name: 'vendor-down',
    title: 'vendor down 20 s (connections cut, then refused)',
    sends: 1000,
    mayRepeat: true,
    load: { rate: 40 },
    async plan(scene) {
      await sleep(1000)
      // Shorter than the 21 s of all retries together, so that each job has an attempt after it.
      await vendorDown(scene, 20_000)
    },
    check({ ends, sends, dup }, { world, complain }) {
      const cut = world.vendor.received.filter(({ answered }) => !answered).length
      if (dup > cut) complain(`${dup} sent twice, ${cut} answers were cut`)
      // At most once, what was on its way when the connections were cut is not sent again.
      const others = sends - ends.sent - ends.unknown
      if (others > 0) complain(`${others} neither sent nor unknown`)
    },
  },
  {
    name: 'vendor-down-long',
    title: 'vendor down for longer than a code lives (60 s)',
    sends: 1000,
    load: { rate: 100 },
    setting: { ttl: 60 },
    async plan({ world, load }) {
      await world.vendor.down()
      await load.done
    },
    check({ ends, sends }, { complain }) {
      if (ends.dead + ends.expired !== sends) complain('expected all to be dead or expired')
    },
  },
]

/** A vendor that knows no key was asked again exactly as often as nobody knew what had become of an attempt. */
function repeatedAsOftenAsAmbiguous(
  ...[{ dup }, { world, complain }]: Parameters<NonNullable<Row['check']>>
): void {
  const { delivery, vendor } = world.setting
  if (vendor !== 'twilio' || delivery === 'at-most-once') return
  const again = logged(world, 'sms.retry')
  if (dup !== again) complain(`${dup} sent twice, ${again} attempts were repeated`)
}
