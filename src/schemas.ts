/** The forms of requests and answers: checked at the door, filtered on the way out, shown in the OpenAPI description. */
import { type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { MOST_LOCALES } from './languages.ts'
import type { Job } from './queue/queue.ts'
import { ID_PATTERN } from './secrets.ts'
import type { SendRequest, VerifyRequest } from './verification.ts'

export interface Schemas {
  sendBody: TObject
  verifyBody: TObject
  isSendRequest(value: unknown): value is SendRequest
  isVerifyRequest(value: unknown): value is VerifyRequest
  isJob(value: unknown): value is Job
}

/** Unknown fields are refused, not dropped: a misspelt one must not pass for one that was left out. */
const strict = <Properties extends TProperties>(properties: Properties, options = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })

const Id = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'The verification, as the answer to the first send named it.',
})

const IdempotencyKey = Type.String({
  pattern: '^[\\x21-\\x7e]{1,255}$',
  description:
    'Any unique text, such as a UUID. A repeated request with the same key gets the same answer and sends nothing more.',
})

const Locale = Type.String({
  pattern: '^[A-Za-z0-9-]{1,32}$',
  description: 'BCP 47 language of the SMS; by default what the header Accept-Language says.',
})

/** The requests, with the purposes and the length of a code as they are configured. */
export function createSchemas(purposes: readonly string[], codeLength: number): Schemas {
  const sendBody = strict({
    phone: Type.String({
      minLength: 1,
      maxLength: 32,
      description: 'In E.164, or as written in the default country where there is one.',
      examples: ['+8613800138000'],
    }),
    purpose: Type.Optional(
      Type.Union(
        purposes.map((purpose) => Type.Literal(purpose)),
        { description: 'What the number is proved for; the first one by default.' },
      ),
    ),
    locale: Type.Optional(Locale),
    id: Type.Optional({
      ...Id,
      description: 'Resend inside this verification: a new code, and the old one is dead at once.',
    } as typeof Id),
    solution: Type.Optional(
      Type.String({
        pattern: '^[0-9a-z]{1,12}\\.[0-9]{1,2}\\.[\\w-]{12}\\.[\\w-]{22}\\.[0-9a-z]{1,12}$',
        description: 'PUZZLE.COUNTER, where an answer has asked for it.',
      }),
    ),
  })
  const verifyBody = strict({
    id: Id,
    code: Type.String({ pattern: `^[0-9]{${codeLength}}$`, examples: ['012345'] }),
  })
  const ip = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }))
  return {
    sendBody,
    verifyBody,
    isSendRequest: checker<SendRequest>(
      strict({
        ...sendBody.properties,
        locale: Type.Optional(
          Type.Union([Locale, Type.Array(Locale, { minItems: 1, maxItems: MOST_LOCALES })]),
        ),
        ip,
        idempotencyKey: Type.Optional(IdempotencyKey),
        trusted: Type.Optional(Type.Boolean()),
      }),
    ),
    isVerifyRequest: checker<VerifyRequest>(strict({ ...verifyBody.properties, ip })),
    isJob: checker<Job>(
      Type.Object({
        id: Type.String({ pattern: ID_PATTERN.source }),
        version: Type.Integer({ minimum: 1 }),
      }),
    ),
  }
}

export const SendHeaders = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKey) })

export const StatusParams = strict({ id: Id })

const Seconds = (description: string) => Type.Integer({ minimum: 0, description })
const ResendIn = Seconds('Seconds until another code can be sent to the number.')

/** One type with an `enum`: for an `anyOf` the serializer would ask Ajv at each answer. */
const enumOf = <Text extends string>(texts: Text[], options = {}) =>
  Type.Unsafe<Text>({ type: 'string', enum: texts, ...options })

export const Sent = strict(
  {
    id: Type.String({ description: 'Needed to verify, to resend and to ask for the status.' }),
    expiresIn: Seconds('Seconds that the code lives.'),
    resendIn: ResendIn,
    codeLength: Type.Integer(),
  },
  { description: 'The code is on its way.' },
)

export const Verified = strict(
  {
    verified: Type.Literal(true),
    purpose: Type.String(),
    proof: Type.String({ description: 'Single-use receipt, to be redeemed by the server.' }),
  },
  { description: 'The number is proved.' },
)

export const StatusAnswer = strict(
  {
    status: enumOf(['queued', 'sending', 'sent', 'delivered', 'failed', 'expired', 'verified']),
    expiresIn: Seconds('Seconds that the code lives; 0 when it is dead.'),
    resendIn: ResendIn,
    checksLeft: Type.Integer({ minimum: 0 }),
    reason: Type.Optional(
      enumOf(['recipient', 'rate', 'blocked', 'provider', 'late'], {
        description: 'Why it was not sent: with failed, and with expired where it is known.',
      }),
    ),
  },
  { description: 'How the verification stands.' },
)

export const StatusEvents = Type.String({
  description:
    'Server-sent events: `event: status`, whose `data` is what the status route answers, at once and at each change.',
})

/** RFC 9457 problem details, with our `code` and its fields. */
export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String({ description: 'Stable: switch on it.' }),
  retryAfter: Type.Optional(Type.Integer({ description: 'Seconds; also the Retry-After header.' })),
  checksLeft: Type.Optional(Type.Integer()),
  challenge: Type.Optional(
    Type.Object(
      { puzzle: Type.String(), bits: Type.Integer() },
      {
        description:
          'Find a counter, in base 36, so that SHA-256 of PUZZLE.COUNTER begins with so many zero bits.',
      },
    ),
  ),
})

/** Compiled once: a check costs microseconds, coerces nothing and drops nothing. */
function checker<T>(schema: TSchema): (value: unknown) => value is T {
  const compiled = TypeCompiler.Compile(schema)
  return (value): value is T => compiled.Check(value)
}
