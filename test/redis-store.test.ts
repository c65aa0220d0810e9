import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { sealCode, sealPhone } from '../src/sealed.ts'
import { createSecrets } from '../src/secrets.ts'
import { createRedisStore, openRedis } from '../src/store/redis.ts'
import type { ClaimRequest, OutlookStore, Store } from '../src/store/store.ts'
import { createLog, until } from './helper.ts'
import { testProviderStore } from './provider-store-contract.ts'
import { startProxy } from './proxy.ts'
import { startRedis } from './services.ts'
import {
  claimOf,
  freePolicy,
  newRequest,
  random,
  redeemOf,
  resendOf,
  rightCheck,
  testStore,
  wrongCheck,
} from './store-contract.ts'

const { REDIS_URL } = process.env
if (!REDIS_URL) throw new Error('REDIS_URL: expected the URL of a Redis to test with, got nothing')

/** All keys of this run begin with it. */
const RUN = `test-${random(12)}:`

const clients: Redis[] = []

type ClientOptions = Omit<RedisOptions, 'replyMapping'>

async function client(options: ClientOptions = {}, changes: Partial<URL> = {}): Promise<Redis> {
  const { href } = Object.assign(new URL(REDIS_URL as string), changes)
  const redis = new Redis(href, { retryStrategy: () => null, ...options })
  redis.on('error', () => {})
  clients.push(redis)
  await once(redis, 'ready')
  return redis
}

/** Sees keys as they are, without a prefix. */
let raw: Redis
let redis: Redis

before(async () => {
  raw = await client()
  redis = await client({ keyPrefix: RUN })
})

after(async () => {
  await Promise.all((await keysOf(RUN)).map((key) => raw.del(key)))
  for (const each of clients) each.disconnect()
})

