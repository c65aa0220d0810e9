/** How options are checked: what is wrong is said by its name, what was expected and what was there. */
import { Kind, type TSchema, Type } from '@sinclair/typebox'
import { Value, ValueErrorType } from '@sinclair/typebox/value'
import { invalidOptions } from './errors.ts'

const SECRET_BYTES = 32
const SECRET_EXPECTED = 'a string of at least 32 bytes, or an array of them'

/** A schema with the words for what it expects. A `secret` one never shows what it got. */
export const expecting = <Schema extends TSchema>(
  schema: Schema,
  expected: string,
  { secret = false } = {},
): Schema => ({ ...schema, expected, secret })

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

// Addresses carry passwords, so they are never shown.
const AmqpUrl = Type.String({ pattern: '^amqps?://' })
export const AmqpSchema = expecting(
  Type.Union([AmqpUrl, Type.Array(AmqpUrl, { minItems: 1 }), Type.Object({})]),
  'an amqp:// or amqps:// URL, an array of them, or connect options',
  { secret: true },
)
export const RedisSchema = expecting(
  Type.Union([Type.String({ pattern: '^rediss?://' }), Type.Object({})]),
  'a redis:// or rediss:// URL, ioredis options, or an ioredis client',
  { secret: true },
)

export const QueuePrefixSchema = expecting(
  Type.String({ pattern: '^[\\w.-]{1,100}$' }),
  'a name of letters, digits, dots and dashes',
)

export const BrandSchema = expecting(
  Type.String({ minLength: 1, maxLength: 32 }),
  'a string of at most 32 characters',
)

/** A whole number in a range. */
export const whole = (minimum: number, maximum: number) =>
  expecting(Type.Integer({ minimum, maximum }), `a whole number from ${minimum} to ${maximum}`)

export const ProviderSchema = expecting(
  Type.Object({ name: Type.String({ minLength: 1 }), send: Type.Function([], Type.Unknown()) }),
  'a provider: an object with a name and a send function',
)

/** Throws `SMS_VERIFY_INVALID_OPTIONS` unless the value is of the schema's form. */
export function checkOptions(where: string, schema: TSchema, value: unknown): void {
  const error = Value.Errors(schema, value).First()
  if (!error) return
  const option = error.path.slice(1).replaceAll('/', '.')
  const name = option ? `${where}: ${option}` : where
  if (error.type === ValueErrorType.ObjectAdditionalProperties) {
    throw new invalidOptions(`${name}: there is no such option`)
  }
  const { expected, secret } = wordsFor(schema, option.split('.'))
  throw new invalidOptions(
    `${name}: expected ${expected ?? error.message}, got ${describe(error.value, secret)}`,
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

// The innermost schema on the path that has words: what is wrong inside a union is about the whole of it.
function wordsFor(schema: TSchema, path: string[]): { expected?: string; secret: boolean } {
  let words: TSchema = schema
  let current: TSchema | undefined = schema
  for (const step of path) {
    current = current?.[Kind] === 'Array' ? current.items : current?.properties?.[step]
    if (current?.expected) words = current
  }
  return { expected: words.expected, secret: words.secret === true }
}

function describe(value: unknown, secret: boolean): string {
  if (value === undefined || value === null) return String(value)
  if (Array.isArray(value))
    return value.length === 0 ? 'an empty array' : `an array of ${value.length}`
  if (typeof value === 'string') {
    return secret
      ? `a string of ${Buffer.byteLength(value)} bytes`
      : JSON.stringify(value.slice(0, 60))
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
