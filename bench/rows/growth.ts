/** Whether it gets slower with what lives in Redis or waits in RabbitMQ; and how much of it there is. */
import { Redis } from 'ioredis'
import { startRedis } from '../../test/services.ts'
import { loadChecks, sendMany, sendToCheck } from '../load.ts'
import { emptyQueues, fill, messageSize, publishMany } from '../queue.ts'
import { createSideBySide, type Row, row, SHORT_WARM_UP, warmed } from '../row.ts'
import type { Running, World } from '../world.ts'
import { rate } from './consumer.ts'

const FASTER_THAN = { share: { least: 0.9 } }

const lineFor = (title: string, unit: string, against: string) => ({
  title,
  unit,
  against,
  target: FASTER_THAN,
})

export const sizeRow: Row = row({
  name: 'size',
  lines: {
    keys: {
      title: 'a live verification in Redis with what is kept of its number, by `MEMORY USAGE`',
      unit: 'bytes',
      target: { value: { most: 700 } },
    },
    growth: {
      title: 'the same by the growth of `used_memory`, with Redis’ tables of keys and expiries',
      unit: 'bytes',
    },
    message: {
      title: 'a message in the queue: body, properties, headers',
      unit: 'bytes',
      target: { value: { most: 150 } },
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const redis = await emptyRedis(world)
    const web = await world.start('web', { queuePrefix, redis })
    await fill(web, 1)
    const message = await messageSize(world.rabbitmq.url, `${queuePrefix}.send`)
    const before = await memoryOf(redis)
    const keys = await copyVerifications(redis, world.many)
    const growth = ((await memoryOf(redis)) - before) / world.many
    // The same in each round.
    return async () => ({
      keys: { ours: keys },
      growth: { ours: growth },
      message: { ours: message },
    })
  },
})

/** So many times `many`. Of Redis' databases, the one of that number keeps them. */
const SIZES = [1, 10]

const FEW = 'with none but what is sent meanwhile'

export const livesRow: Row = row({
  name: 'live',
  times: 5,
  lines: Object.fromEntries(
    SIZES.flatMap((size) => {
      const beside = `with ${size === 1 ? '10⁵' : '10⁶'} live verifications in Redis`
      return [
        [`send ${size}`, lineFor(`\`POST /sms/send\` ${beside}`, 'requests/s', FEW)],
        [`check ${size}`, lineFor(`\`POST /sms/verify\` ${beside}`, 'requests/s', FEW)],
      ]
    }),
  ),
  async prepare(world) {
    // One process of each kind for all of them, since no two are equally fast: what is there is exchanged.
    const url = await emptyRedis(world)
    const redis = new Redis(url)
    world.after(async () => redis.disconnect())
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix, redis: url })
    const swap = async (size: number) => size > 0 && (await redis.swapdb(0, size))
    for (const size of SIZES) {
      await fill(web, 1)
      await copyVerifications(url, size * world.many)
      await swap(size)
    }
    const ratesOf = async (size: number) => {
      await swap(size)
      const sends = await sendToCheck(web.url, world.checks)
      const checks = await loadChecks(web.url, sends.ids)
      await swap(size)
      return { send: sends.rate, check: checks.rate }
    }
    const sizes = Object.fromEntries([0, ...SIZES].map((size) => [String(size), size]))
    const sideBySide = createSideBySide()
    const round = async () => {
      const rates = await sideBySide(sizes, ratesOf)
      // Nobody consumes, and RabbitMQ should not have more to keep in each round; nor Redis, where there is none.
      await emptyQueues(world.rabbitmq.url, `${queuePrefix}.send`)
      await redis.flushdb()
      const figure = (size: number, what: 'send' | 'check') => ({
        ours: rates[size]?.[what] ?? Number.NaN,
        other: rates[0]?.[what] ?? Number.NaN,
      })
      return Object.fromEntries(
        SIZES.flatMap((size) => [
          [`send ${size}`, figure(size, 'send')],
          [`check ${size}`, figure(size, 'check')],
        ]),
      )
    }
    return warmed(round, SHORT_WARM_UP)
  },
})

