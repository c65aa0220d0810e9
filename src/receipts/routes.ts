/** `POST /sms/receipts/PROVIDER`, with a token behind it where the vendor does not sign. */
import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isSmsVerifyError } from '../errors.ts'
import type { ReceiptDesk } from './desk.ts'
import type { ReceiptSource } from './receipt.ts'

/** Bytes. Vendors put up to some hundred receipts into one request. */
const BODY_LIMIT = 256 * 1024

export function registerReceiptRoutes(
  scope: FastifyInstance,
  sources: readonly ReceiptSource[],
  desk: ReceiptDesk,
): void {
  scope.removeAllContentTypeParsers()
  // As it came, for a signature is over every byte of it; and whatever a vendor calls it.
  scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))

  // Ours, since the host's would log the address, and with it the token.
  scope.setErrorHandler((error: Error, request, reply) => {
    if (isSmsVerifyError(error)) {
      return reply.code(error.statusCode).header('retry-after', error.retryAfter).send()
    }
    const { statusCode = 500 } = error as { statusCode?: number }
    if (statusCode >= 500) request.log.error({ event: 'request.failed', err: error }, 'failed')
    return reply.code(statusCode).send()
  })
  // No line of the log for each request, for the same reason.
  const quiet = { logLevel: 'warn', schema: { hide: true } as object } as const
  if (sources.length > 0) {
    scope.all('/receipts/*', quiet, (_request, reply) => reply.code(404).send())
  }

  for (const source of sources) {
    const { provider, token, answer } = source
    const url = `/receipts/${provider}`
    scope.post(
      token === undefined ? url : `${url}/:token`,
      { ...quiet, bodyLimit: BODY_LIMIT },
      async (request, reply) => {
        if (token !== undefined && !isToken(request, token)) return reply.code(404).send()
        const receipts = readFrom(source, request)
        if (receipts === 'forged' || receipts === 'malformed') {
          request.log.warn({ event: `receipt.${receipts}`, provider }, 'not a receipt')
          return reply.code(receipts === 'forged' ? 403 : 400).send()
        }
        await desk.take(provider, receipts)
        return answer === undefined ? reply.code(200).send('') : reply.send(answer)
      },
    )
  }
}

function readFrom(source: ReceiptSource, { originalUrl: url, headers, body }: FastifyRequest) {
  return source.read({ url, headers, body: typeof body === 'string' ? body : '' })
}

function isToken({ params }: FastifyRequest, token: string): boolean {
  const hashed = (text: string) => hash('sha256', text, 'buffer')
  return timingSafeEqual(hashed((params as { token: string }).token), hashed(token))
}
