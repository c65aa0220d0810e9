/** A publisher and a subscriber alone, each behind a proxy of its own, and what became of each job between them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../src/log.ts'
import { connectPublisher } from '../../src/queue/publisher.ts'
import {
  type Publisher,
  type PublishResult,
  RETRY,
  type Subscriber,
} from '../../src/queue/queue.ts'
import { connectSubscriber } from '../../src/queue/subscriber.ts'
import { openProxy, type Proxy as TcpProxy } from '../proxy.ts'
import { type Broker, openBroker } from './queues.ts'
import { eventually } from './world.ts'

export interface Sent {
  at: number
  result: PublishResult | undefined
  deliveredAt: number | undefined
}

export interface Pair {
  broker: Broker
  /** The publisher's and the subscriber's. */
  proxies: [TcpProxy, TcpProxy]
  jobs: Map<string, Sent>
  /** When a fault has last deleted the queues, and what was in them. */
  deletedAt: number | undefined
  /** Connects both, again and again until they are, as an init system would; answers how long the longest try took. */
  start(): Promise<number>
  /** Sends a job now and then until `stopSending`. */
  keepSending(): void
  stopSending(): Promise<void>
  ready(): boolean
  /** Answers after how many milliseconds both are closed. */
  close(): Promise<number>
  /** Ends the proxies and deletes the queues. */
  clear(): Promise<void>
}

/** Milliseconds between two jobs. */
const PAUSE = 100

/** Milliseconds, longer than all faults of a script together. */
const START_LIMIT = 120_000

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export async function openPair(url: string, queuePrefix: string): Promise<Pair> {
  const proxies: Pair['proxies'] = [await openProxy(url), await openProxy(url)]
  const broker = openBroker([url], queuePrefix)
  const jobs: Pair['jobs'] = new Map()
  const under = new Set<Promise<void>>()
  let publisher: Publisher | undefined
  let subscriber: Subscriber | undefined
  let sending: NodeJS.Timeout | undefined

  const options = (proxy: TcpProxy) => ({ amqp: proxy.url, queuePrefix, logger: SILENT })

  async function send(to: Publisher): Promise<void> {
    const id = String(jobs.size).padStart(24, 'A')
    const job: Sent = { at: Date.now(), result: undefined, deliveredAt: undefined }
    jobs.set(id, job)
    job.result = await to.publish({ id, version: 1 })
  }

  return {
    broker,
    proxies,
    jobs,
    deletedAt: undefined,
    async start() {
      const tries = await Promise.all([
        untilUp(async () => {
          publisher = await connectPublisher(options(proxies[0]))
        }),
        untilUp(async () => {
          subscriber = await connectSubscriber(
            { ...options(proxies[1]), retry: RETRY, concurrency: 10 },
            {
              async deliver({ id }) {
                const job = jobs.get(id)
                if (job) job.deliveredAt ??= Date.now()
                return { next: 'ack' }
              },
              unreadable: () => ({ next: 'ack' }),
            },
          )
        }),
      ])
      return Math.max(...tries)
    },
    keepSending() {
      sending = setInterval(() => {
        if (!publisher) return
        const one = send(publisher).finally(() => under.delete(one))
        under.add(one)
      }, PAUSE)
    },
    async stopSending() {
      clearInterval(sending)
      await Promise.all(under)
    },
    ready: () => Boolean(publisher?.ready() && subscriber?.ready()),
    async close() {
      const from = Date.now()
      await Promise.all([publisher?.close(), subscriber?.close()])
      return Date.now() - from
    },
    async clear() {
      for (const proxy of proxies) proxy.close()
      await insist(() => broker.deleteQueues())
    },
  }
}

/** Answers how long the longest try took. */
async function untilUp(connect: () => Promise<void>): Promise<number> {
  const deadline = Date.now() + START_LIMIT
  for (let longest = 0; ; await sleep(100)) {
    const from = Date.now()
    const up = await succeeds(connect)
    longest = Math.max(longest, Date.now() - from)
    if (up || Date.now() > deadline) return longest
  }
}

/** RabbitMQ closes a connection (541) that touches a queue which somebody else is just deleting or declaring. */
export const insist = (act: () => Promise<unknown>): Promise<boolean> =>
  eventually(() => succeeds(act), 5000)

const succeeds = (act: () => Promise<unknown>): Promise<boolean> =>
  act().then(
    () => true,
    () => false,
  )