async function now(): Promise<number> {
  const [seconds, micros] = await raw.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

async function advance(ms: number): Promise<void> {
  const until = (await now()) + ms
  for (let left = ms; left > 0; left = until - (await now())) await sleep(left)
}

testStore('redis', async () => ({ store: createRedisStore(redis), now, advance }))
testProviderStore('redis', async () => ({ store: createRedisStore(redis), now, advance }))

/** A store whose keys are told apart by a prefix of their own. */
async function openStore(): Promise<{ store: Store & OutlookStore; prefix: string }> {
  const prefix = `${RUN}${random(12)}:`
  return { store: createRedisStore(await client({ keyPrefix: prefix })), prefix }
}

async function keysOf(prefix: string): Promise<string[]> {
  const keys: string[] = []
  let cursor = '0'
  do {
    const [next, page] = await raw.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', 1000)
    keys.push(...page)
    cursor = next
  } while (cursor !== '0')
  return keys
}

/** Everything that stands in Redis under the prefix, as text by key. */
async function dump(prefix: string): Promise<Map<string, string>> {
  const read = async (key: string): Promise<unknown> => {
    const type = await raw.type(key)
    if (type === 'hash') return raw.hgetall(key)
    return raw.get(key)
  }
  const entries = (await keysOf(prefix)).map(
    async (key) => [key, JSON.stringify(await read(key))] as const,
  )
  return new Map(await Promise.all(entries))
}

/** Runs every operation, so that every kind of key stands in Redis. `between` runs before each one. */
async function runAll(store: Store, between: () => unknown = () => {}) {
  const ran: Record<string, unknown> = {}
  const run = async <T>(name: keyof Store, operation: () => Promise<T>): Promise<T> => {
    await between()
    const answer = await operation()
    ran[name] = answer
    return answer
  }
  const budgets = [{ key: random(16), max: 5, window: 60_000, units: 1, share: 0 }]
  const queue = random(16)
  const verified = newRequest()
  const failing = newRequest()
  const live = newRequest()
  const check = rightCheck(verified)
  await run('spend', () => store.spend(budgets))
  await run('progress', () => store.progress(queue, 1))
  await run('refund', () => store.refund(budgets, 0))
  await run('issue', () => store.issue(verified, freePolicy))
  const claim = claimOf(verified)
  await run('claim', () => store.claim(claim))
  await run('complete', () => store.complete({ ...claim, result: 'sent' }))
  await run('check', () => store.check(check, freePolicy))
  const shard = verified.id.slice(0, 2)
  const redeem = redeemOf(check.proof, { shard })
  await run('redeem', () => store.redeem(redeem))
  await run('published', () => store.published({ id: verified.id, version: 1 }))
  await run('status', () => store.status(verified.id, freePolicy))
  await store.issue(failing, freePolicy)
  await store.check(wrongCheck(failing), freePolicy)
  const cancelled = claimOf(failing)
  await store.claim(cancelled)
  await run('cancel', () => store.cancel(failing.id))
  await store.complete({ ...cancelled, result: 'sent' })
  await store.issue(live, freePolicy)
  await store.issue(resendOf(live), freePolicy)
  const version = { id: live.id, version: 2, phone: live.phone }
  await run('retract', () => store.retract(version))
  await run('unlock', () => store.unlock(random(22)))
  await run('erase', () => store.erase(random(22)))
  return { ran, budgets, queue, verified, failing, live }
}

test('redis: Who is only refused leaves nothing behind.', async () => {
  const { store, prefix } = await openStore()
  const full = { key: 'full', window: 60_000, max: 1, share: 0.5, units: 1 }
  await store.spend([full])
  for (let n = 0; n < 50; n++) {
    const mine = { ...full, key: `address ${n}` }
    assert.equal((await store.spend([mine, full])).verdict, 'wait')
    await store.usage([mine])
    await store.refund([mine], Date.now(), false)
  }
  // The full one may have begun a new bucket meanwhile.
  const others = (await keysOf(prefix)).filter((key) => !key.includes(':b:full'))
  assert.deepEqual(others, [])
})

test('redis: All keys have a life but a count of failures.', async () => {
  const { store, prefix } = await openStore()
  const { failing } = await runAll(store)
  const keys = await keysOf(prefix)
  const kinds = new Set(keys.map((key) => /\}:(\w):/.exec(key)?.[1]))
  assert.deepEqual([...kinds].toSorted(), ['b', 'c', 'f', 'p', 'q', 'r', 'v'])
  const lives = await Promise.all(keys.map(async (key) => [key, await raw.pttl(key)] as const))
  assert.deepEqual(
    lives.filter(([, left]) => left <= 0).map(([key]) => key.slice(key.indexOf('}') + 2)),
    [`f:${failing.phone}`],
  )
})

test('redis: All keys of an operation are in one slot.', async () => {
  const { store, prefix } = await openStore()
  const { budgets, queue, ...requests } = await runAll(store)
  const { verified, failing, live } = requests
  for (const key of await keysOf(prefix)) {
    const [, tag, name] = /\{(.*?)\}:\w:(.*)/.exec(key.slice(prefix.length)) ?? []
    if (tag === 'budgets') assert.ok([budgets[0]?.key, queue].includes(name))
    else assert.ok([verified, failing, live].some(({ id }) => id.slice(0, 2) === tag))
    if (key.includes('}:v:') || key.includes('}:p:')) assert.equal(name?.slice(0, 2), tag)
  }
})

test('redis: The prefix of a client is kept, and none is needed.', async () => {
  const before = new Set(await keysOf('sms-verify:'))
  const { store, prefix } = await openStore()
  await runAll(store)
  const ours = await keysOf(prefix)
  assert.ok(ours.length > 0 && ours.every((key) => key.startsWith(`${prefix}sms-verify:{`)))

  const plain = createRedisStore(raw)
  const { verified, failing, live, budgets, queue } = await runAll(plain)
  const made = (await keysOf('sms-verify:')).filter((key) => !before.has(key))
  const names = [verified, failing, live].flatMap(({ id, phone }) => [id, phone])
  assert.ok(names.slice(1).every((name) => made.some((key) => key.endsWith(name))))
  for (const { phone } of [verified, failing, live]) await plain.erase(phone)
  await raw.del(`sms-verify:{budgets}:b:${budgets[0]?.key}`, `sms-verify:{budgets}:q:${queue}`)
  const left = await keysOf('sms-verify:')
  assert.ok(!left.some((key) => names.some((name) => key.endsWith(name))))
})

