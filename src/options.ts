/** The plugin's options: what they are, what they default to, and what wrong ones get. */
import { Type } from '@sinclair/typebox'
import { invalidOptions } from './errors.ts'
import type { Hooks } from './hooks.ts'
import {
  checkLimits,
  effectiveLimits,
  isPreset,
  type LimitsOptions,
  LimitsSchema,
  type Preset,
  toMilliseconds,
} from './limits.ts'
import type { ProviderChain } from './providers/chain.ts'
import { COUNTRIES } from './providers/countries.ts'
import type { SmsProvider } from './providers/provider.ts'
import type { AmqpAddress } from './queue/connection.ts'
import type { ReceiptSource } from './receipts/receipt.ts'
import type { RouteOptions } from './routes.ts'
import type { RedisAddress, RedisClient } from './store/redis.ts'
import type { Policy } from './store/store.ts'
import { type TestNumber, TestNumbersSchema } from './test-numbers.ts'
import { type TextOptions, TextSchemas } from './text.ts'
import {
  AmqpSchema,
  checkOptions,
  checkSecret,
  expecting,
  FlagSchema,
  FunctionSchema,
  ProviderSchema,
  PURPOSE_PATTERN,
  QueuePrefixSchema,
  ReceiptSourcesSchema,
  RedisSchema,
  SecretSchema,
  whole,
} from './validate.ts'

/** The options of the text, `brand` and the others, are for the embedded mode only: else they are the consumer's. */
export interface SmsVerifyOptions extends Hooks, TextOptions {
  /**
   * At least 32 bytes, the same in all web and worker processes. In a list the first one seals and signs and the others
   * still open, so that it can be changed without a break. Separate keys are derived from it (RFC 5869).
   */
  secret: string | string[]
  /** Countries whose numbers are accepted, as ISO 3166-1 alpha-2 codes. Each one more can cost more. */
  countries: string[] | 'all'
  /** Country of numbers that are written without a country code. Without it they are refused. */
  defaultCountry?: string
  /** In front of the routes; composes with the prefix of the scope. @default '/sms' */
  prefix?: string
  /**
   * A Redis URL, ioredis options, or an ioredis client of yours, which stays open when the app closes.
   * @default the host's own @fastify/redis client
   */
  redis?: RedisAddress | RedisClient
  /** A RabbitMQ URL, several to be tried in turn, or amqplib's connect options. */
  amqp?: AmqpAddress
  /** What the names of the queues begin with, as in the consumer. @default 'sms-verify' */
  queuePrefix?: string
  /**
   * No Redis, no RabbitMQ: all in this process, forgotten with it. With `NODE_ENV=production` it has to be asked for.
   * @default true when neither `redis` nor `amqp` is given
   */
  embedded?: boolean
  /** Embedded mode only: who sends. @default consoleProvider() */
  provider?: SmsProvider | ProviderChain
  /** What numbers may be proved for; the first is meant where none is named. @default ['default'] */
  purposes?: string[]
  code?: {
    /** Digits, 6 to 10 (NIST SP 800-63B-4, 3.1.3.2: at least 6). @default 6 */
    length?: number
    /** Seconds that a code lives, at most 600 (the same: 10 minutes). @default 300 */
    ttl?: number
    /** Checks per verification, 1 to 10; a resend adds none. @default 5 */
    checks?: number
  }
  proof?: {
    /** Seconds within which a proof can be redeemed, at most 3600. @default 600 */
    ttl?: number
  }
  /** How often codes may be asked for and tried: the name of a preset, or each by itself over those of `'balanced'`. */
  limits?: Preset | LimitsOptions
  /**
   * Asks for a proof of work before a send: `'on'` always, a number from that share of a budget of `limits` on, such as 0.5.
   * `beforeSend` can ask for it by itself. @default 'off'
   */
  challenge?: 'off' | 'on' | number
  /** Numbers with a fixed code, never sent to and exempt from limits. @default [] */
  testNumbers?: TestNumber[]
  /**
   * Where vendors say what became of an SMS, each by a route of its own below `receipts/`; one for a vendor. With `routes: false`
   * only those that are asked, by `pull`. The consumers need `receipts: true`.
   * @default []
   */
  receipts?: ReceiptSource[]
  /** Whether to register the routes; without them `app.smsVerify` does it all. @default true */
  routes?: boolean
  /** Handed on to the routes: `onRequest`, `preHandler`, `config`, `bodyLimit`, `logLevel` … */
  routeOptions?: RouteOptions
}

export const NAME = 'smsVerify'

/** Throws `SMS_VERIFY_INVALID_OPTIONS` with what was expected and what was there. */
export function checkPluginOptions(options: SmsVerifyOptions): void {
  const { limits } = options
  checkOptions(NAME, OptionsSchema, { ...options, ...(isPreset(limits) && { limits: {} }) })
  checkSecret(NAME, options.secret)
  const { embedded, redis, amqp } = options
  if (embedded && (redis !== undefined || amqp !== undefined)) {
    throw new invalidOptions(
      `${NAME}: embedded: expected neither redis nor amqp beside true, got one`,
    )
  }
  if (embedded === undefined && isEmbedded(options) && ('redis' in options || 'amqp' in options)) {
    throw new invalidOptions(
      `${NAME}: redis, amqp: expected URLs, or embedded: true if state in memory is meant, got undefined`,
    )
  }
  if (!isEmbedded(options) && amqp === undefined) {
    throw new invalidOptions(`${NAME}: amqp: expected a URL or connect options, got undefined`)
  }
  for (const name of EMBEDDED_ONLY) {
    if (isEmbedded(options) || options[name] === undefined) continue
    throw new invalidOptions(
      `${NAME}: ${name}: expected with startConsumer, which sends when there is a queue, got it here`,
    )
  }
  const { countries, defaultCountry } = options
  if (defaultCountry && countries !== 'all' && !countries.includes(defaultCountry)) {
    throw new invalidOptions(
      `${NAME}: defaultCountry: expected one of countries, got ${JSON.stringify(defaultCountry)}`,
    )
  }
  checkLimits(NAME, limits)
  checkReceipts(options)
  if (isEmbedded(options) && embedded === undefined && process.env.NODE_ENV === 'production') {
    throw new invalidOptions(
      `${NAME}: expected redis and amqp in production, or embedded: true if state in memory is meant, got neither`,
    )
  }
}

