/**
 * The worker half: takes jobs from RabbitMQ, asks the store what may be sent, and has a provider send it.
 *
 * Any number of consumers may run; `sms-verify-consumer` (cli.ts) is this function with a command line around it.
 */
import { Type } from '@sinclair/typebox'
import { pino } from 'pino'
import { type Counts, createDelivery } from './delivery.ts'
import { type Hooks, type ProviderAlert, safeHooks } from './hooks.ts'
import { type Logger, stdoutLines } from './log.ts'
import { withProgress } from './progress.ts'
import { createProviderHealth } from './provider-health.ts'
import { asChain, type ProviderChain } from './providers/chain.ts'
import type { SmsProvider } from './providers/provider.ts'
import type { AmqpAddress } from './queue/connection.ts'
import { MIN_REMAINING, QUEUE_PREFIX, RETRY, type Retry } from './queue/queue.ts'
import { connectSubscriber } from './queue/subscriber.ts'
import { createSecrets } from './secrets.ts'
import { warnOfPlaintext, warnOfTexts } from './start-checks.ts'
import {
  closeRedis,
  createRedisStore,
  isRedisClient,
  openRedis,
  type RedisAddress,
  type RedisClient,
  readyClient,
} from './store/redis.ts'
import type { Store } from './store/store.ts'
import { createComposer, type TextOptions, TextSchemas } from './text.ts'
import {
  AmqpSchema,
  checkOptions,
  checkSecret,
  expecting,
  FlagSchema,
  FunctionSchema,
  ProviderSchema,
  QueuePrefixSchema,
  RedisSchema,
  SecretSchema,
  whole,
  withDefaults,
} from './validate.ts'

export type { Counts } from './delivery.ts'
export type { Logger } from './log.ts'
export type { AmqpAddress } from './queue/connection.ts'
export type { Retry } from './queue/queue.ts'
export type { RedisAddress } from './store/redis.ts'

export interface ConsumerOptions extends TextOptions {
  /** A RabbitMQ URL, several to be tried in turn, or amqplib's connect options. */
  amqp: AmqpAddress
  /** A Redis URL, ioredis options, or an ioredis client of yours, which stays open when the consumer closes. */
  redis: RedisAddress | RedisClient
  /** The same as the plugin's. */
  secret: string | string[]
  /** Who sends the SMS: one provider, or several as `providerChain` puts them together. */
  provider: SmsProvider | ProviderChain
  /**
   * Whether the web half takes receipts: by what name a vendor knows an SMS is noted for them in Redis, for an hour.
   * @default false
   */
  receipts?: boolean
  /** Jobs in hand at once, 1 to 2000. More keeps a slow provider busier and costs memory. @default 64 */
  concurrency?: number
  /** Retries after `backoff · 2^(n-1)` seconds. Each delay is a queue of its own. @default { backoff: 3, max: 3 } */
  retry?: Partial<Retry>
  /**
   * What to do when an SMS may or may not have been sent, after a crash or a lost answer: send it again, or let it be.
   * A provider with an idempotency key is asked again in either case. @default 'at-least-once'
   */
  delivery?: 'at-least-once' | 'at-most-once'
  /** No SMS is sent with fewer seconds of its code's life left. @default 30 */
  minRemaining?: number
  /** What the names of the queues begin with, as in the plugin. @default 'sms-verify' */
  queuePrefix?: string
  /** A provider is not well, or refuses our account. Not waited for. */
  onAlert?: ((alert: ProviderAlert) => void | Promise<void>) | undefined
  /** One line of fields per event; no code and no full number is ever in it. @default pino to stdout */
  logger?: Logger
}