test('redis: What was counted before the clock was set back counts for one window more, and no longer.', async () => {
  const { store, prefix } = await openStore()
  const window = 60_000
  const budget = { key: random(8), window, max: 3, share: 0, units: 1 }
  const key = `${prefix}sms-verify:{budgets}:b:${budget.key}`
  const ahead = Math.floor((Date.now() + 3_600_000) / 1000)
  // The sum, the newest bucket and the units in it, then an older one.
  await raw.set(key, Buffer.from(new Float64Array([2, ahead, 1, ahead - 30, 1]).buffer))
  assert.equal((await store.spend([budget], false)).verdict, 'spent')
  const refused = await store.spend([budget], false)
  assert.ok(refused.verdict === 'wait' && refused.wait <= window + 2000, JSON.stringify(refused))
  assert.ok((await raw.pttl(key)) <= window + 2000)
})

test('redis: An erased number leaves no key.', async () => {
  const { store, prefix } = await openStore()
  const { verified, failing, live } = await runAll(store)
  for (const { phone } of [verified, failing, live]) await store.erase(phone)
  assert.deepEqual(
    (await keysOf(prefix)).filter((key) => !key.includes('{budgets}')),
    [],
  )
})

test('redis: What has been sent is forgotten, and a success leaves nothing of the code.', async () => {
  const { store, prefix } = await openStore()
  const holders = async (word: string) =>
    [...(await dump(prefix))].filter(([, value]) => value.includes(word)).map(([key]) => key)
  const request = newRequest()
  const resend = resendOf(request)
  await store.issue(request, freePolicy)
  await store.issue(resend, freePolicy)
  assert.equal((await holders(resend.code)).length, 1)
  const claim = claimOf(request, { version: 2 })
  await store.claim(claim)
  assert.deepEqual(await holders(request.code), [])
  assert.deepEqual(await holders(request.mac), [])
  await store.complete({ ...claim, result: 'retry' })
  assert.equal((await holders(resend.code)).length, 1)
  await store.claim({ ...claim, attempt: 2 })
  await store.complete({ ...claim, attempt: 2, result: 'failed' })
  assert.equal((await holders(resend.code)).length, 1)
  await store.claim({ ...claim, attempt: 3 })
  await store.complete({ ...claim, attempt: 3, result: 'sent' })
  assert.deepEqual(await holders(resend.code), [])
  assert.equal((await holders(resend.mac)).length, 1)

  const check = rightCheck(resend)
  await store.check(check, freePolicy)
  assert.deepEqual(await holders(resend.mac), [])
  const shard = request.id.slice(0, 2)
  assert.deepEqual(await holders(resend.sealedPhone), [
    `${prefix}sms-verify:{${shard}}:r:${check.proof}`,
  ])
})

