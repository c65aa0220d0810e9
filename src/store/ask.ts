/**
 * Asks Redis' scripts. What is asked of one script in one turn of the event loop goes as one command, and is answered as one: a
 * command costs both sides as much as a small script does.
 */
import type { Cluster, Redis } from 'ioredis'
import { withDeadline } from '../deadline.ts'
import { argumentsOf, type Script } from './script.ts'

/** What can run the scripts: an ioredis client for one server or for a cluster. */
export type RedisClient = Redis | Cluster

/** Longest wait for one command, in milliseconds: a request is better refused than hanging. */
export const COMMAND_TIMEOUT = 1000

/** Requests after which nobody waits for the end of the turn: Redis begins while the rest is still being made. */
const MOST = 16

/** Rejects when Redis cannot answer now; the caller must not guess. */
export type Ask = <Answer, Name extends string>(
  script: Script<Name>,
  keys: string[],
  request: { readonly [name in Name]?: unknown },
) => Promise<Answer>

interface Request {
  keys: string[]
  argv: (string | number)[]
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** `together` is for scripts to which it makes no difference that a request comes twice; `alone` for all others. */
export function createAsk(redis: RedisClient): { alone: Ask; together: Ask } {
  const waiting = new Map<Script, Request[]>()

  function sendAll(): void {
    for (const script of waiting.keys()) sendWaiting(script)
  }

  function sendWaiting(script: Script): void {
    const requests = waiting.get(script)
    if (!requests) return
    waiting.delete(script)
    send(script, requests)
  }

  async function send(script: Script, requests: Request[]): Promise<void> {
    try {
      const answers = await withDeadline(evaluate(script, requests), COMMAND_TIMEOUT, SILENT)
      for (const [i, { resolve }] of requests.entries()) resolve(JSON.parse(answers[i] as string))
    } catch (error) {
      // What one of them has led to is not for the others to bear.
      const isSaid = (error as Error).name === 'ReplyError'
      if (isSaid && requests.length > 1) for (const each of requests) send(script, [each])
      else for (const { reject } of requests) reject(error as Error)
    }
  }

  async function evaluate({ sha, lua }: Script, requests: Request[]): Promise<string[]> {
    const keys = requests.flatMap((request) => request.keys)
    const argv = requests.flatMap((request) => request.argv)
    try {
      return (await redis.evalsha(sha, keys.length, ...keys, ...argv)) as string[]
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return (await redis.eval(lua, keys.length, ...keys, ...argv)) as string[]
    }
  }

  function asker(most: number): Ask {
    return (script, keys, request) =>
      new Promise((resolve: (answer: never) => void, reject) => {
        if (redis.status !== 'ready') {
          return reject(new Error(`Redis is not connected (${redis.status})`))
        }
        const one = { keys, argv: argumentsOf(script, request), resolve, reject } as Request
        if (most === 1) return void send(script, [one])
        const requests = waiting.get(script)
        if (!requests) {
          if (waiting.size === 0) setImmediate(sendAll)
          waiting.set(script, [one])
        } else if (requests.push(one) >= most) sendWaiting(script)
      })
  }

  // A cluster has the keys of different shards in different slots, and a command keeps to one.
  return { alone: asker(1), together: asker(redis.isCluster ? 1 : MOST) }
}

const SILENT = 'Redis did not answer'
