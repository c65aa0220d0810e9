/** One vendor of a chain goes down, in every way, and comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { aliyunProvider } from '../../src/providers/aliyun.ts'
import { type ProviderChainOptions, providerChain } from '../../src/providers/chain.ts'
import { ronglianProvider } from '../../src/providers/ronglian.ts'
import { until } from '../until.ts'
import { type Mood, openAliyun, openRonglian } from './vendors.ts'
import { openWorld, type Services } from './world.ts'

export interface Outage {
  name: string
  title: string
  mood: Exclude<Mood, 'well'>
  inDoubt?: ProviderChainOptions['inDoubt']
  /** Whether the same person's SMS goes out through the other vendor, or waits for the first one. */
  passedOn: boolean
}

export const OUTAGES: Outage[] = [
  { name: 'refused', title: 'connections refused', mood: 'refused', passedOn: true },
  { name: 'account', title: 'our account refused', mood: 'account', passedOn: true },
  { name: 'broken', title: 'HTTP 502', mood: 'broken', passedOn: false },
  { name: 'silent', title: 'no answer, nothing sent', mood: 'silent', passedOn: false },
  { name: 'late', title: 'no answer, though sent', mood: 'late', passedOn: false },
  {
    name: 'silent-next',
    title: "no answer, nothing sent, `inDoubt: 'next'`",
    mood: 'silent',
    inDoubt: 'next',
    passedOn: true,
  },
  {
    name: 'broken-next',
    title: "HTTP 502, `inDoubt: 'next'`",
    mood: 'broken',
    inDoubt: 'next',
    passedOn: true,
  },
]

export interface OutageResult {
  outage: Outage
  /** People who asked for a code. */
  people: number
  /**
   * Milliseconds from the vendor's refusal to the other one's request, for the same person, at most; where it says nothing, from when
   * it was given up.
   */
  slowestPass: number | undefined
  /** Calls of the vendor that is down before it was not asked first any more. */
  callsToOpen: number
  /** Milliseconds from a 202 to the other vendor's request while it was so, at most. */
  slowestWhileOpen: number
  /** Seconds from its recovery until it was asked first again. */
  secondsToClose: number
  /** SMS beyond the first to one person. */
  duplicates: number
  /** A 202 and no SMS. */
  lost: number
  problems: string[]
}

/** A pace at which people ask, in milliseconds. */
const PACE = 50

const PAUSE = 2

/** Milliseconds that one of two may take where the next one is asked in doubt: half of an attempt's 10 s. */
const SHARE = 5000

