/** How options are checked: what is wrong is said by its name, what was expected and what was there. */
import { inspect } from 'node:util'
import { FormatRegistry, type TSchema, Type } from '@sinclair/typebox'
import { Errors, ValueErrorType } from '@sinclair/typebox/errors'
import { invalidOptions } from './errors.ts'
import { TOKEN } from './receipts/receipt.ts'

const SECRET_BYTES = 32
const SECRET_EXPECTED = 'a string of at least 32 bytes, or an array of them'

/** By the part of TypeBox that a consumer needs; all of it takes several megabytes more. */
const firstError = (schema: TSchema, value: unknown) => Errors(schema, value).First()

/** A schema with the words for what it expects. A `secret` one never shows what it got. */
export const expecting = <Schema extends TSchema>(
  schema: Schema,
  expected: string,
  { secret = false } = {},
): Schema => ({ ...schema, expected, secret })

export const FlagSchema = expecting(Type.Boolean(), 'a boolean')

/** Anything that must be a function. */
export const FunctionSchema = expecting(Type.Function([], Type.Unknown()), 'a function')

/** One secret, or several of which the first seals and signs. */
export const SecretSchema = expecting(
  Type.Union([
    Type.String({ minLength: 1 }),
    Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
  ]),
  SECRET_EXPECTED,
  { secret: true },
)

// Addresses carry passwords, so they are never shown. A pattern alone would let through what the clients cannot parse,
// and their errors do show it.
const urlOf = (format: string, schemes: RegExp, allows: (url: URL) => boolean = () => true) => {
  const isValid = (text: string) =>
    schemes.test(text) && URL.canParse(text) && allows(new URL(text))
  FormatRegistry.Set(format, isValid)
  return Type.String({ format })
}

// With a longer one, or none, the jobs of a frozen consumer would wait for longer than a person does.
const Heartbeat = Type.Integer({ minimum: 1, maximum: 10 })
const AmqpUrl = urlOf(
  'sms-verify-amqp-url',
  /^amqps?:\/\//,
  ({ searchParams }) => !firstError(Heartbeat, Number(searchParams.get('heartbeat') ?? 1)),
)
export const AmqpSchema = expecting(
  Type.Union([
    AmqpUrl,
    Type.Array(AmqpUrl, { minItems: 1 }),
    Type.Object({ heartbeat: Type.Optional(Heartbeat) }),
  ]),
  'an amqp:// or amqps:// URL, an array of them, or connect options; a heartbeat, if any, of 1 to 10 s',
  { secret: true },
)
export const RedisSchema = expecting(
  Type.Union([urlOf('sms-verify-redis-url', /^rediss?:\/\//), Type.Object({})]),
  'a redis:// or rediss:// URL, ioredis options, or an ioredis client',
  { secret: true },
)

export const QueuePrefixSchema = expecting(
  Type.String({ pattern: '^[\\w.-]{1,100}$' }),
  'a name of letters, digits, dots and dashes',
)

/** What a purpose is called. */
export const PURPOSE_PATTERN = /^[a-z0-9-]{1,32}$/

export const BrandSchema = expecting(
  Type.String({ minLength: 1, maxLength: 32 }),
  'a string of at most 32 characters',
)

/** A whole number in a range. */
export const whole = (minimum: number, maximum: number) =>
  expecting(Type.Integer({ minimum, maximum }), `a whole number from ${minimum} to ${maximum}`)

const NameSchema = Type.String({ minLength: 1 })

export const ProviderSchema = expecting(
  Type.Union([
    Type.Object({ name: NameSchema, send: Type.Function([], Type.Unknown()) }),
    Type.Object({ name: NameSchema, order: Type.Function([], Type.Unknown()) }),
  ]),
  'a provider, an object with a name and a send function, or what providerChain answers',
)

const [tokenShape, tokenExpected] = TOKEN
const ReceiptSourceSchema = Type.Object({
  provider: expecting(
    Type.String({ pattern: '^[a-z0-9-]+$' }),
    'the name of a provider, without what is behind a colon',
  ),
  read: FunctionSchema,
  token: Type.Optional(
    expecting(Type.String({ pattern: tokenShape.source }), tokenExpected, { secret: true }),
  ),
  answer: Type.Optional(expecting(Type.Object({}), 'an object')),
  pull: Type.Optional(
    expecting(
      Type.Object({
        every: expecting(
          Type.Number({ exclusiveMinimum: 0, maximum: 3600 }),
          'seconds above 0 and at most 3600',
        ),
        receipts: FunctionSchema,
      }),
      'an object',
    ),
  ),
  confirm: Type.Optional(FunctionSchema),
})
export const ReceiptSourcesSchema = expecting(
  Type.Array(ReceiptSourceSchema),
  'an array of receipt sources, as twilioReceipts and the others make them',
  { secret: true },
)

/** Throws `SMS_VERIFY_INVALID_OPTIONS` unless the value is of the schema's form. */
export function checkOptions(where: string, schema: TSchema, value: unknown): void {
  const error = firstError(schema, value)
  if (!error) return
  const path = error.path.split('/').slice(1)
  if (error.type === ValueErrorType.ObjectAdditionalProperties) {
    throw new invalidOptions(`${where}: ${path.join('.')}: there is no such option`)
  }
  const { option, expected, secret, got } = explain(schema, path, value)
  throw new invalidOptions(
    `${[where, ...option].join(': ')}: expected ${expected}, got ${describe(got, secret)}`,
  )
}

/** Throws unless every secret has the bytes that its keys need (NIST SP 800-107: at least the strength of the MAC). */
export function checkSecret(where: string, secret: string | string[]): void {
  const short = [secret].flat().find((text) => Buffer.byteLength(text) < SECRET_BYTES)
  if (short === undefined) return
  throw new invalidOptions(
    `${where}: secret: expected ${SECRET_EXPECTED}, got ${describe(short, true)}`,
  )
}

// The innermost option on the path that says what it expects: what is wrong inside it is said about the whole of it.
function explain(schema: TSchema, path: string[], value: unknown) {
  let found = { option: [] as string[], expected: schema.expected, secret: false, got: value }
  let current: TSchema | undefined = schema
  let got = value
  for (const [depth, step] of path.entries()) {
    current = current?.properties?.[step] ?? current?.items
    got = (got as Record<string, unknown> | undefined)?.[step]
    if (!current?.expected) continue
    const option = [path.slice(0, depth + 1).join('.')]
    found = { option, expected: current.expected, secret: current.secret === true, got }
  }
  return found
}

function describe(value: unknown, secret: boolean): string {
  if (value === undefined || value === null) return String(value)
  if (Array.isArray(value)) {
    if (value.length === 0) return 'an empty array'
    return secret ? `an array of ${value.length}` : inspect(value, { depth: 1, maxArrayLength: 9 })
  }
  if (typeof value === 'string') {
    return secret
      ? `a string of ${Buffer.byteLength(value)} bytes`
      : JSON.stringify(value.slice(0, 60))
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The options over their defaults. One that is there but undefined is one that is not there. */
export function withDefaults<Defaults extends object, Options extends object>(
  defaults: Defaults,
  options: Options | undefined,
): Defaults & { [Name in keyof Options]-?: Exclude<Options[Name], undefined> } {
  const given = Object.entries(options ?? {}).filter(([, value]) => value !== undefined)
  return { ...defaults, ...Object.fromEntries(given) } as never
}
