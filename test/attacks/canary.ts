/** The canary scan: no code and no full number in anything that a siege has left, printed, sent or answered. */
import { Redis } from 'ioredis'
import { createClient } from '../faults/client.ts'
import type { Attack } from './attack.ts'
import { many, type Siege, settle } from './siege.ts'

/** Where a code or a number was found, with the place around it. */
export async function scan(siege: Siege): Promise<{ bytes: number; hits: string[] }> {
  const { world } = siege
  const { received } = world.vendor
  const codes = new Set([...siege.secrets.codes, ...received.map(({ code }) => code)])
  const numbers = [...siege.secrets.phones, ...received.map(({ phone }) => phone)]
  const phones = new Set(numbers.map((number) => number.slice(1)))
  const nationals = new Set(numbers.map((number) => number.slice(3)))
  const encoded = new Set([...codes].flatMap(encodings))
  const needles = { codes, phones, nationals, encoded }
  // What the vendor was told is what must be found, in whatever shape.
  const shapes = (text: string) => [text, `1${text}`, `x${text}y`, base64(`a${text}`), base64(text)]
  for (const { code, phone } of received) {
    const missed = [...shapes(code), phone, phone.slice(3)].filter(
      (shape) => find(`{"leak":"${shape}"}`, needles).length === 0,
    )
    siege.require(missed.length === 0, `the scan does not see ${missed[0]}`)
  }
  const hits: string[] = []
  let bytes = 0
  for (const [where, texts] of Object.entries(await everything(siege))) {
    for (const text of texts) {
      bytes += text.length
      hits.push(...find(text, needles).map((place) => `${where}: …${place}…`))
    }
  }
  return { bytes, hits }
}

const base64 = (text: string) => Buffer.from(text).toString('base64url')

async function everything(siege: Siege): Promise<Record<string, string[]>> {
  const { world } = siege
  const programs = [...world.servers, ...world.consumers]
  const heard = programs.map(({ links }) => Buffer.concat(links?.amqp.heard ?? []))
  return {
    log: programs.flatMap(({ lines, others }) => [JSON.stringify(lines), ...others]),
    answer: siege.answers,
    AMQP: heard.map((all) => all.toString('latin1')),
    Redis: await dump(world.redis.url),
    'dead queue': (await world.broker.takeDead()).map(
      ({ content, properties }) => `${content} ${JSON.stringify(properties)}`,
    ),
    metrics: await metrics(world.healthPorts),
  }
}

interface Needles {
  codes: Set<string>
  phones: Set<string>
  nationals: Set<string>
  /** Codes as they stand in Base64, wherever in a text. */
  encoded: Set<string>
}

const CODE_LENGTH = 10

/** What of a code in Base64 does not depend on what is before and behind it, for the three ways it can lie there. */
const ENCODED_LENGTH = 12
const encodings = (code: string): string[] =>
  [0, 1, 2].map((shift) => {
    const text = Buffer.from('x'.repeat(shift) + code).toString('base64')
    const first = Math.ceil((shift * 8) / 6)
    return text.slice(first, first + ENCODED_LENGTH)
  })

/** A time in milliseconds has thirteen digits, ten of which may be a code by chance. */
const isTime = (run: string): boolean => /^1[78]\d{11}$/.test(run)

/** By runs of digits: a code of ten, a number of thirteen or eleven, wherever in a longer one; and by runs of Base64. */
function find(text: string, { codes, phones, nationals, encoded }: Needles): string[] {
  const parts = (run: string, length: number) =>
    Array.from({ length: Math.max(0, run.length - length + 1) }, (_, i) => run.slice(i, i + length))
  const around = (run: string, index: number) =>
    text.slice(Math.max(0, index - 60), index + run.length + 20)
  const plain = [...text.matchAll(/\d{10,}/g)].flatMap(({ 0: run, index }) => {
    const found =
      (!isTime(run) && parts(run, CODE_LENGTH).some((part) => codes.has(part))) ||
      parts(run, 13).some((part) => phones.has(part)) ||
      parts(run, 11).some((part) => nationals.has(part))
    return found ? [around(run, index)] : []
  })
  const hidden = [...text.matchAll(/[A-Za-z0-9+/_-]{12,}/g)].flatMap(({ 0: run, index }) =>
    parts(run, ENCODED_LENGTH).some((part) => encoded.has(part)) ? [around(run, index)] : [],
  )
  return [...plain, ...hidden]
}