function checkReceipts({ receipts = [], routes }: SmsVerifyOptions): void {
  const names = receipts.map(({ provider }) => provider)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new invalidOptions(
      `${NAME}: receipts: expected one source for each provider, got two of ${twice}`,
    )
  }
  const posted = receipts.find(({ pull }) => pull === undefined)
  if (routes === false && posted) {
    throw new invalidOptions(
      `${NAME}: receipts: expected sources with pull beside routes: false, got ${posted.provider} without it`,
    )
  }
}

const EMBEDDED_ONLY = ['provider', 'brand', 'texts', 'origin', 'androidHash'] as const

/** Whether both halves run in this process, without Redis and RabbitMQ. */
export const isEmbedded = ({ embedded, redis, amqp }: SmsVerifyOptions): boolean =>
  embedded ?? (redis === undefined && amqp === undefined)

export const CODE_LENGTH = 6
export const PURPOSES = ['default']
export const PREFIX = '/sms'

/** Milliseconds that a verification keeps its status after its code is dead. */
const RETENTION = 15 * 60 * 1000

/** Verifications of one number that may be live at once: a stranger cannot end one, only be refused the next. */
const LIVE = 3

/** The rules for the store, in its milliseconds. */
export function policyOf({ code, proof, limits }: SmsVerifyOptions): Policy {
  const { cooldown, phone } = effectiveLimits(limits)
  const proofTtl = (proof?.ttl ?? 600) * 1000
  return {
    ttl: (code?.ttl ?? 300) * 1000,
    checks: code?.checks ?? 5,
    cooldown: cooldown === false ? [] : cooldown.map((seconds) => seconds * 1000),
    windows: toMilliseconds(phone),
    live: LIVE,
    proofTtl,
    retention: Math.max(RETENTION, proofTtl),
    // NIST SP 800-63B-4, 3.2.2: at most 100 consecutive failures; long before that, guessing gets slow.
    slowAfter: 15,
    slowWindow: { max: 2, window: 24 * 60 * 60 * 1000 },
    disableAfter: 100,
  }
}

const CountrySchema = Type.Union(COUNTRIES.map((country) => Type.Literal(country)))

const OptionsSchema = Type.Object(
  {
    secret: SecretSchema,
    countries: expecting(
      Type.Union([Type.Literal('all'), Type.Array(CountrySchema, { minItems: 1 })]),
      "an array of ISO 3166-1 alpha-2 codes such as ['CN', 'US'], or 'all'",
    ),
    defaultCountry: Type.Optional(
      expecting(CountrySchema, "an ISO 3166-1 alpha-2 code such as 'CN'"),
    ),
    prefix: Type.Optional(expecting(Type.String(), "a string such as '/sms'")),
    redis: Type.Optional(RedisSchema),
    amqp: Type.Optional(AmqpSchema),
    queuePrefix: Type.Optional(QueuePrefixSchema),
    embedded: Type.Optional(FlagSchema),
    receipts: Type.Optional(ReceiptSourcesSchema),
    provider: Type.Optional(ProviderSchema),
    ...TextSchemas,
    purposes: Type.Optional(
      expecting(
        Type.Array(Type.String({ pattern: PURPOSE_PATTERN.source }), {
          minItems: 1,
          uniqueItems: true,
        }),
        "an array of different names of a-z, 0-9 and '-'",
      ),
    ),
    code: Type.Optional(
      expecting(
        Type.Object(
          {
            length: Type.Optional(whole(6, 10)),
            ttl: Type.Optional(whole(1, 600)),
            checks: Type.Optional(whole(1, 10)),
          },
          { additionalProperties: false },
        ),
        'an object',
      ),
    ),
    proof: Type.Optional(
      expecting(
        Type.Object({ ttl: Type.Optional(whole(1, 3600)) }, { additionalProperties: false }),
        'an object',
      ),
    ),
    limits: Type.Optional(LimitsSchema),
    beforeSend: Type.Optional(FunctionSchema),
    onVerified: Type.Optional(FunctionSchema),
    onDisabled: Type.Optional(FunctionSchema),
    onAlert: Type.Optional(FunctionSchema),
    challenge: Type.Optional(
      expecting(
        Type.Union([
          Type.Literal('off'),
          Type.Literal('on'),
          Type.Number({ minimum: 0, maximum: 1 }),
        ]),
        "'off', 'on' or a share from 0 to 1",
      ),
    ),
    testNumbers: Type.Optional(TestNumbersSchema),
    routes: Type.Optional(expecting(Type.Boolean(), 'a boolean')),
    routeOptions: Type.Optional(expecting(Type.Object({}), 'an object of Fastify route options')),
  },
  { additionalProperties: false, expected: 'an object of options' },
)
