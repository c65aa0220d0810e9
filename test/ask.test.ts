import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createAsk } from '../src/store/ask.ts'
import { createRedisStore } from '../src/store/redis.ts'
import { script } from '../src/store/script.ts'
import { REDIS_URL } from './helper.ts'
import { claimOf, freePolicy, newRequest, random } from './store-contract.ts'

/** Answers what it was asked, and how many were asked at once; fails where it is to. */
const echo = script(
  { text: 'text', fails: 'flag' },
  [],
  `
if a.fails then return redis.call('GET', prefix, 'too many') end
return cjson.encode({ text = a.text, key = prefix, together = #KEYS })
`,
)
interface Echo {
  text: string
  key: string
  together: number
}

let redis: Redis

before(async () => {
  redis = new Redis(REDIS_URL)
  await once(redis, 'ready')
})
after(() => redis.disconnect())

const asked = (text: string, fails = false) => ({ text, fails })

test('What is asked in one turn is answered together, each with its own.', async () => {
  const { together } = createAsk(redis)
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((text) => together<Echo, string>(echo, [`key ${text}`], asked(text))),
  )
  assert.deepEqual(
    answers,
    ['a', 'b', 'c'].map((text) => ({ text, key: `key ${text}`, together: 3 })),
  )
  assert.equal((await together<Echo, string>(echo, ['key'], asked('d'))).together, 1)
})

test('Sixteen do not wait for the end of the turn, and the next ones are asked after them.', async () => {
  const { together } = createAsk(redis)
  const answers = Array.from({ length: 20 }, (_, i) =>
    together<Echo, string>(echo, ['key'], asked(String(i))),
  )
  const counts = (await Promise.all(answers)).map((answer) => answer.together)
  assert.deepEqual(counts, [...Array(16).fill(16), ...Array(4).fill(4)])
})

test('A text that would move the ones behind it is not asked with.', async () => {
  const { together } = createAsk(redis)
  const ask = (text: unknown) => together<Echo, string>(echo, ['key'], { text, fails: false })
  for (const text of ['a\0b', ['\0'], ['a', 'b'], 5]) {
    await assert.rejects(ask(text), { message: 'text: expected a text without a zero byte' })
  }
  for (const text of ['', null, undefined]) assert.equal((await ask(text)).text, '')
})

test('What is asked alone is asked alone.', async () => {
  const { alone } = createAsk(redis)
  const [one, other] = await Promise.all(
    ['a', 'b'].map((text) => alone<Echo, string>(echo, ['key'], asked(text))),
  )
  assert.deepEqual([one?.together, other?.together], [1, 1])
})

test('A script that Redis has forgotten is told again.', async () => {
  const { together } = createAsk(redis)
  const unknown = script(
    { text: 'text', fails: 'flag' },
    [],
    `return cjson.encode({ text = '${random(20)}' .. a.text })`,
  )
  const [one, other] = await Promise.all(
    ['a', 'b'].map((text) => together<Echo, string>(unknown, ['key'], asked(text))),
  )
  assert.match(`${one?.text} ${other?.text}`, /^.{20}a .{20}b$/)
})

test('What one of them leads to is its own: the others are answered.', async () => {
  const { together } = createAsk(redis)
  const [one, failed, other] = await Promise.allSettled([
    together<Echo, string>(echo, ['key'], asked('a')),
    together<Echo, string>(echo, ['key'], asked('b', true)),
    together<Echo, string>(echo, ['key'], asked('c')),
  ])
  assert.equal(one?.status === 'fulfilled' && one.value.text, 'a')
  assert.equal(other?.status === 'fulfilled' && other.value.text, 'c')
  assert.match(String(failed?.status === 'rejected' && failed.reason), /wrong number of arg/i)
})

test('Where all fail the command does, so that the client hears of it; each request has run once.', async () => {
  const { together } = createAsk(redis)
  const counting = script(
    { text: 'text', fails: 'flag' },
    [],
    `redis.call('INCR', prefix) return redis.call('GET', prefix, 'too many')`,
  )
  const key = `test-${random(12)}`
  const both = ['a', 'b'].map((text) => together<Echo, string>(counting, [key], asked(text)))
  for (const result of await Promise.allSettled(both)) {
    assert.equal(result.status === 'rejected' && result.reason.name, 'ReplyError')
  }
  assert.equal(await redis.getdel(key), '2')
})

test('A broken record of one verification is no matter of those that are claimed along with it.', async (t) => {
  const store = createRedisStore(redis)
  const requests = Array.from({ length: 3 }, () => newRequest())
  for (const request of requests) await store.issue(request, freePolicy)
  const [first, broken, last] = requests.map((request) => claimOf(request))
  const key = `sms-verify:{${broken?.id.slice(0, 2)}}:c:${broken?.id}`
  await redis.del(key)
  await redis.hset(key, 'not', 'a string')
  t.after(() => redis.del(key))
  const claims = [first, broken, last].flatMap((claim) => (claim ? [store.claim(claim)] : []))
  const results = await Promise.allSettled(claims)
  assert.deepEqual(
    results.map((each) => (each.status === 'fulfilled' ? each.value.verdict : 'failed')),
    ['send', 'failed', 'send'],
  )
})

test('Without a connection nothing is kept for later.', async () => {
  const lost = new Redis(REDIS_URL)
  await once(lost, 'ready')
  const { together, alone } = createAsk(lost)
  const waiting = together(echo, ['key'], asked('a'))
  lost.disconnect()
  await assert.rejects(waiting)
  await nextTurn()
  await assert.rejects(together(echo, ['key'], asked('b')), /Redis is not connected/)
  await assert.rejects(alone(echo, ['key'], asked('c')), /Redis is not connected/)
})
