/** The people: each asks for a code for a number of their own, and repeats with the same key until there is a 202. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from './client.ts'
import type { Chance } from './random.ts'

export interface Send {
  phone: string
  key: string
  startedAt: number
  tries: Try[]
  /** What the 202 said. */
  accepted: { id: string; expiresIn: number; at: number } | undefined
}

export interface Try {
  at: number
  ms: number
  /** The HTTP status; 0 when there was no answer. */
  status: number
}

export interface Load {
  sends: Send[]
  /** Resolves when the last of them was accepted or gave up. */
  done: Promise<void>
  /** One more. */
  send(): Promise<Send>
  close(): void
}

export interface LoadOptions {
  ports: number[]
  count: number
  /** Sends a second. */
  rate: number
  /** Tries after which somebody gives up. */
  tries: number
  /** Milliseconds between two tries, from half of it to one and a half. */
  pause: number
  chance: Chance
}

export function startLoad(options: LoadOptions): Load {
  const { ports, count, rate, tries, pause, chance } = options
  const client = createClient()
  const sends: Send[] = []
  const first = chance.between(0, 9_000) * 10_000

  async function send(): Promise<Send> {
    const phone = `+86138${String(first + sends.length).padStart(8, '0')}`
    const key = Array.from({ length: 4 }, () => chance.between(0, 2 ** 31).toString(36)).join('-')
    const one: Send = { phone, key, startedAt: Date.now(), tries: [], accepted: undefined }
    const turn = sends.push(one)
    while (!one.accepted && one.tries.length < tries) {
      if (one.tries.length > 0) await sleep(pause * (0.5 + Math.random()))
      const at = Date.now()
      const port = ports[(turn + one.tries.length) % ports.length] as number
      const { status, body } = await client.post(
        port,
        '/sms/send',
        { phone },
        {
          'idempotency-key': key,
        },
      )
      one.tries.push({ at, ms: Date.now() - at, status })
      if (status === 202) {
        const { id, expiresIn } = body as { id: string; expiresIn: number }
        one.accepted = { id, expiresIn, at: Date.now() }
      }
    }
    return one
  }

  async function all(): Promise<void> {
    const startedAt = Date.now()
    const under: Promise<Send>[] = []
    for (let i = 0; i < count; i++) {
      const wait = startedAt + (i * 1000) / rate - Date.now()
      if (wait > 1) await sleep(wait)
      under.push(send())
    }
    await Promise.all(under)
  }

  return { sends, done: all(), send, close: () => client.close() }
}