/** All keys with all that is in them. */
async function dump(url: string): Promise<string[]> {
  const redis = new Redis(url)
  const texts: string[] = []
  for await (const keys of redis.scanStream({ count: 1000 })) {
    for (const key of keys as string[]) {
      const type = await redis.type(key)
      const value =
        type === 'hash'
          ? await redis.hgetall(key)
          : type === 'zset'
            ? await redis.zrange(key, '0', '-1')
            : await redis.get(key)
      texts.push(`${key} ${JSON.stringify(value)}`)
    }
  }
  redis.disconnect()
  return texts
}

async function metrics(ports: number[]): Promise<string[]> {
  const client = createClient()
  const answers = await Promise.all(
    ports.flatMap((port) =>
      ['/metrics', '/ready'].map((path) => client.ask({ port, path, method: 'GET' })),
    ),
  )
  client.close()
  return answers.map(({ text }) => text)
}

const TEST = { phone: '+8613900000000', code: '4711471147' }

/** Everything that can happen to a code, so that the scan has something to find. */
export const CANARY: Attack = {
  name: 'canary',
  title: 'canary scan while codes are queued, refused, retried, dead, guessed at and verified',
  options: { testNumbers: [TEST] },
  optionsAre: 'a test number',
  async run(siege) {
    const { world } = siege
    const each = siege.small ? 10 : 100
    siege.secrets.phones.add(TEST.phone)
    siege.secrets.codes.add(TEST.code)
    const [consumer] = world.consumers as [(typeof world.consumers)[0]]
    let bytes = 0
    let hits = 0
    const look = async (when: string) => {
      const found = await scan(siege)
      bytes += found.bytes
      hits += found.hits.length
      for (const hit of found.hits.slice(0, 3)) siege.require(false, `${when}, ${hit}`)
    }

    // Queued, and nobody there to send.
    await consumer.kill('SIGKILL')
    const queued = Array.from({ length: each }, () => siege.newPhone())
    await many(each, 10, (n) => siege.send({ phone: queued[n] }))
    const { body } = await siege.send({ phone: TEST.phone })
    await siege.verify({ id: body.id, code: TEST.code })
    await look('queued')
    await consumer.start()

    // Refused once and for good, some too late to be known.
    world.vendor.treat = ({ phone, nth }) => {
      if (phone.endsWith('1')) return { accept: false, final: true, after: 5 }
      if (phone.endsWith('2')) return { accept: nth > 0, after: 5 }
      if (phone.endsWith('3') && nth === 0) return { accept: true, after: Number.POSITIVE_INFINITY }
      return { accept: true, after: 5 }
    }
    const endings = Array.from(
      { length: each },
      (_, n) => `${siege.newPhone().slice(0, -1)}${n % 10}`,
    )
    const sent = await many(each, 10, (n) => siege.send({ phone: endings[n] }))
    await settle()
    await many(each, 10, async (n) => {
      const { id } = (sent[n] as (typeof sent)[0]).body
      const code = world.vendor.received.findLast(({ phone }) => phone === endings[n])?.code
      if (!code) return
      await siege.verify({ id, code: '0000000000' })
      await siege.verify({ id, code })
      await siege.send({ phone: endings[n], id })
      await siege.status(String(id))
    })
    await look('sent, retried, dead and verified')

    // Redis and RabbitMQ away: errors quote what they were doing.
    for (const { links } of [...world.servers, ...world.consumers]) {
      links?.redis.cut()
      links?.amqp.cut()
    }
    await many(each, 10, () => siege.send({ phone: siege.newPhone() }))
    await world.redis.kill()
    await many(10, 10, () => siege.send({ phone: siege.newPhone() }))
    await world.redis.restart()
    await settle()
    await look('after faults')
    const tries = world.vendor.received.length
    const notes = [
      `${(bytes / 1e6).toFixed(1)} MB of logs, answers, AMQP, Redis, dead letters and metrics`,
    ]
    return { tries, through: hits, most: 0, unit: 'codes or numbers found', notes }
  },
}
