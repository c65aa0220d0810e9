/**
 * `app.register(smsVerify, options)`: routes to send and verify a code, and `app.smsVerify` for the host's own use.
 *
 * Read on in routes.ts, verification.ts, store/store.ts and queue/queue.ts; then consumer.ts and delivery.ts for the
 * half that sends.
 */
import fastifyRedis from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createBacklog, longestWait } from './backlog.ts'
import { createBudgets } from './budgets.ts'
import { createChallenge } from './challenge.ts'
import { startEmbedded } from './embedded.ts'
import { invalidOptions } from './errors.ts'
import { type SafeHooks, safeHooks } from './hooks.ts'
import { effectiveLimits } from './limits.ts'
import { maskPhone } from './mask.ts'
import {
  CODE_LENGTH,
  checkPluginOptions,
  isEmbedded,
  NAME,
  PREFIX,
  PURPOSES,
  policyOf,
  type SmsVerifyOptions,
} from './options.ts'
import { parsePhone } from './phone.ts'
import { createProviderHealth } from './provider-health.ts'
import { BREAKER } from './providers/chain.ts'
import { connectPublisher } from './queue/publisher.ts'
import { MIN_REMAINING, type Publisher, QUEUE_PREFIX } from './queue/queue.ts'
import { createReceiptDesk } from './receipts/desk.ts'
import { registerReceiptRoutes } from './receipts/routes.ts'
import { registerRoutes } from './routes.ts'
import { createSchemas } from './schemas.ts'
import { sealCode, sealPhone } from './sealed.ts'
import { createSecrets, newCode, type Secrets } from './secrets.ts'
import { checkTrustProxy, warnOfPlaintext } from './start-checks.ts'
import { failClosed } from './store/fail-closed.ts'
import {
  closeRedis,
  createRedisStore,
  isRedisClient,
  openRedis,
  readyClient,
} from './store/redis.ts'
import type { Policy, VerificationStore } from './store/store.ts'
import { createTestCodes } from './test-numbers.ts'
import { createTurns, REQUESTS_IN_A_TURN } from './turns.ts'
import { askStatus, createVerification, type SmsVerify } from './verification.ts'
import { createWatcher } from './watcher.ts'

export type { SmsVerifyError, SmsVerifyErrorCode } from './errors.ts'
export { isSmsVerifyError } from './errors.ts'
export type { Alert, BeforeSendContext, BeforeSendVerdict, Hooks } from './hooks.ts'
export type { BudgetLimit, Limit, LimitsOptions } from './limits.ts'
export { LIMITS } from './limits.ts'
export type { SmsVerifyOptions } from './options.ts'
export type { Job } from './queue/queue.ts'
export type { RouteOptions } from './routes.ts'
export type { FailureReason, Status } from './store/store.ts'
export type { TestNumber } from './test-numbers.ts'
export type {
  Redeemed,
  SendRequest,
  SendResult,
  SmsVerify,
  StatusResult,
  VerifyRequest,
  VerifyResult,
} from './verification.ts'

declare module 'fastify' {
  interface FastifyInstance {
    smsVerify: SmsVerify
  }
}

/** Registers the routes under `prefix` and decorates the instance with `smsVerify`. */
export const smsVerify = fp<SmsVerifyOptions>(plugin, {
  name: 'fastify-sms-verify',
  fastify: '5.x',
})
export default smsVerify

