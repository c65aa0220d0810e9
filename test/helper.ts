/** What most tests need: an app on the real services, a provider that records, a logger that keeps its lines. */
import { randomBytes, randomInt } from 'node:crypto'
import { after, type TestContext } from 'node:test'
import { connect } from 'amqplib'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { type Consumer, type ConsumerOptions, startConsumer } from '../src/consumer.ts'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import type { ProviderHealth } from '../src/provider-health.ts'
import type { Outcome, SmsMessage, SmsProvider } from '../src/providers/provider.ts'
import { RETRY, retryDelays } from '../src/queue/queue.ts'
import { UNLIMITED } from './unlimited.ts'
import { until } from './until.ts'

export { UNLIMITED, until }

export const SECRET = 'a test secret of more than thirty-two bytes'

/** The services that test/run.ts found or started. */
export const REDIS_URL = service('REDIS_URL')
export const AMQP_URL = service('AMQP_URL')

/** The same, as the users of docs/least-privilege.md where the services were started for the tests. */
const { WEB_REDIS_URL, WEB_AMQP_URL, CONSUMER_REDIS_URL, CONSUMER_AMQP_URL } = process.env
const WEB = { redis: WEB_REDIS_URL ?? REDIS_URL, amqp: WEB_AMQP_URL ?? AMQP_URL }
export const CONSUMER = {
  redis: CONSUMER_REDIS_URL ?? REDIS_URL,
  amqp: CONSUMER_AMQP_URL ?? AMQP_URL,
}

function service(name: string): string {
  const url = process.env[name]
  if (url) return url
  throw new Error(`${name} is not set: run the tests with npm test`)
}

const queuePrefixes: string[] = []

/** Queues of its own for each test, so that files can run side by side. They are gone after the last test of the file. */
export function newQueuePrefix(): string {
  const prefix = `test-${randomBytes(6).toString('hex')}`
  queuePrefixes.push(prefix)
  return prefix
}

// RabbitMQ 3.10 sets three file handles aside for each quorum queue, and takes no connections when it has none left: with
// the usual limit of 1024, after some 300 queues.
after(async () => {
  if (queuePrefixes.length > 0) await deleteQueues(...queuePrefixes)
})

/** The retry queues of any test. */
const DELAYS = [RETRY, { backoff: 0.1, max: 3 }, { backoff: 0.2, max: 5 }].flatMap(retryDelays)

/** Call it when whoever would declare them again is closed. */
export async function deleteQueues(...prefixes: string[]): Promise<void> {
  const connection = await connect(AMQP_URL)
  const channel = await connection.createChannel()
  // Those that dead-letter into another one before that one: RabbitMQ 3.10 does not bear a target that goes first.
  const names = [...DELAYS.map((seconds) => `retry.${seconds}s`), 'send', 'dead']
  for (const prefix of prefixes) {
    for (const name of names) await channel.deleteQueue(`${prefix}.${name}`)
  }
  await connection.close()
}

/** A mainland mobile number that no other test uses. */
export const newPhone = (): string => `+86138${String(randomInt(0, 1e8)).padStart(8, '0')}`

/** Options for Redis and RabbitMQ, without the limits that a test of something else would run into. */
export const connected = (options: Partial<SmsVerifyOptions> = {}): SmsVerifyOptions => ({
  secret: SECRET,
  countries: ['CN'],
  ...WEB,
  queuePrefix: newQueuePrefix(),
  limits: UNLIMITED,
  ...options,
})

/** Options for the embedded mode, likewise without limits. */
export const embedded = (options: Partial<SmsVerifyOptions> = {}): SmsVerifyOptions => ({
  secret: SECRET,
  countries: ['CN'],
  embedded: true,
  provider: recordingProvider(),
  limits: UNLIMITED,
  ...options,
})

/** An app with the plugin, closed after the test. */
export async function build(
  t: TestContext,
  options: SmsVerifyOptions,
  server: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.after(async () => {
    await app.close()
  })
  await app.register(smsVerify, options)
  await app.ready()
  return app
}

/** A consumer, closed after the test. */
export async function consume(
  t: TestContext,
  options: Pick<ConsumerOptions, 'provider'> & Partial<ConsumerOptions>,
): Promise<Consumer> {
  const consumer = await startConsumer({
    ...CONSUMER,
    secret: SECRET,
    logger: createLog().logger,
    ...options,
  })
  t.after(async () => {
    await consumer.close()
  })
  return consumer
}

export const MODES = ['embedded', 'connected'] as const

/** The whole chain in one of both modes: an app, and a consumer with a provider that records. */
export async function start(
  t: TestContext,
  mode: (typeof MODES)[number],
  options: Partial<SmsVerifyOptions> = {},
  server: FastifyServerOptions = {},
) {
  const provider = recordingProvider()
  if (mode === 'embedded') {
    return { app: await build(t, embedded({ provider, ...options }), server), provider }
  }
  const queuePrefix = newQueuePrefix()
  await consume(t, { queuePrefix, provider })
  return { app: await build(t, connected({ queuePrefix, ...options }), server), provider }
}

/** The code that a recording provider was given for a version of a verification. */
export async function codeOf(
  { messages }: { messages: SmsMessage[] },
  id: unknown,
  version = 1,
): Promise<string> {
  const find = () => messages.find((each) => each.id === id && each.version === version)
  await until(`the SMS of ${id}`, () => find() !== undefined)
  return (find() as SmsMessage).code
}

/** Another code than this one. */
export const wrongCode = (code: string): string => (code === '000000' ? '000001' : '000000')

/** A provider that keeps what it is given and answers as told, `ok` by default. */
export function recordingProvider(
  answer: (message: SmsMessage) => Outcome | Promise<Outcome> = () => ({ class: 'ok' }),
): SmsProvider & { messages: SmsMessage[]; times: number[] } {
  const messages: SmsMessage[] = []
  const times: number[] = []
  return {
    name: 'recording',
    messages,
    times,
    async send(message) {
      messages.push(message)
      times.push(performance.now())
      return answer(message)
    },
  }
}

/** For whom no test of health is: everybody is asked in his turn. */
export const noHealth: ProviderHealth = {
  note() {},
  noteCall() {},
  admits: async () => true,
  async close() {},
}

export interface LogLine {
  level: string
  event?: string
  [field: string]: unknown
}

/** A logger that keeps its lines, with what the errors in them say. */
export function createLog() {
  const lines: LogLine[] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, ...fields, message })
  }
  return {
    lines,
    logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    events: () => lines.map(({ event }) => event),
  }
}

export interface Answer {
  status: number
  headers: Record<string, unknown>
  body: Record<string, unknown>
}

/** A POST with a JSON body. */
export async function post(
  app: FastifyInstance,
  url: string,
  payload: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await app.inject({ method: 'POST', url, payload: payload as object, headers })
  return { status: answer.statusCode, headers: answer.headers, body: answer.json() }
}
