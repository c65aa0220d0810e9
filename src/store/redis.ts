/** The store in Redis, for any number of web and worker processes. */
import { type Cluster, Redis, type RedisOptions } from 'ioredis'
import { withDeadline } from '../deadline.ts'
import { invalidOptions } from '../errors.ts'
import type { Logger } from '../log.ts'
import { shardOf, tokenHash } from '../secrets.ts'
import { COMMAND_TIMEOUT, createAsk, type RedisClient } from './ask.ts'
import { progress, refund, spend, unitsOf, usage, withRules } from './budget-scripts.ts'
import * as delivery from './delivery-scripts.ts'
import * as health from './health-scripts.ts'
import * as receipts from './receipt-scripts.ts'
import type { Script } from './script.ts'
import * as scripts from './scripts.ts'
import { withPolicy } from './scripts.ts'
import { inSteps } from './steps.ts'
import {
  type Budget,
  type HealthVerdict,
  type MessageState,
  type OutlookStore,
  RECEIPTS,
  type SendPurse,
  type Store,
  type Taken,
} from './store.ts'

export type { RedisClient } from './ask.ts'

/** Where Redis is: a URL or ioredis options. */
export type RedisAddress = string | Omit<RedisOptions, 'replyMapping'>

/** Milliseconds in which Redis says nothing although it was asked, after which the connection is given up as dead. */
const SILENCE = 3000

/** Longest wait for the first connection, in milliseconds: well inside Fastify's own 10 s for a plugin. */
const START_TIMEOUT = 3000

const PREFIX = 'sms-verify:'

/** The slot of what is counted over all numbers. */
const BUDGETS = 'budgets'
const BUDGET_PREFIX = `${PREFIX}{${BUDGETS}}:b:`

export function createRedisStore(
  redis: RedisClient,
  close?: () => Promise<void>,
): Store & OutlookStore {
  const { alone, together } = createAsk(redis)
  /** On the keys of the shard. */
  const run = <Answer, Name extends string>(
    script: Script<Name>,
    shard: string,
    request: { readonly [name in Name]?: unknown },
  ): Promise<Answer> => alone(script, [prefixOf(shard)], request)

  const store: Store & OutlookStore = {
    ready: () => redis.status === 'ready',
    close: async () => close?.(),

    async spend(budgets, softBudgets) {
      const request = { units: unitsOf(budgets), softBudgets }
      const verdict: Awaited<ReturnType<Store['spend']>> = await alone(
        withRules(spend, budgets),
        keysOf(BUDGETS, budgets),
        request,
      )
      return verdict.verdict === 'wait' ? verdict : withLists(verdict)
    },
    refund: (budgets, at, verified) =>
      alone(withRules(refund, budgets), keysOf(BUDGETS, budgets), {
        ...{ units: unitsOf(budgets), at, verified },
      }),
    async usage(budgets) {
      const answer: Awaited<ReturnType<Store['usage']>> = await alone(
        withRules(usage, budgets),
        keysOf(BUDGETS, budgets),
        {},
      )
      return { ...answer, budgets: answer.budgets ?? [] }
    },
    useOnce: (use) => run(scripts.useOnce, shardOf(use.phone), use),
    progress: (queue, more) => run(progress, BUDGETS, { queue, more }),
    async issue(request, policy, purse) {
      const { budgets, soft: softBudgets, ip } = purse ?? NO_PURSE
      const verdict: Awaited<ReturnType<Store['issue']>> = await together(
        withRules(withPolicy(scripts.issue, policy), budgets),
        keysOf(shardOf(request.id), budgets),
        { softBudgets, ip, units: unitsOf(budgets), ...request },
      )
      if ('taken' in verdict && verdict.taken) withLists(verdict.taken)
      return verdict
    },
    published: (version) => run(scripts.published, shardOf(version.id), version),
    retract: (version) => run(scripts.retract, shardOf(version.id), version),
    async check(request, policy, purse) {
      const { budgets, soft: softBudgets } = purse ?? NO_PURSE
      const verdict: Awaited<ReturnType<Store['check']>> = await together(
        withRules(withPolicy(scripts.check, policy), budgets),
        keysOf(shardOf(request.id), budgets),
        { softBudgets, units: unitsOf(budgets), ...request },
      )
      if (verdict.verdict === 'verified') verdict.spent ??= []
      return verdict
    },
    redeem: (request) => run(scripts.redeem, request.shard, request),
    status: (id, policy) => run(withPolicy(scripts.status, policy), shardOf(id), { id }),
    cancel: (id) => run(scripts.cancel, shardOf(id), { id }),
    unlock: (phone) => run(scripts.unlock, shardOf(phone), { phone }),
    erase: (phone) => run(scripts.erase, shardOf(phone), { phone }),
    claim: (request) => together(delivery.claim, keysOf(shardOf(request.id)), request),
    outlook: (request) =>
      run(delivery.claim, shardOf(request.id), { ...request, again: true, dryRun: true }),
    complete: (request) => together(delivery.complete, keysOf(shardOf(request.id)), request),

    async noteReceipt(name, state) {
      const hash = tokenHash(name)
      return run(receipts.noteReceipt, shardOf(hash), { name: hash, state, ...RECEIPTS })
    },
    async noteSent(name, sent) {
      const hash = tokenHash(name)
      const noted = { name: hash, sent, ...RECEIPTS }
      const { state }: { state?: MessageState } = await run(receipts.noteSent, shardOf(hash), noted)
      return state
    },
    receive: (sent, state) => run(receipts.receive, shardOf(sent.id), { ...sent, state }),
    async reportHealth(queue, reports, rules) {
      const counted = { queue, reports, rules }
      const { open, changed }: Partial<HealthVerdict> = await run(
        health.reportHealth,
        BUDGETS,
        counted,
      )
      return { open: open ?? [], changed: changed ?? [] }
    },
    probe: (breaker) => run(health.probe, BUDGETS, breaker),
    takeTurn: (line) => run(health.takeTurn, BUDGETS, line),
  }
  // A cluster has the numbers and the budgets in different slots, and a script keeps to one.
  return redis.isCluster ? { ...store, ...inSteps(store) } : store
}