export interface Consumer {
  /** Takes no more jobs, finishes those in hand, closes its connections. */
  close(): Promise<void>
  /** Resolves when the consumer is closed. */
  closed: Promise<void>
  /** Which parts are up: a consumer works only while both are. */
  health(): { redis: boolean; amqp: boolean }
  /** How often each event of the log, `sms.sent` and the others, has happened since the start. */
  counts(): Counts
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a consumer. Rejects with `SMS_VERIFY_INVALID_OPTIONS`, or within seconds with the error that kept it from Redis or
 * RabbitMQ. Once started it survives their outages and goes on by itself.
 */
export async function startConsumer(options: ConsumerOptions): Promise<Consumer> {
  checkOptions(NAME, OptionsSchema, options)
  checkSecret(NAME, options.secret)
  const {
    amqp,
    provider,
    concurrency = 64,
    delivery: mode = 'at-least-once',
    receipts = false,
    minRemaining = MIN_REMAINING,
  } = options
  const { queuePrefix = QUEUE_PREFIX, logger = pino({}, stdoutLines()) } = options
  const chain = asChain(provider)
  const retry = withDefaults(RETRY, options.retry)

  const composer = createComposer(NAME, options)
  warnOfTexts(composer, { ...options, providers: chain.providers }, logger)
  warnOfPlaintext({ redis: options.redis, amqp }, logger)
  const store = await openStore(options.redis, logger)
  const secrets = createSecrets(options.secret)
  const { breaker } = chain
  const { onAlert } = safeHooks({ onAlert: options.onAlert as Hooks['onAlert'] }, logger)
  const health = createProviderHealth({ queue: queuePrefix, store, breaker, onAlert, logger })
  const delivery = createDelivery({
    queue: queuePrefix,
    store,
    secrets,
    chain,
    health,
    retry,
    delivery: mode,
    receipts,
    minRemaining,
    compose: composer.compose,
    logger,
  })
  const subscriber = await connectSubscriber(
    { amqp, queuePrefix, logger, retry, concurrency },
    withProgress(delivery, store, queuePrefix),
  ).catch(async (error) => {
    await store.close()
    throw error
  })
  logger.info(
    { event: 'consumer.started', provider: chain.name, concurrency, queuePrefix },
    'waiting for jobs',
  )

  let closed: () => void = () => {}
  let closing: Promise<void> | undefined
  async function close(): Promise<void> {
    // The subscriber first: what it has in hand still needs the store.
    await subscriber.close()
    await health.close()
    await store.close()
    logger.info({ event: 'consumer.closed' }, 'closed')
    closed()
  }
  const closeOnce = () => {
    closing ??= close()
    return closing
  }
  return {
    close: closeOnce,
    closed: new Promise((resolve) => {
      closed = resolve
    }),
    health: () => ({ redis: !closing && store.ready(), amqp: !closing && subscriber.ready() }),
    counts: () => ({ ...delivery.counts }),
    [Symbol.asyncDispose]: closeOnce,
  }
}

async function openStore(redis: RedisAddress | RedisClient, logger: Logger): Promise<Store> {
  if (isRedisClient(redis)) return createRedisStore(await readyClient(redis, logger))
  const client = await openRedis(redis, logger)
  return createRedisStore(client, () => closeRedis(client))
}

const NAME = 'startConsumer'

const LoggerSchema = expecting(
  Type.Object(
    Object.fromEntries(
      ['debug', 'info', 'warn', 'error'].map((level) => [level, Type.Function([], Type.Unknown())]),
    ),
  ),
  'a logger with debug, info, warn and error',
)

const OptionsSchema = Type.Object(
  {
    amqp: AmqpSchema,
    redis: RedisSchema,
    secret: SecretSchema,
    provider: ProviderSchema,
    receipts: Type.Optional(FlagSchema),
    onAlert: Type.Optional(FunctionSchema),
    concurrency: Type.Optional(whole(1, 2000)),
    retry: Type.Optional(
      expecting(
        Type.Object(
          {
            backoff: Type.Optional(
              expecting(Type.Number({ minimum: 0.1, maximum: 60 }), 'seconds from 0.1 to 60'),
            ),
            max: Type.Optional(whole(0, 6)),
          },
          { additionalProperties: false },
        ),
        'an object',
      ),
    ),
    delivery: Type.Optional(
      expecting(
        Type.Union([Type.Literal('at-least-once'), Type.Literal('at-most-once')]),
        "'at-least-once' or 'at-most-once'",
      ),
    ),
    minRemaining: Type.Optional(
      expecting(Type.Number({ minimum: 0, maximum: 600 }), 'seconds from 0 to 600'),
    ),
    ...TextSchemas,
    queuePrefix: Type.Optional(QueuePrefixSchema),
    logger: Type.Optional(LoggerSchema),
  },
  { additionalProperties: false, expected: 'an object of options' },
)
