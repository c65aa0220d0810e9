/** What an error of the routes looks like, in every detail. */
import assert from 'node:assert/strict'
import { STATUS_CODES } from 'node:http'
import type { LightMyRequestResponse } from 'fastify'
import * as errors from '../src/errors.ts'
import type { SmsVerifyError, SmsVerifyErrorCode } from '../src/plugin.ts'

const DETAILS = new Map(
  [
    errors.invalidRequest(),
    errors.invalidPhone(),
    errors.countryNotAllowed(),
    errors.numberTypeNotAllowed(),
    errors.refused(),
    errors.challengeRequired(),
    errors.gone(),
    errors.wrongCode(),
    errors.tooManyRequests(),
    errors.unavailable('a part is down'),
    errors.internalError(),
  ].map(({ code, message }) => [code, message]),
)

/** RFC 9457 with our `code`, these fields and no others; never cached; the wait in the header too. */
export function assertProblem(
  answer: LightMyRequestResponse,
  status: number,
  code: SmsVerifyErrorCode,
  fields: Pick<SmsVerifyError, 'retryAfter' | 'checksLeft' | 'challenge'> = {},
): void {
  assert.deepEqual(answer.json(), {
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    detail: DETAILS.get(code),
    code,
    ...fields,
  })
  assert.equal(answer.statusCode, status)
  assert.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8')
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.headers['retry-after'], fields.retryAfter?.toString())
}
