/** Attacks that want SMS to be sent, whoever pays for them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { solve } from '../puzzle.ts'
import { INTERNATIONAL, NATIONAL, PHONE, REFUSED } from '../spellings.ts'
import type { Attack } from './attack.ts'
import { atOnce, faster, perDay } from './defaults.ts'
import { startPeople } from './people.ts'
import { having, many, settle } from './siege.ts'

/** An hour takes two minutes. */
const FASTER = 30

const PURPOSES = ['default', 'login', 'signup', 'payment', 'reset']

const SPELLINGS = [...new Set([...INTERNATIONAL, ...NATIONAL, ...REFUSED])]

export const BILL_ATTACKS: Attack[] = [
  {
    name: 'at-once',
    title: 'sends to one number, all at once, each from another address',
    async run(siege) {
      const tries = siege.small ? 100 : 500
      const target = siege.newPhone()
      const replies = await Promise.all(
        Array.from({ length: tries }, (_, n) =>
          siege.send({ phone: target }, { headers: { 'idempotency-key': `key-${n}` } }),
        ),
      )
      siege.require(having(429, replies) === tries - 1, 'not all but one are told to wait')
      await settle()
      return { tries, through: siege.paid(), most: 1, unit: 'SMS' }
    },
  },
  {
    name: 'bombing',
    title: 'one number for an hour, from 50 addresses, for five purposes, resends among them',
    // Without the cooldown, which would hide whether the limits of a number hold.
    options: { limits: { ...faster(FASTER), cooldown: false }, purposes: PURPOSES },
    optionsAre: 'no cooldown; limits thirty times shorter',
    async run(siege) {
      const until = Date.now() + (siege.small ? 3_000 : 118_000)
      const target = siege.newPhone()
      const addresses = Array.from({ length: 50 }, () => siege.newIp())
      let tries = 0
      let id: unknown
      await Promise.all(
        addresses.map(async (address, i) => {
          while (Date.now() < until) {
            const purpose = PURPOSES[(tries + i) % PURPOSES.length]
            const resend = tries++ % 3 === 0 && id !== undefined
            const body = resend ? { phone: target, id } : { phone: target, purpose }
            const reply = await siege.send(body, { ip: address })
            if (reply.status === 202) id = reply.body.id
            await sleep(20)
          }
        }),
      )
      await settle()
      // Superseded before the consumer came to them, some of what was accepted need not be sent.
      const aDay = `${perDay('phone')} SMS to a number`
      return { tries, through: siege.paid(), most: atOnce('phone'), unit: 'SMS', aDay }
    },
  },
  {
    name: 'spellings',
    title: 'one number in all its spellings, each from another address',
    options: { defaultCountry: 'CN' },
    optionsAre: 'defaultCountry CN',
    async run(siege) {
      const replies = await Promise.all(
        SPELLINGS.map((spelling) => siege.send({ phone: spelling })),
      )
      await settle()
      const odd = replies.filter(({ status }) => ![202, 400, 403, 429].includes(status))
      siege.require(odd.length === 0, `answers of ${odd.map(({ status }) => status)}`)
      const others = siege.world.vendor.received.filter((sms) => sms.phone !== PHONE)
      siege.require(others.length === 0, 'an SMS to another number')
      return { tries: SPELLINGS.length, through: siege.paid(), most: 1, unit: 'SMS' }
    },
  },
  {
    name: 'spoofing',
    title: 'many numbers from one address that says it is others, and from one /64 of IPv6',
    async run(siege) {
      const tries = siege.small ? 100 : 1000
      const address = '203.0.113.9'
      const lies = (n: number): Record<string, string>[] => [
        { 'x-forwarded-for': `198.51.100.${n % 250}` },
        { 'x-forwarded-for': `10.0.0.${n % 250}, 127.0.0.1` },
        { 'x-real-ip': `198.51.100.${n % 250}`, forwarded: `for=198.51.100.${n % 250}` },
        { 'x-forwarded-for': `, ,${n}`, 'cf-connecting-ip': `198.51.100.${n % 250}` },
        { 'x-forwarded-for': `::ffff:198.51.100.${n % 250}`, 'x-forwarded-host': 'example.org' },
      ]
      const fromOne = await many(tries, 20, (n) => {
        const headers = lies(n)[n % lies(n).length] as Record<string, string>
        const written = n % 2 === 0 ? address : `::ffff:${address}`
        return siege.send({ phone: siege.newPhone() }, { ip: written, headers })
      })
      const fromNetwork = await many(tries, 20, (n) =>
        siege.send({ phone: siege.newPhone() }, { ip: `2001:db8:1:2::${n.toString(16)}` }),
      )
      await settle()
      const each = atOnce('ip')
      siege.require(having(202, fromOne) === each, 'not as many as one address may have')
      siege.require(having(202, fromNetwork) === each, 'not as many as one /64 may have')
      const aDay = `${perDay('ip')} SMS for an address or /64`
      return { tries: tries * 2, through: siege.paid(), most: each * 2, unit: 'SMS', aDay }
    },
  },
  {
    name: 'sequential',
    title: 'sequential numbers from thousands of addresses, beside honest people elsewhere',
    options: { limits: faster(FASTER) },
    optionsAre: 'limits thirty times shorter',
    // A line for each of a hundred thousand requests would be the load.
    logLevel: 'warn',
    async run(siege) {
      const [tries, addresses] = siege.small ? [5_000, 500] : [100_000, 10_000]
      const startedAt = Date.now()
      const people = startPeople(siege, {
        // Played on a busy machine, a second of delay is half a minute of theirs: fewer of them wait at once.
        perHour: siege.small ? 300 : 1000,
        faster: FASTER,
        share: 0.8,
      })
      const from = Array.from({ length: addresses }, () => siege.newIp())
      const first = 13_800_000_000
      for (let n = 0; n < tries; n++) siege.secrets.phones.add(`+86${first + n}`)
      const replies = await many(tries, 40, (n) =>
        siege.send({ phone: `+86${first + n}` }, { ip: from[n % addresses] as string }),
      )
      const seconds = (Date.now() - startedAt) / 1000
      await people.stop(siege.small ? 10_000 : 180_000)
      const odd = replies.filter(({ status }) => status !== 202 && status !== 429)
      siege.require(odd.length === 0, `answers of ${[...new Set(odd.map(({ status }) => status))]}`)
      const { refused, sent, verified } = people.told()
      siege.require(refused.length === 0, `${refused.length} honest people refused: ${refused[0]}`)
      const attacked = siege.world.vendor.received.filter(
        (sms) => sms.accepted && sms.phone < `+86${first + tries}` && sms.phone >= `+86${first}`,
      )
      const prefixes = Math.ceil(tries / 10_000)
      const hours = Math.ceil((seconds * FASTER) / 3600)
      return {
        tries,
        through: attacked.length,
        most: prefixes * atOnce('prefix') * hours,
        unit: 'SMS',
        aDay: `${perDay('prefix')} SMS for ten thousand numbers`,
        notes: [
          `${prefixes} prefixes in ${((seconds * FASTER) / 3600).toFixed(1)} h`,
          `of ${sent} people behind one address ${verified} verified and ${refused.length} were refused`,
        ],
      }
    },
  },
  {
    name: 'solutions',
    title: 'one solved challenge for many sends, forged ones, and ones of others',
    options: { challenge: 'on', limits: { cooldown: false } },
    optionsAre: 'challenge on, no cooldown',
    async run(siege) {
      const tries = siege.small ? 50 : 500
      const target = siege.newPhone()
      const address = siege.newIp()
      const { body } = await siege.send({ phone: target }, { ip: address })
      const puzzle = body.challenge as { puzzle: string; bits: number }
      const solution = await solve(puzzle)
      const [expires, , random, mac] = puzzle.puzzle.split('.')
      const easy = await solve({ puzzle: [expires, 1, random, mac].join('.'), bits: 1 })
      const sends = [
        () => siege.send({ phone: target, solution }, { ip: address }),
        () => siege.send({ phone: siege.newPhone(), solution }, { ip: address }),
        () => siege.send({ phone: target, solution }),
        () => siege.send({ phone: target, solution: easy }, { ip: address }),
      ]
      await many(tries, 50, (n) => (sends[n % sends.length] as (typeof sends)[0])())
      await settle()
      return { tries, through: siege.paid(), most: 1, unit: 'SMS' }
    },
  },
]
