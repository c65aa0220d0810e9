/**
 * Asks Redis' scripts. What is asked of one script in one turn of the event loop goes as one command, and is answered as one: a
 * command costs both sides as much as a small script does.
 */
import type { Cluster, Redis } from 'ioredis'
import { withDeadline } from '../deadline.ts'
import { FAILED, packed, type Script } from './script.ts'

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
  /** Packed. */
  text: string
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** `alone` asks at once, in the order that it is called in; `together` is for what is asked often. */
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
      // A client of the host's may keep commands for later, when nobody waits for them any more.
      if (!isConnected(redis)) throw notConnected(redis)
      const answers = await withDeadline(evaluate(script, requests), COMMAND_TIMEOUT, SILENT)
      for (const [i, request] of requests.entries()) settle(request, answers[i] as string)
    } catch (error) {
      for (const { reject } of requests) reject(error as Error)
    }
  }

  async function evaluate({ sha, lua }: Script, requests: Request[]): Promise<string[]> {
    const keys = requests.flatMap((request) => request.keys)
    const texts = requests.map(({ text }) => text)
    try {
      return (await redis.evalsha(sha, keys.length, ...keys, ...texts)) as string[]
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return (await redis.eval(lua, keys.length, ...keys, ...texts)) as string[]
    }
  }

  function asker(most: number): Ask {
    return (script, keys, request) =>
      new Promise((resolve: (answer: never) => void, reject) => {
        if (!isConnected(redis)) return reject(notConnected(redis))
        const one = { keys, text: packed(script, request), resolve, reject } as Request
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

function settle({ resolve, reject }: Request, answer: string): void {
  if (answer.startsWith(FAILED)) reject(new Error(answer.slice(FAILED.length)))
  else resolve(JSON.parse(answer))
}

/** The status alone is `ready` until the end of a connection is told. */
const isConnected = (redis: RedisClient): boolean =>
  redis.status === 'ready' && (redis.isCluster || (redis as Redis).stream?.writable !== false)

const notConnected = ({ status }: RedisClient) => new Error(`Redis is not connected (${status})`)

const SILENT = 'Redis did not answer'