test('redis: The log of a number is no longer than what its limits look back.', async () => {
  const { store, prefix } = await openStore()
  const policy = {
    ...freePolicy,
    ...{ ttl: 100, retention: 200, proofTtl: 100 },
    slowWindow: { max: 1, window: 100 },
  }
  const { phone } = newRequest()
  for (let i = 0; i < 5; i++) {
    await store.issue(newRequest({ phone }), policy)
    await advance(110)
  }
  const [number] = (await keysOf(prefix)).filter((key) => key.includes('}:p:'))
  const sends = (await raw.get(number as string))?.match(/:\d+"/g) ?? []
  assert.ok(sends.length <= 3, `${sends}`)
})

test('redis: What would become of an attempt can be asked, and nothing changes.', async () => {
  const { store, prefix } = await openStore()
  const request = newRequest()
  const outlook = (changes: Partial<ClaimRequest> = {}) =>
    store.outlook({ ...claimOf(request), grant: false, ...changes })
  assert.deepEqual(await outlook(), { verdict: 'unknown' })
  await store.issue(request, freePolicy)
  const state = async () =>
    Promise.all((await keysOf(prefix)).toSorted().map((key) => raw.dump(key)))
  const before = await state()
  const free = await outlook()
  assert.ok(free.verdict === 'free' && free.expiresIn > 59_000 && free.expiresIn <= freePolicy.ttl)
  assert.deepEqual(await outlook({ minRemaining: 60_000 }), { verdict: 'expired' })
  assert.deepEqual(await state(), before)

  const claim = claimOf(request)
  await store.claim(claim)
  assert.equal((await outlook({ attempt: 2 })).verdict, 'busy')
  await store.complete({ ...claim, result: 'failed' })
  assert.deepEqual(await outlook(), { verdict: 'done', result: 'failed' })
  assert.equal((await outlook({ attempt: 2 })).verdict, 'free')
  await store.issue(resendOf(request), freePolicy)
  assert.deepEqual(await outlook({ attempt: 2 }), { verdict: 'superseded' })
})

test('redis: What an operator grants is one more attempt.', async () => {
  const { store } = await openStore()
  const request = newRequest()
  await store.issue(request, freePolicy)
  const last = claimOf(request, { attempt: 4 })
  await store.claim(last)
  await store.complete({ ...last, result: 'failed' })
  const next = claimOf(request, { attempt: 5 })
  assert.equal((await store.claim(next)).verdict, 'done')
  assert.equal((await store.outlook({ ...next, grant: true })).verdict, 'free')
  assert.equal((await store.claim({ ...next, attempt: 6 })).verdict, 'done')
  assert.equal((await store.claim(next)).verdict, 'send')
  await store.complete({ ...next, result: 'failed' })
  assert.equal((await store.claim({ ...next, attempt: 6 })).verdict, 'done')
})

test('redis: A server that has forgotten the scripts gets them again.', async () => {
  const { store } = await openStore()
  const { ran } = await runAll(store, () => raw.script('FLUSH'))
  assert.deepEqual(Object.keys(ran).toSorted(), [
    ...[
      'cancel',
      'check',
      'claim',
      'complete',
      'erase',
      'issue',
      'progress',
      'published',
      'redeem',
      'refund',
      'retract',
    ],
    ...['spend', 'status', 'unlock'],
  ])
})

test('redis: A user who may run no other commands is enough.', async (t) => {
  const [username, password] = [`test-${random(12)}`, random(24)]
  const commands =
    '+del +eval +evalsha +exists +get +hdel +hget +hmget +incrby +hset +mget +pexpire +pexpireat +pttl ' +
    '+set +setrange +time +hello +info'
  await raw.acl('SETUSER', username, 'on', `>${password}`, `~${RUN}*`, ...commands.split(' '))
  t.after(() => raw.acl('DELUSER', username))
  const user = await client({ keyPrefix: RUN, disableClientInfo: true }, { username, password })
  await runAll(createRedisStore(user))
})

test('redis: A live verification with all that its number needs takes at most 700 bytes, and 750 while it is sent.', async (t) => {
  const store = createRedisStore(raw)
  const secrets = createSecrets(random(32))
  const phone = secrets.phoneMac('+8613800138000')
  const id = secrets.newId(phone)
  t.after(() => store.erase(phone))
  const request = newRequest({
    phone,
    id,
    purpose: 'default',
    mac: secrets.codeMac(id, '012345'),
    code: sealCode(secrets, id, {
      code: '012345',
      phone: '+8613800138000',
      country: 'CN',
      ttl: 300,
      locales: ['zh-CN', 'zh', 'en-US', 'en'],
    }),
    sealedPhone: sealPhone(secrets, id, '+8613800138000'),
    spent: { at: await now(), ip: secrets.subjectMac('203.0.113.7') },
  })
  async function memory(): Promise<number> {
    const keys = await keysOf(`sms-verify:{${phone.slice(0, 2)}}:`)
    const ours = keys.filter((key) => key.endsWith(id) || key.endsWith(phone))
    assert.equal(ours.length, 3)
    const sizes = await Promise.all(ours.map((key) => raw.memory('USAGE', key)))
    return sizes.reduce<number>((sum, bytes) => sum + Number(bytes), 0)
  }
  await store.issue(request, freePolicy)
  const sizes = [await memory()]
  const claim = claimOf(request)
  await store.claim(claim)
  sizes.push(await memory())
  await store.complete({ ...claim, result: 'sent' })
  for (let i = 0; i < 4; i++) await store.check(wrongCheck(request), freePolicy)
  sizes.push(await memory())
  const [issued = 0, claimed = 0, sent = 0] = sizes
  assert.ok(issued <= 700 && claimed <= 750 && sent <= 700, `${sizes}`)
})

test('redis: A client that is not connected is refused at once.', async () => {
  const waiting = new Redis(REDIS_URL as string, { lazyConnect: true })
  const store = createRedisStore(waiting)
  assert.equal(store.ready(), false)
  const late = new Promise((resolve) => setImmediate(resolve))
  const asked = Promise.race([store.status(newRequest().id, freePolicy), late])
  await assert.rejects(asked, /Redis is not connected \(wait\)/)

  const ended = await client()
  const closing = createRedisStore(ended, async () => ended.disconnect())
  assert.equal(closing.ready(), true)
  await closing.close()
  await once(ended, 'end')
  assert.equal(closing.ready(), false)
  await assert.rejects(closing.spend([]), /Redis is not connected \(end\)/)
})

test('redis: A server that stops answering is waited for a second.', async (t) => {
  const proxy = await startProxy(t, REDIS_URL)
  const { hostname, port } = new URL(proxy.url)
  const store = createRedisStore(await client({}, { hostname, port }))
  await store.spend([])
  proxy.mute = true
  const startedAt = performance.now()
  await assert.rejects(store.spend([]), /Redis did not answer within 1000 ms/)
  const took = performance.now() - startedAt
  assert.ok(took > 950 && took < 4000, `${took}`)
  assert.equal(store.ready(), true)
})

test('redis: A connection that has fallen silent is given up for a new one.', async (t) => {
  const proxy = await startProxy(t, REDIS_URL)
  const { lines, logger } = createLog()
  const opened = await openRedis(proxy.url, logger)
  t.after(() => opened.disconnect())
  const store = createRedisStore(opened)
  const answers = () => store.spend([]).then(Boolean, () => false)
  assert.equal(await answers(), true)
  // Neither side hears of an end.
  proxy.mute = true
  assert.equal(await answers(), false)
  await until('it is given up', () => lines.some(({ event }) => event === 'redis.lost'))
  proxy.mute = false
  await until('there is another one', answers)
  assert.equal(lines.at(-1)?.event, 'redis.connected')
})

test('redis: What cannot be written counts nowhere, and keeps no answer from those it was asked with.', async (t) => {
  const server = await startRedis()
  t.after(() => server.stop())
  const admin = new Redis(server.url)
  t.after(() => admin.disconnect())
  await once(admin, 'ready')
  const store = createRedisStore(admin)
  const budget = { key: 'all', max: 9, window: 60_000, units: 1, share: 0 }
  const purse = { budgets: [budget], soft: false, ip: '' }
  await store.issue(newRequest(), freePolicy, purse)

  await admin.config('SET', 'maxmemory', '1')
  const requests = [newRequest({ dryRun: true }), newRequest(), newRequest({ resend: true })]
  const settled = await Promise.allSettled(
    requests.map((request) => store.issue(request, freePolicy, purse)),
  )
  const said = settled.map((each) =>
    each.status === 'fulfilled' ? each.value.verdict : (each.reason as Error).message.slice(0, 3),
  )
  assert.deepEqual(said, ['free', 'OOM', 'gone'])
  await assert.rejects(store.issue(newRequest(), freePolicy, purse), /OOM/)

  await admin.config('SET', 'maxmemory', '0')
  assert.equal((await store.usage([budget])).budgets[0]?.unverified, 1)
})

test('redis: After a fail-over in place a client goes to the new master by itself.', async (t) => {
  const [old, next] = [await startRedis(), await startRedis()]
  t.after(() => Promise.all([old.stop(), next.stop()]))
  const proxy = await startProxy(t, old.url)
  const opened = await openRedis(proxy.url, createLog().logger)
  const store = createRedisStore(opened, async () => opened.disconnect())
  t.after(() => store.close())
  const request = newRequest()
  await store.issue(request, freePolicy)

  const [admin, nextAdmin] = [new Redis(old.url), new Redis(next.url)]
  t.after(() => [admin, nextAdmin].map((each) => each.disconnect()))
  await nextAdmin.replicaof('127.0.0.1', old.port)
  await until('it has all', async () => (await nextAdmin.dbsize()) === (await admin.dbsize()))
  await nextAdmin.replicaof('NO', 'ONE')
  await admin.replicaof('127.0.0.1', next.port)
  // The name leads to the new master; the open connection does not.
  proxy.target = next.url
  await assert.rejects(store.issue(newRequest(), freePolicy), /READONLY/)
  await until('it is there', async () =>
    store.issue(newRequest(), freePolicy).then(
      () => true,
      () => false,
    ),
  )
  assert.equal((await store.check(rightCheck(request), freePolicy)).verdict, 'verified')
})

test('redis: Opening waits until Redis is ready; an outage is two lines in the log.', async (t) => {
  const events: unknown[] = []
  const log = (fields: object) => events.push('event' in fields && fields.event)
  const opened = await openRedis(REDIS_URL, { debug: log, info: log, warn: log, error: log })
  const store = createRedisStore(opened, async () => opened.disconnect())
  t.after(() => store.close())
  assert.equal(store.ready(), true)
  await store.spend([])
  await raw.client('KILL', 'ID', await opened.client('ID'))
  await once(opened, 'ready')
  await store.spend([])
  assert.deepEqual(events, ['redis.lost', 'redis.connected'])
})

interface Failure {
  message: string
  ms: number
}

/** Opens in a process of its own: it ends by itself only if nothing is left open. */
async function openElsewhere(urls: string[]): Promise<Failure[]> {
  const module = import.meta.url.replace('test/redis-store.test', 'src/store/redis')
  const program = `
    import { openRedis } from ${JSON.stringify(module)}
    const startedAt = performance.now()
    const open = async (url) => {
      const { message } = await openRedis(url, console).catch((error) => error)
      return { message, ms: performance.now() - startedAt }
    }
    process.stdout.write(JSON.stringify(await Promise.all(${JSON.stringify(urls)}.map(open))))`
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', program],
    { stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000 },
  )
  const [output, [exit, signal]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  assert.deepEqual([exit, signal], [0, null])
  return JSON.parse(output)
}

test('redis: Opening fails in time with the reason, and leaves nothing open.', async (t) => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => sockets.push(socket))
  const closed = createServer()
  const closedPort = await listen(closed)
  await close(closed, [])
  t.after(() => close(silent, sockets))
  const ports = [closedPort, await listen(silent)]
  const failures = await openElsewhere(ports.map((port) => `redis://127.0.0.1:${port}`))
  assert.match(failures[0]?.message ?? '', /^cannot connect to Redis: .*ECONNREFUSED/)
  assert.match(failures[1]?.message ?? '', /^cannot connect to Redis: no answer within 3000 ms/)
  for (const { ms } of failures) assert.ok(ms < 5000, `${ms}`)
})

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function close(server: Server, sockets: Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
}
