/** A web server and a consumer under attack, over real sockets, with everything that they say kept for the canary scan. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Programs } from '../faults/build.ts'
import { createClient, type Question, type RawAnswer, readJson } from '../faults/client.ts'
import { type Chance, chanceFrom } from '../faults/random.ts'
import { SETTING } from '../faults/row.ts'
import { createWorld, eventually, type World } from '../faults/world.ts'
import type { Attack } from './attack.ts'

/** Where a request comes from: the load balancer of this machine says so. */
export interface From {
  /** The address that the load balancer saw. */
  ip?: string
  headers?: Record<string, string>
}

export interface Reply {
  status: number
  body: Record<string, unknown>
}

export interface Siege extends AsyncDisposable {
  world: World
  /** Whether this is the shortened selection. */
  small: boolean
  chance: Chance
  ask(question: Omit<Question, 'port'> & From): Promise<RawAnswer>
  /** These ask again when it cannot be done just now, as on a busy machine: what gets through is the question, not how soon. */
  send(body: object, from?: From): Promise<Reply>
  verify(body: object, from?: From): Promise<Reply>
  status(id: string): Promise<Reply>
  /** A mobile number that was not used before, of a prefix that hardly another has. */
  newPhone(): string
  newIp(): string
  /** All numbers and codes that must not be found anywhere, besides those of the vendor. */
  secrets: { phones: Set<string>; codes: Set<string> }
  /** Begins a verification as an honest person does, from an address of its own. */
  begin(phone?: string, from?: From): Promise<Begun>
  /** The newest code that the vendor took for a number. */
  codeOf(phone: string): Promise<string>
  /** SMS that the vendor took, and has to be paid for. */
  paid(): number
  /** Says that something is not as it must be. */
  require(isSo: boolean, what: string): void
  problems: string[]
  /** Every answer, with its headers. */
  answers: string[]
}

export interface Begun {
  id: string
  phone: string
  code: string
}

/** Ten digits, so that what looks like a code in the canary scan is one. No guess is ever right by chance, either. */
const CODE = { length: 10, ttl: 300 }

/** Milliseconds that an SMS may take on a slow machine that is under attack. */
const PATIENCE = 30_000

export interface SiegeOptions {
  programs: Programs
  amqp: string
  small: boolean
}

export async function openSiege(attack: Attack, options: SiegeOptions): Promise<Siege> {
  const world = await createWorld(options.programs, [{ url: options.amqp }], {
    ...SETTING,
    consumers: 1,
    proxied: true,
    durable: false,
    options: { code: CODE, ...attack.options },
    logLevel: { server: attack.logLevel ?? 'trace', consumer: 'trace' },
  })
  for (const { links } of [...world.servers, ...world.consumers]) if (links) links.amqp.heard = []
  world.vendor.treat = () => ({ accept: true, after: 5 })
  // An attack asks what gets through, not how soon: on a busy machine a broker's confirm can take seconds.
  const client = createClient(30_000)
  const [port] = world.ports as [number]
  const answers: string[] = []
  const problems: string[] = []
  const secrets: Siege['secrets'] = { phones: new Set(), codes: new Set() }
  const chance = chanceFrom(1)
  let addresses = 0

  async function ask({ ip, headers, ...question }: Parameters<Siege['ask']>[0]) {
    const forwarded = [headers?.['x-forwarded-for'], ip ?? siege.newIp()].filter(Boolean).join(', ')
    const answer = await client.ask({
      ...question,
      port,
      headers: { ...headers, 'x-forwarded-for': forwarded },
    })
    answers.push(JSON.stringify(answer.headers), answer.text)
    return answer
  }

  const post =
    (path: string) =>
    async (body: object, { headers, ...from }: From = {}) => {
      const json = { 'content-type': 'application/json', ...headers }
      return patiently({ path, body: JSON.stringify(body), headers: json, ...from })
    }

  async function patiently(question: Parameters<Siege['ask']>[0]): Promise<Reply> {
    for (let left = 10; ; left--) {
      const reply = readJson(await ask(question))
      if (reply.status !== 503 || left === 0) return reply
      await sleep(1000)
    }
  }

  const siege: Siege = {
    world,
    small: options.small,
    chance,
    ask,
    send: post('/sms/send'),
    verify: post('/sms/verify'),
    status: (id) => patiently({ method: 'GET', path: `/sms/${id}` }),
    newPhone() {
      const phone = `+86139${String(chance.between(0, 99_999_999)).padStart(8, '0')}`
      if (secrets.phones.has(phone)) return siege.newPhone()
      secrets.phones.add(phone)
      return phone
    },
    secrets,
    newIp() {
      const n = addresses++
      return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`
    },
    async begin(phone = siege.newPhone(), from) {
      const before = smsTo(phone)
      // What a page does, so that the same send is meant when it is asked for again.
      const headers = { ...from?.headers, 'idempotency-key': randomUUID() }
      const { status, body } = await siege.send({ phone }, { ...from, headers })
      if (status !== 202) throw new Error(`an honest send was answered with ${status}`)
      if (!(await eventually(() => smsTo(phone) > before, PATIENCE))) throw new Error('no SMS')
      return { id: String(body.id), phone, code: await siege.codeOf(phone) }
    },
    async codeOf(phone) {
      const newest = () => world.vendor.received.findLast((sms) => sms.phone === phone)?.code
      await eventually(() => newest() !== undefined, PATIENCE)
      return newest() ?? ''
    },
    paid: () => world.vendor.received.filter(({ accepted }) => accepted).length,
    require(isSo, what) {
      if (!isSo) problems.push(what)
    },
    problems,
    answers,
    async [Symbol.asyncDispose]() {
      client.close()
      await world[Symbol.asyncDispose]()
    },
  }

  const smsTo = (phone: string) =>
    world.vendor.received.filter((sms) => sms.phone === phone && sms.accepted).length
  return siege
}

/** Runs so many at once until all are done. */
export async function many<T>(
  count: number,
  atOnce: number,
  run: (index: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const worker = async () => {
    while (next < count) {
      const index = next++
      results[index] = await run(index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
  return results
}

/** How many have that status. */
export const having = (status: number, replies: { status: number }[]): number =>
  replies.filter((reply) => reply.status === status).length

/** Until what was accepted is sent. */
export const settle = (): Promise<void> => sleep(1000)