const prefixOf = (shard: string): string => `${PREFIX}{${shard}}:`

/** Of a request that takes from budgets. */
const keysOf = (shard: string, budgets: readonly Budget[] = []): string[] => [
  prefixOf(shard),
  ...budgets.map(({ key }) => `${BUDGET_PREFIX}${key}`),
]

const NO_PURSE: SendPurse = { budgets: [], soft: false, ip: '' }

/** Lua cannot tell an empty list from an empty object, so it leaves it out. */
function withLists<T extends Taken>(taken: T): T {
  taken.reached ??= []
  taken.over ??= []
  return taken
}

/**
 * Opens a client that fails fast and never runs a script twice by itself, and waits until it is ready. Rejects after
 * 3 s with the error that kept it from connecting; once open it comes back by itself after every outage.
 */
export async function openRedis(address: RedisAddress, logger: Logger): Promise<Redis> {
  const safe = {
    lazyConnect: true,
    // After a cut nobody knows whether a script ran: the caller decides, not the client.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: START_TIMEOUT,
    // A firewall that has forgotten a connection ends it for neither side.
    socketTimeout: SILENCE,
    retryStrategy: (times: number) => Math.min(times * 50, 1000),
    // After a fail-over the address may lead to the new master while the old connection stays with the old one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  const redis =
    typeof address === 'string' ? new Redis(address, safe) : new Redis({ ...safe, ...address })
  let lastError: Error | undefined
  redis.on('error', (error: Error) => {
    lastError = error
  })
  try {
    const ready = new Promise<void>((resolve) => redis.once('ready', resolve))
    redis.connect().catch(() => {}) // It tries again; what is wrong is in lastError.
    await withDeadline(ready, START_TIMEOUT, 'no answer')
    // ioredis goes on in database 0 when the one it was told is not there.
    await redis.select(redis.options.db ?? 0)
  } catch (error) {
    const cause = redis.status === 'ready' ? (error as Error) : (lastError ?? (error as Error))
    redis.disconnect()
    // Not as the cause: ioredis hangs the command on its errors, and with it the password or what a script was given.
    throw new Error(`cannot connect to Redis: ${cause.message}`)
  }
  await checkEviction(redis, logger).catch((error) => {
    redis.disconnect()
    throw error
  })
  logOutages(redis, logger, () => lastError?.message)
  return redis
}

/** A client that somebody else opened, once it is connected. Rejects after 3 s if it is not. */
export async function readyClient<Client extends RedisClient>(
  client: Client,
  logger: Logger,
): Promise<Client> {
  // Run again, most scripts change nothing, but one on budgets counts twice; and all of them long after the request was refused.
  const resends = client.isCluster
    ? (client as Cluster).options.retryDelayOnFailover !== 0 && 'retryDelayOnFailover to 0'
    : (client as Redis).options.autoResendUnfulfilledCommands !== false &&
      'autoResendUnfulfilledCommands to false'
  if (resends) {
    logger.warn(
      { event: 'redis.options' },
      `this Redis client runs commands a second time after a lost connection: set ${resends}`,
    )
  }
  if (client.status !== 'ready') await untilReady(client)
  await checkEviction(client, logger)
  return client
}

async function untilReady(client: RedisClient): Promise<void> {
  const ready = new Promise<void>((resolve) => client.once('ready', resolve))
  if (client.status === 'wait') client.connect().catch(() => {})
  await withDeadline(ready, START_TIMEOUT, 'the Redis client was not ready')
}

/** Throws if Redis may evict keys: with them it would forget limits. Warns where it does not say. */
async function checkEviction(redis: RedisClient, logger: Logger): Promise<void> {
  const nodes = redis.isCluster ? (redis as Cluster).nodes('master') : [redis as Redis]
  for (const node of nodes) {
    const policy = await node.info('memory').then(
      (info) => /^maxmemory_policy:(\S+)/m.exec(info)?.[1],
      () => undefined,
    )
    if (policy === 'noeviction') continue
    if (policy !== undefined) {
      throw new invalidOptions(
        `redis: expected a server with maxmemory-policy noeviction, got ${policy}, which forgets limits`,
      )
    }
    logger.warn(
      { event: 'redis.policy' },
      'Redis does not say what it evicts: maxmemory-policy must be noeviction',
    )
  }
}

/** Closes a client of ours: in good order while Redis is there, else at once. */
export async function closeRedis(redis: Redis): Promise<void> {
  await withDeadline(redis.quit(), COMMAND_TIMEOUT, 'Redis did not answer').catch(() => {})
  redis.disconnect()
}

/** Two lines for each outage, however often the client tries to come back. */
function logOutages(redis: Redis, logger: Logger, reason: () => string | undefined): void {
  let up = true
  redis.on('close', () => {
    if (up && redis.status !== 'end') {
      logger.warn({ event: 'redis.lost', error: reason() }, 'lost Redis')
    }
    up = false
  })
  redis.on('ready', () => {
    up = true
    logger.info({ event: 'redis.connected' }, 'connected to Redis again')
  })
}

/** Whether the option is a client that somebody else opened. */
export const isRedisClient = (option: unknown): option is RedisClient =>
  typeof option === 'object' && option !== null && 'evalsha' in option && 'status' in option
