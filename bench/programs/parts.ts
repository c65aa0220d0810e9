/**
 * The parts that our promises need, with nothing around them: which seals are made and opened, what is hashed, and how often
 * Redis' scripts read and write. No rule is looked at, nothing is counted, and nobody could be verified by it.
 */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { type ChannelModel, connect } from 'amqplib'
import { Redis } from 'ioredis'
import { gatherWrites } from '../../src/gather-writes.ts'
import { parsePhone } from '../../src/phone.ts'
import { openCode, openPhone, sealCode, sealPhone } from '../../src/sealed.ts'
import { createSecrets, newCode, tokenHash } from '../../src/secrets.ts'
import { SECRET } from './options.ts'

const secrets = createSecrets(SECRET)

const IP = '127.0.0.1'

/** A number is parsed, it and what is known of it are turned into pseudonyms, and it is sealed beside a code. */
export function makeSend(text: string) {
  const { e164, country } = parsePhone(text, { countries: ['CN'] })
  const id = secrets.newId(secrets.phoneMac(e164))
  for (const subject of [IP, e164.slice(0, -4)]) secrets.subjectMac(subject)
  const code = newCode(6)
  secrets.codeMac(id, code)
  const sealedCode = sealCode(secrets, id, { code, country, ttl: 300, locales: [] })
  return { id, sealedPhone: sealPhone(secrets, id, e164), sealedCode }
}

/** A code is turned into its MAC, an address into a pseudonym, and a proof is made. */
export function makeCheck(id: string, code: string): string[] {
  return [secrets.codeMac(id, code), secrets.subjectMac(IP), tokenHash(secrets.newId(id))]
}

export type Sealed = ReturnType<typeof makeSend>

export const SEALED: Sealed = makeSend('+8613800138000')

/** What a consumer opens. */
export function open({ id, sealedPhone, sealedCode }: Sealed): string {
  return openPhone(secrets, id, sealedPhone) + openCode(secrets, id, sealedCode).code
}

/** The clock; the verification, the number and seven budgets read; all of them and the code written. */
export const ISSUE = `
redis.call('TIME')
redis.call('HMGET', KEYS[1] .. 'v', 'phone', 'purpose', 'version', 'key', 'status', 'published', 'spent')
redis.call('GET', KEYS[1] .. 'p')
local budgets = {}
for i = 1, 7 do budgets[i] = 'parts:b:' .. i end
redis.call('MGET', unpack(budgets))
for i = 1, 7 do redis.call('SETRANGE', budgets[i], 0, ARGV[4]) end
redis.call('HSET', KEYS[1] .. 'v', 'phone', ARGV[1], 'purpose', 'default', 'version', '1', 'status', 'queued', 'spent', ARGV[4])
redis.call('PEXPIRE', KEYS[1] .. 'v', '900000')
redis.call('SET', KEYS[1] .. 'c', ARGV[2] .. ARGV[3], 'PX', '300000')
redis.call('SET', KEYS[1] .. 'p', ARGV[1], 'PX', '86400000')
return 'issued'`

/** The clock; the verification, the code, the number and a budget read; all but the code written. */
export const CHECK = `
redis.call('TIME')
redis.call('HMGET', KEYS[1] .. 'v', 'phone', 'nonces')
redis.call('GET', KEYS[1] .. 'c')
redis.call('GET', KEYS[1] .. 'p')
redis.call('GET', KEYS[1] .. 'b')
redis.call('HSET', KEYS[1] .. 'v', 'nonces', ARGV[1])
redis.call('SET', KEYS[1] .. 'p', ARGV[2])
redis.call('SETRANGE', KEYS[1] .. 'b', 0, ARGV[3])
return 'wrong'`

/** Before and after a call of a provider: the verification and the code read and written. */
export const CLAIM = `
redis.call('TIME')
redis.call('HMGET', KEYS[1] .. 'v', 'version', 'status', 'purpose', 'attempt', 'holder', 'lease', 'result', 'receipt')
redis.call('GET', KEYS[1] .. 'c')
redis.call('PTTL', KEYS[1] .. 'c')
redis.call('HSET', KEYS[1] .. 'v', 'attempt', '1', 'holder', ARGV[1], 'lease', ARGV[2], 'status', 'sending')
redis.call('SET', KEYS[1] .. 'c', ARGV[3], 'KEEPTTL')
return ARGV[3]`

/** Runs a script on keys that begin with the first argument. */
export async function scriptRunner(url: string): Promise<Run> {
  const redis = new Redis(url, { lazyConnect: true })
  redis.on('connect', () => gatherWrites(redis.stream as Socket))
  await redis.connect()
  return (lua, key, ...args) => {
    const sha = shas.get(lua) ?? createHash('sha1').update(lua).digest('hex')
    shas.set(lua, sha)
    return redis.evalsha(sha, 1, key, ...args).catch(() => redis.eval(lua, 1, key, ...args))
  }
}

type Run = (lua: string, key: string, ...args: string[]) => Promise<unknown>

const shas = new Map<string, string>()

/** Publishes a job to a quorum queue, and waits for the confirm. */
export async function publisher(
  url: string,
  queue: string,
): Promise<(id: string) => Promise<void>> {
  const connection = await connect(url, { noDelay: true })
  gatherWrites(socketOf(connection))
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const headers = { 'x-attempt': 1 }
  return (id) =>
    new Promise((resolve, reject) => {
      const content = Buffer.from(JSON.stringify({ v: 1, id, version: 1 }))
      const options = { persistent: true, mandatory: true, messageId: `${id}:1:1`, headers }
      channel.publish('', queue, content, options, (error) => (error ? reject(error) : resolve()))
    })
}

export const socketOf = (connection: ChannelModel): Socket =>
  (connection.connection as unknown as { stream: Socket }).stream
