/** The HTTP routes: a thin skin over `app.smsVerify`, with errors as RFC 9457 problem details. */
import { STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'
import type { Serializer } from '@fastify/fast-json-stringify-compiler'
import type { TObject, TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type {
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySerializerCompiler,
  RouteShorthandOptions,
} from 'fastify'
import { UNKNOWN_ADDRESS } from './address.ts'
import { internalError, invalidRequest, isSmsVerifyError, type SmsVerifyError } from './errors.ts'
import { acceptedLanguages } from './languages.ts'
import {
  Problem,
  type Schemas,
  SendHeaders,
  Sent,
  StatusAnswer,
  StatusEvents,
  StatusParams,
  Verified,
} from './schemas.ts'
import { statusStream } from './stream.ts'
import type { SendRequest, SmsVerify, VerifyRequest } from './verification.ts'
import type { Watcher } from './watcher.ts'

/** Options handed on to every route: hooks, `config` for other plugins, `bodyLimit`, `logLevel`. */
export type RouteOptions = Omit<RouteShorthandOptions, 'schema'>

/** Bytes. The largest honest body is a tenth of this. */
const BODY_LIMIT = 2048

const PROBLEM_TYPE = 'application/problem+json'
// Fastify would add the charset, and then look up what it has put together for each answer.
const PROBLEM_HEADER = `${PROBLEM_TYPE}; charset=utf-8`
const EVENTS_TYPE = 'text/event-stream'

export async function registerRoutes(
  scope: FastifyInstance,
  smsVerify: SmsVerify,
  watcher: Watcher,
  schemas: Schemas,
  routeOptions: RouteOptions,
): Promise<void> {
  const options = { bodyLimit: BODY_LIMIT, ...routeOptions }
  const compileSerializer = await serializerCompiler()

  // Strict and our own, whatever the host's validator coerces or drops.
  scope.setValidatorCompiler(({ schema }) => {
    const compiled = TypeCompiler.Compile(schema as TSchema)
    return (value) => {
      if (compiled.Check(value)) return { value }
      const path = compiled.Errors(value).First()?.path.slice(1)
      // Only by a name of ours: an unknown field's is the client's, and may be anything.
      const known = path !== undefined && Object.hasOwn((schema as TObject).properties, path)
      return { error: invalidRequest({ cause: known ? path : 'other fields' }) }
    }
  })
  scope.setSerializerCompiler(compileSerializer)
  // JSON and nothing else: the default text/plain parser would let other bodies in as strings.
  scope.removeAllContentTypeParsers()
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    // RFC 8259, 8.1: JSON that travels is UTF-8. What says that it is not would be misread.
    const [, charset = 'utf-8'] = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(contentType(request)) ?? []
    if (charset.toLowerCase() === 'utf-8') return parseJson(request, body as string, done)
    done(Object.assign(invalidRequest(), { statusCode: 415 }))
  })
  scope.setErrorHandler(sendProblem)
  scope.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  scope.post<{ Body: SendRequest; Headers: { 'idempotency-key'?: string } }>(
    '/send',
    {
      ...options,
      schema: {
        ...described(
          'Send a code to a phone number',
          'Answers as soon as the sending is queued for certain; the SMS itself is not waited for.',
        ),
        body: schemas.sendBody,
        headers: SendHeaders,
        response: { 202: Sent, ...problems(400, 403, 410, 413, 415, 429, 500, 503) },
      },
    },
    async (request, reply) => {
      const idempotencyKey = request.headers['idempotency-key']
      const {
        phone,
        purpose,
        locale = acceptedLanguages(request.headers['accept-language']),
        id,
        solution,
      } = request.body
      const sent = await smsVerify.send(
        { phone, purpose, locale, id, solution, ip: request.ip || UNKNOWN_ADDRESS, idempotencyKey },
        request,
      )
      return reply.code(202).send(sent)
    },
  )

  scope.post<{ Body: VerifyRequest }>(
    '/verify',
    {
      ...options,
      schema: {
        ...described(
          'Check a code',
          'The one right check gives a proof, which the server redeems.',
        ),
        body: schemas.verifyBody,
        response: { 200: Verified, ...problems(400, 410, 413, 415, 422, 429, 500, 503) },
      },
    },
    async (request) => {
      // As it came, where the host has switched the validation off; but whose address it is, we say.
      const asked: VerifyRequest = { ip: '', ...request.body }
      asked.ip = request.ip || UNKNOWN_ADDRESS
      const { purpose, proof } = await smsVerify.verify(asked, request)
      return { verified: true as const, purpose, proof }
    },
  )

  scope.get<{ Params: { id: string } }>(
    '/:id',
    {
      ...options,
      schema: {
        ...described('How a verification stands', 'For a page that shows what became of the SMS.'),
        params: StatusParams,
        response: { 200: StatusAnswer, ...problems(400, 410, 500, 503) },
      },
    },
    (request) => smsVerify.status(request.params.id),
  )

  scope.get<{ Params: { id: string } }>(
    '/:id/events',
    {
      ...options,
      schema: {
        ...described(
          'Follow how a verification stands',
          'Ends by itself when it is verified, delivered, failed or expired.',
        ),
        params: StatusParams,
        response: {
          200: {
            description: 'An event for each change.',
            content: { [EVENTS_TYPE]: { schema: StatusEvents } },
          },
          ...problems(400, 410, 500, 503),
        },
      },
    },
    async (request, reply) => {
      // An app that closes waits for open connections, though nothing is said on them any more, be it an error that was said
      // last. HTTP/2 knows no such header.
      if (request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
      const { id } = request.params
      const status = await smsVerify.status(id)
      // Fastify reads the answer to HEAD to its end, so that one is over at once.
      const events =
        request.method === 'HEAD' ? Readable.from([]) : statusStream(id, status, watcher)
      reply.type(EVENTS_TYPE)
      // nginx would keep them until it has a buffer full.
      reply.header('x-accel-buffering', 'no')
      return reply.send(events)
    },
  )

  // RFC 9110, 15.5.6. Without these, GET /send would ask for the status of a verification called "send".
  for (const url of ['/send', '/verify']) {
    scope.route({
      method: ['GET', 'PUT', 'PATCH', 'DELETE'],
      url,
      schema: { hide: true } as object,
      handler: (_request, reply) => {
        reply.header('allow', 'POST')
        throw Object.assign(invalidRequest(), { statusCode: 405 })
      },
    })
  }
}

/**
 * What Fastify itself compiles answers with, whatever kind of schema the host's serializers know. The problem, which is the same for each
 * status of each route, is compiled once.
 */
async function serializerCompiler(): Promise<FastifySerializerCompiler<unknown>> {
  // Not at the top: Fastify loads it with the first app, and who only imports us need not wait for it.
  const { default: SerializerSelector } = await import('@fastify/fast-json-stringify-compiler')
  const compile = SerializerSelector()()
  const compiled = new Map<unknown, Serializer>()
  return (route) => {
    // Its type wants a status, which it does not look at.
    const serialize = compiled.get(route.schema) ?? compile({ httpStatus: '', ...route })
    compiled.set(route.schema, serialize)
    return serialize
  }
}

const contentType = ({ headers }: FastifyRequest): string => headers['content-type'] ?? ''

// The fields that @fastify/swagger reads; Fastify's own type does not know them.
const described = (summary: string, description: string) => ({
  tags: ['sms'],
  summary,
  description,
})

/** The same schema for every status that a route can answer with. */
function problems(...statuses: number[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: STATUS_CODES[status] as string,
        content: { [PROBLEM_TYPE]: { schema: Problem } },
      },
    ]),
  )
}

