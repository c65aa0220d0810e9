/** The same work by BullMQ: jobs in Redis, a worker of concurrency 64. */
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { post } from './post.ts'
import { countTo, ready, settings } from './program.ts'

const { redis, queuePrefix, vendor } = settings
const connection = new Redis(redis, { maxRetriesPerRequest: null })
const queue = new Queue(queuePrefix, { connection })

ready('', {
  async fill({ jobs }) {
    const body = { v: 1, id: 'NdsvqT-I4G6YKoJsbwfkTNz-', version: 1 }
    const one = { name: 'send', data: body, opts: { removeOnComplete: true } }
    await queue.addBulk(Array.from({ length: jobs }, () => one))
  },
  async drain({ jobs }) {
    const counter = countTo(jobs)
    const worker = new Worker(queuePrefix, () => post(vendor), {
      connection: connection.duplicate(),
      concurrency: 64,
    })
    worker.on('completed', () => counter.add(1))
    const drained = await counter.reached
    await worker.close()
    return drained
  },
})