async function plugin(app: FastifyInstance, options: SmsVerifyOptions): Promise<void> {
  checkPluginOptions(options)
  if (options.routes !== false) checkTrustProxy(app)
  warnOfPlaintext({ redis: options.redis, amqp: options.amqp }, app.log)
  const { purposes = PURPOSES, countries, defaultCountry } = options
  const queue = options.queuePrefix ?? QUEUE_PREFIX
  const limits = effectiveLimits(options.limits)
  const codeLength = options.code?.length ?? CODE_LENGTH
  const schemas = createSchemas(purposes, codeLength)
  const secrets = createSecrets(options.secret)
  const policy = policyOf(options)
  if (!isEmbedded(options) && policy.ttl <= MIN_REMAINING * 1000) {
    const about = { event: 'options.ttl', ttl: policy.ttl / 1000, minRemaining: MIN_REMAINING }
    app.log.warn(about, 'such codes are sent only by a consumer with a smaller minRemaining')
  }
  const hooks = safeHooks(options, app.log)
  const { store: bareStore, publisher } = isEmbedded(options)
    ? openEmbedded(app, options, hooks)
    : { store: await openStore(app, options), publisher: await openPublisher(app, options) }
  const store = failClosed(bareStore, app.log)
  const backlog = createBacklog({
    publisher,
    store: bareStore,
    queue,
    longest: longestWait(policy.ttl),
    logger: app.log,
  })
  app.addHook('onClose', () => backlog.close())

  const phonePolicy = { countries, defaultCountry }
  const sources = options.receipts ?? []
  const { onAlert } = hooks
  const health = createProviderHealth({ queue, store, breaker: BREAKER, onAlert, logger: app.log })
  const receipts = createReceiptDesk({ sources, store, health, logger: app.log })
  app.addHook('onReady', async () => receipts.startPulling())
  app.addHook('onClose', () => receipts.close())
  const budgets = createBudgets({ limits, store, secrets, hooks, logger: app.log })
  const verification = createVerification({
    store,
    publisher,
    secrets,
    backlog,
    budgets,
    challenge: createChallenge({ when: options.challenge ?? 'off', store, budgets, secrets }),
    hooks,
    receipts,
    policy,
    phonePolicy,
    testCode: createTestCodes(options.testNumbers ?? [], {
      where: NAME,
      codeLength,
      phonePolicy,
      logger: app.log,
    }),
    schemas,
    // All by itself, the process has nobody to keep busy.
    turn: createTurns(isEmbedded(options) ? Number.POSITIVE_INFINITY : REQUESTS_IN_A_TURN),
    purposes,
    codeLength,
    shadow: limits.mode === 'shadow',
    logger: app.log,
  })
  app.decorate('smsVerify', verification)
  app.addHook('onReady', () => warmUp(bareStore, secrets, policy))

  if (options.routes === false) return
  // Of the bare store: its outages are no line in the log for each question.
  const watcher = createWatcher((id) => askStatus(bareStore, id, policy))
  // Not onClose, which is when all answers have ended.
  app.addHook('preClose', async () => watcher.close())
  // A scope of its own: its hooks, parsers and error handler stay inside, and a prefix would not apply to the plugin
  // itself, which decorates its parent.
  await app.register(
    async (scope) =>
      registerRoutes(scope, verification, watcher, schemas, options.routeOptions ?? {}),
    { prefix: options.prefix ?? PREFIX },
  )
  await app.register(async (scope) => registerReceiptRoutes(scope, sources, receipts), {
    prefix: options.prefix ?? PREFIX,
  })
}

/**
 * The first parsing, sealing and asking of the store take several times as long as all later ones: not at a person's cost.
 * Leaves no trace; and a store that is down now does not keep the app from starting.
 */
async function warmUp(store: VerificationStore, secrets: Secrets, policy: Policy): Promise<void> {
  const number = '+8613800138000'
  const { e164, country } = parsePhone(number, { countries: 'all', defaultCountry: undefined })
  const phone = secrets.phoneMac(e164)
  const id = secrets.newId(phone)
  const about = { phone: maskPhone(e164), country, ttl: policy.ttl / 1000, locales: [] }
  const sealed = { code: newCode(CODE_LENGTH), ...about }
  const request = {
    ...{ id, phone, resend: false, key: '', purpose: '', trusted: false, spent: null },
    mac: secrets.codeMac(id, sealed.code),
    code: sealCode(secrets, id, sealed),
    sealedPhone: sealPhone(secrets, id, about.phone),
  }
  await Promise.all([
    store.spend([]),
    store.issue({ ...request, dryRun: true }, policy),
    store.status(id, policy),
  ]).catch(() => {})
}

interface Parts {
  store: VerificationStore
  publisher: Publisher
}

function openEmbedded(
  app: FastifyInstance,
  options: SmsVerifyOptions,
  hooks: Pick<SafeHooks, 'onAlert'>,
): Parts {
  const parts = startEmbedded(options, hooks, app.log)
  app.addHook('onClose', () => parts.publisher.close())
  app.log.warn(
    { event: 'embedded' },
    'verifications are kept in memory: for development, or for one process',
  )
  return parts
}

/** The store on a client that somebody else opened, or on one of ours that is closed with the app. */
async function openStore(
  app: FastifyInstance,
  { redis }: SmsVerifyOptions,
): Promise<VerificationStore> {
  if (redis === undefined) return createRedisStore(await readyClient(hostClient(app), app.log))
  if (isRedisClient(redis)) return createRedisStore(await readyClient(redis, app.log))
  const client = await openRedis(redis, app.log)
  // Not by @fastify/redis, whose own closing fails the host's when Redis is down.
  app.addHook('onClose', () => closeRedis(client))
  if (!app.hasDecorator('redis')) {
    // Inside a scope, so that the host can still register @fastify/redis for itself.
    await app.register(async (scope) => {
      await scope.register(fastifyRedis, { client })
    })
  }
  return createRedisStore(client)
}

function hostClient(app: FastifyInstance) {
  const client: unknown = app.hasDecorator('redis') ? app.redis : undefined
  if (isRedisClient(client)) return client
  throw new invalidOptions(
    'smsVerify: redis: expected a URL, ioredis options, or @fastify/redis registered before, got undefined',
  )
}

async function openPublisher(app: FastifyInstance, options: SmsVerifyOptions): Promise<Publisher> {
  const { amqp, queuePrefix = QUEUE_PREFIX } = options
  const publisher = await connectPublisher({
    amqp: amqp as NonNullable<typeof amqp>,
    queuePrefix,
    logger: app.log,
  })
  app.addHook('onClose', () => publisher.close())
  return publisher
}