export const waitingRow: Row = row({
  name: 'waiting',
  times: 5,
  lines: {
    send: lineFor('`POST /sms/send` with 10⁵ messages in the queue', 'requests/s', FEW),
    consumer: lineFor('consumer, the same, no-op provider', 'messages/s', FEW),
  },
  async prepare(world) {
    const jobs = world.jobs / 2
    // One for both, since no two processes are equally fast. A sender has no other queue than its own.
    const consumer = await world.start('consumer')
    const start = async (): Promise<Side> => {
      const queuePrefix = world.newPrefix()
      return { sender: await world.start('web', { queuePrefix }), consumed: queuePrefix }
    }
    const none = await start()
    const many = await start()
    await publishMany(world.rabbitmq.url, `${many.consumed}.send`, world.many)
    // Another queue to consume: where consumers have been seen to do little, sends are refused for what waits. In front of those that
    // wait, of which nothing is known, so that nothing is sent for them.
    many.consumed = world.newPrefix()
    const filler = await world.start('web', { queuePrefix: many.consumed })
    await fill(filler, (SHORT_WARM_UP + world.rounds) * (jobs + SPARE))
    await publishMany(world.rabbitmq.url, `${many.consumed}.send`, world.many)
    const sideBySide = createSideBySide()
    const round = async () => {
      const done = await sideBySide({ none, many }, async ({ sender, consumed }) => {
        const { rate: sends } = await sendMany(sender.url, jobs)
        if (sender === none.sender) await fill(sender, SPARE)
        const drained = await consumer.ask('drain', { jobs, queuePrefix: consumed })
        return { sends, messages: rate(drained) }
      })
      await emptyQueues(world.rabbitmq.url, `${none.consumed}.send`)
      return {
        send: { ours: done.many.sends, other: done.none.sends },
        consumer: { ours: done.many.messages, other: done.none.messages },
      }
    }
    return warmed(round, SHORT_WARM_UP)
  },
})

interface Side {
  sender: Running
  /** Prefix of a queue. */
  consumed: string
}

/** A consumer has more in hand than it is asked for, and finishes that when it is told to stop. */
const SPARE = 250

async function emptyRedis(world: World): Promise<string> {
  const service = await startRedis()
  world.after(() => service.stop())
  return service.url
}

async function memoryOf(url: string): Promise<number> {
  const redis = new Redis(url)
  const info = await redis.info('memory')
  redis.disconnect()
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1])
}

const COPIES_AT_ONCE = 5000

/**
 * Copies of one that there is, made by Redis itself: so many sends would take minutes. Of the same size, and as long to live.
 * Answers the bytes of one.
 */
async function copyVerifications(url: string, count: number): Promise<number> {
  const redis = new Redis(url)
  const [one] = await redis.keys('sms-verify:*:c:*')
  if (!one) throw new Error('expected a verification to copy')
  const [folder, id] = one.split(':c:') as [string, string]
  const phone = await redis.hget(`${folder}:v:${id}`, 'phone')
  const keys = [one, `${folder}:v:${id}`, `${folder}:p:${phone}`]
  const script = `
    for n = ARGV[1], ARGV[2] do
      for _, key in ipairs(KEYS) do redis.call('COPY', key, string.sub(key, 1, -9) .. string.format('%08d', n)) end
    end`
  for (let from = 0; from < count; from += COPIES_AT_ONCE) {
    const to = Math.min(from + COPIES_AT_ONCE, count) - 1
    await redis.eval(script, keys.length, ...keys, from, to)
  }
  const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key)))
  redis.disconnect()
  return sizes.reduce<number>((sum, bytes) => sum + Number(bytes), 0)
}