function sendProblem(
  error: FastifyError | SmsVerifyError,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const {
    statusCode: status,
    code,
    message: detail,
    retryAfter,
    checksLeft,
    challenge,
  } = ours(error, request)
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  const title = STATUS_CODES[status] ?? 'Error'
  // What is undefined is not in the JSON.
  return reply
    .code(status)
    .type(PROBLEM_HEADER)
    .send({ type: 'about:blank', title, status, detail, code, retryAfter, checksLeft, challenge })
}

/** The error as one of ours. Nothing of another one is shown: it may quote the body, a host or a stack. */
function ours(error: FastifyError | SmsVerifyError, request: FastifyRequest): SmsVerifyError {
  const tellInvalid = (part: string | undefined, path?: unknown) =>
    request.log.info({ event: 'request.invalid', part, path }, 'a request of another form')
  if (isSmsVerifyError(error)) {
    // Where it is wrong, for whoever writes the client; what was there may be a code or a number.
    const { cause: path, validationContext: part } = error as {
      cause?: unknown
      validationContext?: string
    }
    // One of the rules behind the routes has told of it by itself.
    if (part || error.statusCode === 405 || error.statusCode === 415) tellInvalid(part, path)
    return error
  }
  const { statusCode, code } = error
  const fastify = code?.startsWith('FST_ERR_')
  // From a hook of the host, such as its rate limit or its login: the host's own error handler knows how to say it.
  if (statusCode !== undefined && statusCode !== 500 && !fastify) throw error
  if (statusCode !== undefined && statusCode < 500) {
    tellInvalid(code)
    return Object.assign(invalidRequest(), { statusCode })
  }
  request.log.error({ event: 'request.failed', err: error }, 'a request failed')
  return internalError()
}
