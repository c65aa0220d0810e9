/**
 * For comparison, a consumer as a Celery worker is by default: it acknowledges a job before it does it, and keeps what is
 * to be tried again in its memory. All else is ours.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { pino } from 'pino'
import { providerNamed } from '../../src/cli-provider.ts'
import { createDelivery } from '../../src/delivery.ts'
import { createProviderHealth } from '../../src/provider-health.ts'
import { asChain } from '../../src/providers/chain.ts'
import { decodeJob, type Job, MIN_REMAINING, RETRY, retryDelays } from '../../src/queue/queue.ts'
import { declareQueues, sendQueue } from '../../src/queue/topology.ts'
import { createSecrets } from '../../src/secrets.ts'
import { createRedisStore, openRedis } from '../../src/store/redis.ts'
import { createComposer } from '../../src/text.ts'

const {
  REDIS_URL = '',
  AMQP_URL = '',
  SMS_VERIFY_SECRET = '',
  SMS_PROVIDER = '',
  SMS_QUEUE_PREFIX = '',
  SMS_CONCURRENCY,
} = process.env

const logger = pino()
const delays = retryDelays(RETRY)
const store = createRedisStore(await openRedis(REDIS_URL, logger))
const chain = asChain(await providerNamed(SMS_PROVIDER, process.env))
const queue = SMS_QUEUE_PREFIX
const { deliver } = createDelivery({
  ...{ queue, store, chain, receipts: false },
  health: createProviderHealth({ queue, store, breaker: false, onAlert: () => {}, logger }),
  secrets: createSecrets(SMS_VERIFY_SECRET),
  retry: RETRY,
  delivery: 'at-least-once',
  minRemaining: MIN_REMAINING,
  compose: createComposer('early', {}).compose,
  logger,
})

const connection = await connect(AMQP_URL)
const channel = await connection.createConfirmChannel()
await declareQueues(channel, SMS_QUEUE_PREFIX, delays)
await channel.prefetch(Number(SMS_CONCURRENCY))
await channel.consume(sendQueue(SMS_QUEUE_PREFIX), (message) => {
  if (!message) return
  channel.ack(message)
  const job = decodeJob(message.content)
  if (job) void run(job, 1)
})
logger.info({ event: 'consumer.started' }, 'waiting for jobs')

async function run(job: Job, attempt: number): Promise<void> {
  const disposition = await deliver(job, attempt)
  if (disposition.next !== 'retry') return
  await sleep((delays[disposition.step - 1] as number) * 1000)
  await run(job, disposition.attempt)
}
