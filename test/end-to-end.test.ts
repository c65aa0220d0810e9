/** The whole chain on real parts: HTTP, Redis, RabbitMQ, two consumer processes, and a stand-in for Ronglian. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { answerJson, vendorServer } from '../src/testing/index.ts'
import { openBroker } from './broker.ts'
import { startConsumerProcess } from './consumer-process.ts'
import { build, connected, newQueuePrefix, REDIS_URL, until } from './helper.ts'

const SENDS = 2000
const ACCOUNT_SID = '8a48b55100000000000000000000aaaa'
const AUTH_TOKEN = '0123456789abcdef0123456789abcdef'
const APP_ID = '8a48b55100000000000000000000bbbb'
const TEMPLATE_ID = '1'

test(`${SENDS} sends to ${SENDS} numbers are ${SENDS} calls of the provider, and each code verifies`, async (t) => {
  const queuePrefix = newQueuePrefix()
  const accepted = { statusCode: '000000', templateSMS: { smsMessageSid: 'f'.repeat(32) } }
  await using vendor = await vendorServer(answerJson(200, accepted))
  // Ten digits, so that a code found somewhere is no coincidence.
  const app = await build(t, connected({ queuePrefix, code: { length: 10 } }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sms`
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: answer.status, body: (await answer.json()) as Record<string, string> }
  }

  const first = 1_0000_0000 + Math.floor(Math.random() * 8e7)
  const phones = Array.from({ length: SENDS }, (_, i) => `+86139${String(first + i).slice(-8)}`)
  const ids = new Map<string, string>()
  await inParallel(phones, async (phone) => {
    const { status, body } = await post('/send', { phone })
    assert.equal(status, 202)
    ids.set(phone, body.id as string)
  })

  // With nobody consuming yet, everything that the queue ever holds can be read.
  const broker = await openBroker(t)
  await until('all are queued', async () => (await broker.depth(`${queuePrefix}.send`)) === SENDS)
  const queued: string[] = []
  await inParallel(phones, async () => {
    const message = await broker.channel.get(`${queuePrefix}.send`)
    assert.ok(message)
    queued.push(JSON.stringify([message.content.toString(), message.properties, message.fields]))
  })
  broker.channel.nackAll(true)
  const stored = await dump(t, [...ids.values()])

  const env = {
    RONGLIAN_ACCOUNT_SID: ACCOUNT_SID,
    RONGLIAN_AUTH_TOKEN: AUTH_TOKEN,
    RONGLIAN_APP_ID: APP_ID,
    RONGLIAN_TEMPLATE_ID: TEMPLATE_ID,
    RONGLIAN_BASE_URL: vendor.url,
  }
  const args = ['--provider', 'ronglian', '--queue-prefix', queuePrefix]
  const consumers = [startConsumerProcess(t, args, env), startConsumerProcess(t, args, env)]
  const sent = () =>
    consumers.map(({ lines }) => lines.filter(({ event }) => event === 'sms.sent').length)
  await until('all are sent', () => sent().reduce((a, b) => a + b) === SENDS, 60_000)
  assert.ok(
    sent().every((count) => count > 0),
    `both consumers took part: ${sent()}`,
  )

  assert.equal(vendor.requests.length, SENDS)
  const codes = new Map<string, string>()
  const keys = new Set<string>()
  for (const { method, path, headers, body } of vendor.requests) {
    const { to, datas, reqId, ...rest } = JSON.parse(body)
    const stamp = Buffer.from(String(headers.authorization), 'base64').toString().split(':')[1]
    const sig = createHash('md5').update(`${ACCOUNT_SID}${AUTH_TOKEN}${stamp}`).digest('hex')
    assert.equal(method, 'POST')
    assert.equal(
      path,
      `/2013-12-26/Accounts/${ACCOUNT_SID}/SMS/TemplateSMS?sig=${sig.toUpperCase()}`,
    )
    assert.equal(headers.accept, 'application/json')
    assert.equal(headers['content-type'], 'application/json;charset=utf-8')
    assert.deepEqual(rest, { appId: APP_ID, templateId: TEMPLATE_ID })
    assert.match(to, /^139\d{8}$/)
    assert.match(datas[0], /^\d{10}$/)
    assert.equal(datas[1], '5')
    assert.match(reqId, /^[A-Za-z0-9]{1,32}$/)
    codes.set(`+86${to}`, datas[0])
    keys.add(reqId)
  }
  assert.equal(codes.size, SENDS)
  assert.equal(keys.size, SENDS)

  stored.push(...(await dump(t, [...ids.values()])))
  const logs = consumers.map(({ output }) => output())
  for (const [where, texts] of Object.entries({ queued, stored, logs })) {
    const text = texts.join('\n')
    assert.ok(text.length > SENDS, `${where} was looked at`)
    const numbers = digits(text, 11)
    const tens = digits(text, 10)
    for (const [phone, code] of codes) {
      assert.ok(!numbers.has(phone.slice(3)), `a number in ${where}`)
      assert.ok(!tens.has(code), `a code in ${where}`)
    }
  }

  await inParallel([...codes], async ([phone, code]) => {
    const { status, body } = await post('/verify', { id: ids.get(phone) ?? '', code })
    assert.equal(status, 200)
    assert.match(body.proof as string, /^[\w-]{24}$/)
  })
})

async function inParallel<T>(items: T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const worker = async () => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await run(item)
  }
  await Promise.all(Array.from({ length: 50 }, worker))
}

/** Every stretch of that many digits in a text. */
function digits(text: string, length: number): Set<string> {
  const found = new Set<string>()
  for (const [run] of text.matchAll(/\d+/g)) {
    for (let i = 0; i + length <= run.length; i++) found.add(run.slice(i, i + length))
  }
  return found
}

/** Every key and value in the shards of these verifications, as text. */
async function dump(t: TestContext, ids: string[]): Promise<string[]> {
  const shards = new Set(ids.map((id) => id.slice(0, 2)))
  const redis = new Redis(REDIS_URL)
  t.after(() => redis.disconnect())
  const read: Record<string, (key: string) => Promise<unknown>> = {
    string: (key) => redis.get(key),
    hash: (key) => redis.hgetall(key),
    zset: (key) => redis.zrange(key, '0', '-1'),
  }
  const keys: string[] = []
  for await (const some of redis.scanStream({ match: 'sms-verify:*', count: 1000 })) {
    keys.push(...(some as string[]).filter((key) => shards.has(/\{(.*)\}/.exec(key)?.[1] ?? '')))
  }
  const texts: string[] = []
  await inParallel(keys, async (key) => {
    const value = await read[await redis.type(key)]?.(key)
    texts.push(`${key} ${JSON.stringify(value)}`)
  })
  return texts
}
