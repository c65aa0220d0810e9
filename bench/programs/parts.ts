/**
 * The parts that our promises need, with nothing around them: which seals are made and opened, what is hashed, and how often
 * Redis' scripts read and write. No rule is looked at, nothing is counted, and nobody could be verified by it.
 */
import type { Socket } from 'node:net'
import { type ChannelModel, connect } from 'amqplib'
import { Redis } from 'ioredis'
import { parsePhone } from '../../src/phone.ts'
import { gatherWrites } from '../../src/queue/gather-writes.ts'
import { openCode, sealCode, sealPhone } from '../../src/sealed.ts'
import { createSecrets, newCode, tokenHash } from '../../src/secrets.ts'
import { createAsk } from '../../src/store/ask.ts'
import { type Script, script } from '../../src/store/script.ts'
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
  const sealedCode = sealCode(secrets, id, { code, phone: e164, country, ttl: 300, locales: [] })
  return { id, sealedPhone: sealPhone(secrets, id, e164), sealedCode }
}

/** A code is turned into its MAC, an address into a pseudonym, and a proof is made. */
export function makeCheck(id: string, code: string): string[] {
  return [secrets.codeMac(id, code), secrets.subjectMac(IP), tokenHash(secrets.newId(id))]
}

type Sealed = ReturnType<typeof makeSend>

export const SEALED: Sealed = makeSend('+8613800138000')

/** What a consumer opens. */
export const open = ({ id, sealedCode }: Sealed) => openCode(secrets, id, sealedCode)

/** For those that are asked together, which have them in common: so many budgets read and written. */
const withBudgets = (count: number) => `
at_end = function()
  local budgets = {}
  for i = 1, ${count} do budgets[i] = 'parts:b:' .. i end
  redis.call('MGET', unpack(budgets))
  for _, k in ipairs(budgets) do redis.call('SETRANGE', k, '0', 'abcdefghijklmnopqrstuvwx') end
end
`

/** The clock and seven budgets; the verification and the number read; both and the code written. */
export const ISSUE = script(
  { id: 'text', sealedPhone: 'text', sealedCode: 'text', counter: 'text' },
  [withBudgets(7)],
  `
redis.call('HGET', key('v', a.id), 'phone')
redis.call('MGET', key('p', a.id), key('f', a.id))
redis.call('HSET', key('v', a.id), 'phone', a.id, 'purpose', 'default', 'version', '1', 'status', 'queued', 'spent', a.counter)
redis.call('PEXPIRE', key('v', a.id), '900000')
redis.call('SET', key('c', a.id), a.sealedCode .. a.sealedPhone, 'PX', '300000')
redis.call('SET', key('p', a.id), a.counter, 'PX', '86400000')
return '"issued"'`,
)

/** The clock and a budget; the verification and the code read; the verification and a count of failures written. */
export const CHECK = script(
  { id: 'text', mac: 'text', subject: 'text', proof: 'text' },
  [withBudgets(1)],
  `
redis.call('HMGET', key('v', a.id), 'phone', 'nonces')
redis.call('GET', key('c', a.id))
redis.call('INCRBY', key('f', a.id), '1')
redis.call('HSET', key('v', a.id), 'nonces', a.mac)
return '"wrong"'`,
)

/** Before a call of a provider: the clock; the verification and the code read, the verification written. */
export const CLAIM = script(
  { id: 'text', holder: 'text', sealedCode: 'text' },
  [],
  `
redis.call('HMGET', key('v', a.id), 'version', 'status', 'purpose', 'attempt', 'granted', 'by', 'receipt')
redis.call('GET', key('c', a.id))
redis.call('PTTL', key('c', a.id))
redis.call('HSET', key('v', a.id), 'attempt', '1', 'holder', a.holder, 'lease', '1790000000000', 'again', '0', 'status', 'sending')
return cjson.encode(a.sealedCode)`,
)

/** After it: the same read, and both written. */
export const COMPLETE = script(
  { id: 'text', sealedPhone: 'text' },
  [],
  `
redis.call('HMGET', key('v', a.id), 'version', 'attempt', 'holder', 'status', 'receipt')
redis.call('HSET', key('v', a.id), 'result', 'sent', 'status', 'sent')
redis.call('GET', key('c', a.id))
redis.call('SET', key('c', a.id), a.sealedPhone, 'KEEPTTL')
return '"recorded"'`,
)

/** Asks scripts as we do, those of one turn together, on keys that begin with `parts:`. */
export async function asker(url: string) {
  const redis = new Redis(url, { lazyConnect: true })
  await redis.connect()
  const { together } = createAsk(redis)
  return <Name extends string>(
    script: Script<Name>,
    request: { readonly [name in Name]: string },
  ) => together(script, ['parts:'], request)
}

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
