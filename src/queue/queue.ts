/**
 * The contract of the queue between the web and the worker half.
 *
 * A job is a reference. What is to be sent, and whether it still may be, stands in the store; so a message that was
 * copied, forged or kept can at most repeat what the store allows anyway.
 */
import { ID_PATTERN } from '../secrets.ts'

/** "Send the code of this version of this verification." */
export interface Job {
  id: string
  version: number
}

/**
 * `done`: the broker has it and answers for it. `failed`: it certainly has not. `unknown`: it may or may not have it,
 * so the job may still be delivered.
 */
export type PublishResult = 'done' | 'failed' | 'unknown'

export interface Publisher {
  /** Whether a publish can succeed now. */
  ready(): boolean
  publish(job: Job): Promise<PublishResult>
  /** Jobs that wait for a consumer. Rejects when the broker cannot be asked now. */
  depth(): Promise<number>
  close(): Promise<void>
}

/** What becomes of a delivered job. A hand-over is confirmed before the delivery is acknowledged. */
export type Disposition =
  | { next: 'ack' }
  /** Deliver it again as `attempt` after the `step`-th delay, from 1. */
  | { next: 'retry'; attempt: number; step: number }
  | { next: 'dead'; reason: string }

/** Handles one delivery. Never rejects. */
export type Deliver = (job: Job, attempt: number) => Promise<Disposition>

export interface Handler {
  deliver: Deliver
  /** Handles a message, of so many bytes, in which there is no job. */
  unreadable(size: number): Disposition
}

export interface Subscriber {
  /** Whether deliveries come in and can be handed over now. */
  ready(): boolean
  /** Takes no more deliveries, waits for those in hand, and ends. */
  close(): Promise<void>
}

/** The wait before each retry in seconds: `backoff · 2^(n-1)`, so 3, 6 and 12 s by default. */
export interface Retry {
  /** @default 3 */
  backoff: number
  /** @default 3 */
  max: number
}

/** Seconds of a code's life below which nothing is sent by default: it would arrive too late. */
export const MIN_REMAINING = 30

export const RETRY: Retry = { backoff: 3, max: 3 }

/** There is always a first step: a delivery that cannot be handled now waits there too, without being a retry. */
export const retryDelays = ({ backoff, max }: Retry): number[] =>
  Array.from({ length: Math.max(max, 1) }, (_, i) => backoff * 2 ** i)

/** What the names of the queues begin with by default. */
export const QUEUE_PREFIX = 'sms-verify'

/** The version of the message format; what a reader does not know it hands to the dead queue. */
const FORMAT = 1
const MAX_BODY = 1024
const MAX_ATTEMPT = 100

export const encodeJob = ({ id, version }: Job): Buffer =>
  Buffer.from(JSON.stringify({ v: FORMAT, id, version }))

/** The job in a message, or undefined when it is not one of ours in a format that we know. */
export function decodeJob(body: Buffer): Job | undefined {
  if (body.length > MAX_BODY) return undefined
  try {
    const { v, id, version } = JSON.parse(body.toString()) as Record<string, unknown>
    if (v !== FORMAT || typeof id !== 'string' || !ID_PATTERN.test(id)) return undefined
    return isCount(version) ? { id, version } : undefined
  } catch {
    return undefined
  }
}

/** The attempt in a message's header; 1 where there is none, undefined when it is not a count. */
export const decodeAttempt = (header: unknown): number | undefined => {
  const attempt = header ?? 1
  return isCount(attempt) && attempt <= MAX_ATTEMPT ? attempt : undefined
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 1