export async function playOutage(services: Services, outage: Outage): Promise<OutageResult> {
  await using ronglian = await openRonglian()
  await using aliyun = await openAliyun()
  await using world = await openWorld(services, {
    provider: providerChain({
      routes: {
        CN: [
          ronglianProvider({
            ...{ accountSid: 'a'.repeat(32), authToken: 'token', appId: 'app', templateId: '1' },
            baseUrl: ronglian.url,
          }),
          aliyunProvider({
            ...{ accessKeyId: 'key', accessKeySecret: 'secret', signName: 'Acme' },
            ...{ templateCode: 'SMS_1', baseUrl: aliyun.url },
          }),
        ],
      },
      breaker: { pause: PAUSE },
      ...(outage.inDoubt && { inDoubt: outage.inDoubt }),
    }),
  })
  const problems: string[] = []
  const require = (isSo: boolean, what: string) => void (isSo || problems.push(what))
  /** When each person was answered with a 202. */
  const asked = new Map<string, number>()
  const ask = async () => {
    const phone = world.newPhone()
    await world.app.smsVerify.send({ phone })
    asked.set(phone, performance.now())
    return phone
  }
  const callOf = (vendor: { calls: { phone: string; at: number }[] }, phone: string) =>
    vendor.calls.find((call) => call.phone === phone)
  const when = (event: string) =>
    world.lines.findLast((line) => line.event === event && line.provider === 'ronglian')?.at as
      | number
      | undefined
  const wentOut = (phone: string) =>
    [...ronglian.sms, ...aliyun.sms].filter((sms) => sms.phone === phone).length

  // Well.
  for (let n = 0; n < 3; n++) await ask()
  await until('all are sent', () => ronglian.sms.length === 3)
  require(aliyun.calls.length === 0, 'the second vendor was asked though the first is well')

  // Down, until it is noticed.
  const before = ronglian.calls.length
  await ronglian.feel(outage.mood)
  const early: string[] = []
  while (when('provider.open') === undefined && early.length < 400) {
    early.push(await ask())
    await sleep(PACE)
  }
  const openedAt = when('provider.open') ?? Number.POSITIVE_INFINITY
  require(Number.isFinite(openedAt), 'the breaker has not opened')
  // A refused connection is no call that the vendor could count.
  const refusals = world.lines.filter(
    ({ code, at }) => /^ronglian:/.test(String(code)) && (at as number) <= openedAt,
  ).length
  const callsToOpen = outage.mood === 'refused' ? refusals : ronglian.calls.length - before

  // Down, and known to be.
  const late: string[] = []
  for (let n = 0; n < 20; n++) {
    late.push(await ask())
    await sleep(PACE)
  }
  await until('they are sent', () => late.every((phone) => wentOut(phone) > 0), 20_000)
  const whileOpen = late.flatMap((phone) => {
    const call = callOf(aliyun, phone)
    return call ? [Math.max(0, call.at - (asked.get(phone) as number))] : []
  })

  // Back again: whatever had to wait for it goes out, and others follow.
  await ronglian.feel('well')
  const backAt = performance.now()
  const since = () => performance.now() - backAt
  while ((when('provider.closed') ?? 0) < backAt && since() < 120_000) {
    await ask()
    await sleep(4 * PACE)
  }
  const secondsToClose = ((when('provider.closed') ?? Number.POSITIVE_INFINITY) - backAt) / 1000
  const last = await ask()
  const everybody = [...asked.keys()]
  await until('all have ended', () => world.ends().length >= everybody.length, 60_000).catch(
    () => {},
  )
  require(callOf(ronglian, last) !== undefined, 'it is not asked first again')

  const passes = early.flatMap((phone) => {
    const known = knownAt(phone)
    const call = callOf(aliyun, phone)
    return known !== undefined && call ? [Math.max(0, call.at - known)] : []
  })
  const lost = everybody.filter((phone) => wentOut(phone) === 0).length
  const duplicates = everybody.reduce((sum, phone) => sum + Math.max(0, wentOut(phone) - 1), 0)
  require(lost === 0, `${lost} without an SMS`)
  require(duplicates === 0, `${duplicates} SMS too many`)
  checkKeys()
  const slowestPass = outage.passedOn ? Math.max(...passes) : undefined
  if (slowestPass !== undefined) {
    require(passes.length > 0 &&
      slowestPass < 1000, `${slowestPass} ms from refusal to next vendor`)
  }
  return {
    ...{ outage, people: everybody.length, slowestPass, callsToOpen },
    slowestWhileOpen: Math.max(...whileOpen),
    ...{ secondsToClose, duplicates, lost, problems },
  }

  /** When it was known that the first vendor would not send to this person. */
  function knownAt(phone: string): number | undefined {
    if (outage.mood === 'refused') return asked.get(phone)
    if (outage.mood !== 'silent') return ronglian.failed.get(phone)
    const call = callOf(ronglian, phone)
    return call && call.at + SHARE
  }

  /** Whoever may have been sent to is repeated at the same vendor, with the same key and code. */
  function checkKeys(): void {
    for (const phone of early) {
      const calls = ronglian.calls.filter((call) => call.phone === phone)
      require(new Set(calls.map(({ key }) => key)).size <= 1, 'another key at a repeat')
      require(new Set(calls.map(({ code }) => code)).size <= 1, 'another code at a repeat')
      if (outage.passedOn || calls.length === 0) continue
      require(callOf(aliyun, phone) === undefined, 'sent elsewhere although it is in doubt')
      require(calls.length > 1, 'not asked again')
    }
  }
}
