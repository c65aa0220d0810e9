/** `sms-verify-consumer dead list | replay | purge`: what an operator does about jobs that were given up on. */
import type { Logger } from './log.ts'
import type { AmqpAddress } from './queue/connection.ts'
import { type DeadLetter, type DeadLetters, openDeadLetters } from './queue/dead-letters.ts'
import { closeRedis, createRedisStore, openRedis, type RedisAddress } from './store/redis.ts'
import type { OutlookStore, OutlookVerdict } from './store/store.ts'

export const DEAD_ACTIONS = ['list', 'replay', 'purge'] as const

export type DeadAction = (typeof DEAD_ACTIONS)[number]

export interface DeadOptions {
  amqp: AmqpAddress
  redis: RedisAddress
  queuePrefix: string
  /** Seconds. */
  minRemaining: number
  logger: Logger
}

export async function deadLetters(
  action: DeadAction,
  options: DeadOptions,
  print: (line: string) => void,
): Promise<void> {
  const letters = await openDeadLetters(options)
  try {
    if (action === 'purge') print(`${plural(await letters.purge())} thrown away`)
    else await goThrough(letters, action, options, print)
  } finally {
    await letters.close()
  }
}

async function goThrough(
  letters: DeadLetters,
  action: 'list' | 'replay',
  options: DeadOptions,
  print: (line: string) => void,
): Promise<void> {
  const redis = await openRedis(options.redis, options.logger)
  const store = createRedisStore(redis)
  let [alive, others] = [0, 0]
  try {
    await letters.each(async (letter) => {
      const verdict = await outlook(letter, store, options, action === 'replay')
      const isAlive = verdict?.verdict === 'free'
      if (isAlive) alive++
      else others++
      print(row(letter, action, verdict))
      return isAlive && action === 'replay'
    })
  } finally {
    await closeRedis(redis)
  }
  if (action === 'replay') print(`${plural(alive)} replayed, ${others} skipped`)
  else print(`${plural(alive + others)}, ${alive} of them can be replayed`)
}

/** What would become of one more attempt, which a replay grants. */
async function outlook(
  { about }: DeadLetter,
  store: OutlookStore,
  { minRemaining }: DeadOptions,
  grant: boolean,
): Promise<OutlookVerdict | undefined> {
  if (!about) return undefined
  const attempt = about.attempt + 1
  return store.outlook({ ...about.job, attempt, minRemaining: minRemaining * 1000, grant })
}

function row(letter: DeadLetter, action: 'list' | 'replay', verdict?: OutlookVerdict): string {
  const { about, reason, diedAt } = letter
  const name = about ? `${about.job.id}:${about.job.version}:${about.attempt}` : '-'
  const done = verdict?.verdict === 'free' ? 'replayed' : 'skipped'
  const doing = action === 'replay' ? [done] : []
  const at = `${diedAt.toISOString().slice(0, 19)}Z`
  return [at, name, reason, ...doing, explain(verdict)].join('  ')
}

function explain(verdict?: OutlookVerdict): string {
  switch (verdict?.verdict) {
    case undefined:
      return 'not a job'
    case 'free':
      return `${Math.floor(verdict.expiresIn / 1000)} s left`
    case 'expired':
      return 'too little of the code’s life is left'
    case 'superseded':
      return 'there is a newer code, or it was cancelled'
    case 'unknown':
      return 'the store does not know it any more'
    case 'busy':
      return 'it is being sent now'
    case 'duplicate':
      return 'a later attempt was made'
    case 'done':
      return verdict.result === 'sent' ? 'it was sent' : 'this attempt was made'
  }
}

const plural = (count: number): string => `${count} dead letter${count === 1 ? '' : 's'}`
