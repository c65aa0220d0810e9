/** What every provider that talks HTTP to a vendor has to do beside the rest, whatever the vendor. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Fetch, Outcome, SmsMessage, SmsProvider } from '../providers/provider.ts'
import {
  checkHidden,
  message,
  outcomeOf,
  testProvider,
  type VendorMood,
} from './provider-contract.ts'
import {
  answer,
  hang,
  type Reply,
  reset,
  type VendorRequest,
  vendorServer,
} from './vendor-server.ts'

export interface HttpProviderContract {
  /** Makes the provider with valid settings. */
  make(baseUrl: string, fetch?: Fetch): SmsProvider
  /** What is not as in the usual message, for a vendor that does not send to mainland China. */
  message?: Partial<SmsMessage>
  /** The vendor's answer to an SMS that it takes. */
  accepted: { status: number; body: string }
  /** The vendor's answer to an SMS that it refuses for good, with `text` wherever the vendor puts text. */
  refused(text: string): { status: number; body: string }
  /** The code as the vendor would read it from the request. */
  codeIn(request: VendorRequest): unknown
  /** The idempotency key as the vendor would read it. For a provider that is `idempotent`. */
  keyIn?(request: VendorRequest): unknown
  /** Everything in the settings that must not be shown. */
  secrets: string[]
  /** Whether the vendor's status alone says that it takes an SMS. */
  anyBody?: true
}

/** Registers the tests of `testProvider`, and those that every provider passes whose vendor is asked by HTTP. */
export function testHttpProvider(name: string, contract: HttpProviderContract): void {
  const { make, accepted, refused, codeIn, keyIn, secrets, anyBody } = contract
  const sms: SmsMessage = Object.freeze({ ...message, ...contract.message })
  const accept = answer(accepted.status, accepted.body)

  testProvider(name, {
    async setup(mood, quote) {
      const no = refused(quote)
      const replies: Record<VendorMood, Reply> = {
        accepts: accept,
        refuses: answer(no.status, no.body),
        silent: hang,
        breaks: reset,
      }
      const vendor = await vendorServer(replies[mood])
      return {
        provider: make(vendor.url),
        codes: () => vendor.requests.map(codeIn),
        ...(keyIn && { keys: () => vendor.requests.map(keyIn) }),
        close: () => vendor[Symbol.asyncDispose](),
      }
    },
    secrets,
    message: sms,
  })

  async function outcomeWith(reply: Reply, milliseconds?: number): Promise<Outcome> {
    await using vendor = await vendorServer(reply)
    return await outcomeOf(make(vendor.url), sms, milliseconds)
  }

  test(`${name}: one call is one request, a POST that says how it is encoded.`, async () => {
    await using vendor = await vendorServer(accept)
    await outcomeOf(make(vendor.url), sms)
    assert.equal(vendor.requests.length, 1)
    assert.equal(vendor.requests[0]?.method, 'POST')
    assert.match(String(vendor.requests[0]?.headers['content-type']), /^application\//)
  })

  test(`${name}: a base URL may end with a slash.`, async () => {
    await using vendor = await vendorServer(accept)
    const provider = make(`${vendor.url}/`)
    await outcomeOf(provider, sms)
    assert.match(String(vendor.requests[0]?.path), /^\/(?!\/)/)
  })

  test(`${name}: the signal ends an answer that never ends, in time and as ambiguous.`, async () => {
    const half: Reply = (response) => response.writeHead(200).write('{')
    assert.equal((await outcomeWith(half, 50)).class, 'ambiguous')
  })

  test(`${name}: a signal that has aborted before sends nothing and is retry.`, async () => {
    await using vendor = await vendorServer(accept)
    const outcome = await outcomeOf(make(vendor.url), sms, 0)
    assert.equal(outcome.class, 'retry')
    assert.equal(vendor.requests.length, 0)
  })

  test(`${name}: a refused connection is retry.`, async () => {
    const vendor = await vendorServer(accept)
    await vendor[Symbol.asyncDispose]()
    const outcome = await outcomeOf(make(vendor.url), sms)
    assert.equal(outcome.class, 'retry')
  })

  test(`${name}: a connection refused at every address of a host is retry.`, async () => {
    const vendor = await vendorServer(accept)
    await vendor[Symbol.asyncDispose]()
    const provider = make(vendor.url.replace('127.0.0.1', 'localhost'))
    const outcome = await outcomeOf(provider, sms)
    assert.equal(outcome.class, 'retry')
  })

  test(`${name}: a connection that ends within the answer is ambiguous.`, async () => {
    const half: Reply = (response) => {
      response.writeHead(200, { 'Content-Length': 100 })
      response.write('{', () => response.destroy())
    }
    assert.equal((await outcomeWith(half)).class, 'ambiguous')
  })

  for (const [details, expected] of failures) {
    const title = Object.values(details).join(' at ')
    test(`${name}: a fetch that fails with ${title} is ${expected}.`, async () => {
      // The global fetch throws a TypeError whose cause says what happened; another one may throw the cause itself.
      const cause = Object.assign(new Error('as Node reports it'), details)
      for (const thrown of [new TypeError('fetch failed', { cause }), cause]) {
        const provider = make('https://vendor.invalid', () => Promise.reject(thrown))
        const outcome = await outcomeOf(provider, sms)
        assert.equal(outcome.class, expected)
      }
    })
  }

  test(`${name}: a fetch that fails without saying why is ambiguous.`, async () => {
    for (const thrown of [
      new TypeError('fetch failed'),
      new AggregateError([]),
      'text',
      undefined,
    ]) {
      const provider = make('https://vendor.invalid', () => Promise.reject(thrown))
      const outcome = await outcomeOf(provider, sms)
      assert.equal(outcome.class, 'ambiguous')
    }
  })

  for (const status of [301, 302, 307, 308]) {
    test(`${name}: a redirect with ${status} is not followed and not ok.`, async () => {
      await using vendor = await vendorServer((response, request) =>
        request.path === '/elsewhere'
          ? accept(response, request)
          : response.writeHead(status, { Location: '/elsewhere' }).end(),
      )
      const outcome = await outcomeOf(make(vendor.url), sms)
      assert.equal(outcome.class, 'ambiguous')
      assert.equal(vendor.requests.length, 1)
    })
  }

  test(`${name}: a far too long answer is cut off, not collected, and ambiguous.`, async () => {
    let closed: Promise<unknown> | undefined
    let sent = 0
    // More than the two ends of the connection hold by themselves.
    const total = 32 * 1024 * 1024
    const chunk = Buffer.alloc(16 * 1024, ' ')
    const flood: Reply = (response) => {
      closed = once(response, 'close')
      response.writeHead(200)
      const pour = () => {
        if (response.destroyed) return
        if (sent >= total) return response.end()
        sent += chunk.length
        response.write(chunk, pour)
      }
      pour()
    }
    await using vendor = await vendorServer(flood)
    const outcome = await outcomeOf(make(vendor.url), sms)
    assert.equal(outcome.class, 'ambiguous')
    await closed
    assert.ok(sent < total, 'expected it not to read everything')
  })

  for (const body of anyBody ? [] : unreadable) {
    test(`${name}: HTTP 200 with ${JSON.stringify(body)} is ambiguous.`, async () => {
      assert.equal((await outcomeWith(answer(200, body))).class, 'ambiguous')
    })
  }

  for (const status of [500, 502, 503, 504]) {
    test(`${name}: HTTP ${status} with a page of a gateway is ambiguous.`, async () => {
      assert.equal((await outcomeWith(answer(status, '<html>'))).class, 'ambiguous')
    })
  }

  test(`${name}: HTTP 429 is retry.`, async () => {
    assert.equal((await outcomeWith(answer(429, ''))).class, 'retry')
  })

  test(`${name}: no secret, number or code is in an outcome, whatever the vendor quotes.`, async () => {
    const national = sms.phone.slice(3)
    const hidden = [...secrets, sms.phone, national, sms.code, sms.text]
    const quote = (request: VendorRequest) => JSON.stringify([request, ...hidden])
    const replies: Reply[] = [
      accept,
      hang,
      reset,
      (response, request) => {
        const { status, body } = refused(quote(request))
        response.writeHead(status).end(body)
      },
      ...[200, 201, 400, 401, 500].map((status): Reply => {
        return (response, request) => response.writeHead(status).end(quote(request))
      }),
      ...fields.map((field): Reply => answer(200, JSON.stringify({ [field]: national }))),
      ...fields.map((field): Reply => answer(400, JSON.stringify({ [field]: Number(national) }))),
    ]
    for (const reply of replies) {
      const shown = JSON.stringify(await outcomeWith(reply, 200))
      checkHidden(shown, hidden)
    }
  })
}

const fields = ['statusCode', 'statusMsg', 'code', 'message', 'sid', 'smsMessageSid']

const unreadable = [
  '',
  'null',
  '[]',
  '"000000"',
  '0',
  '{}',
  '{"a":',
  '<html>Log in</html>',
  '\0\xff',
]

const failures: [{ code: string; syscall?: string }, string][] = [
  [{ code: 'ENOTFOUND', syscall: 'getaddrinfo' }, 'retry'],
  [{ code: 'EAI_AGAIN', syscall: 'getaddrinfo' }, 'retry'],
  [{ code: 'ECONNREFUSED' }, 'retry'],
  [{ code: 'ETIMEDOUT', syscall: 'connect' }, 'retry'],
  [{ code: 'EHOSTUNREACH', syscall: 'connect' }, 'retry'],
  [{ code: 'UND_ERR_CONNECT_TIMEOUT' }, 'retry'],
  [{ code: 'CERT_HAS_EXPIRED' }, 'retry'],
  [{ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'retry'],
  [{ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'retry'],
  [{ code: 'ECONNRESET', syscall: 'read' }, 'ambiguous'],
  [{ code: 'ETIMEDOUT', syscall: 'read' }, 'ambiguous'],
  [{ code: 'EHOSTUNREACH', syscall: 'read' }, 'ambiguous'],
  [{ code: 'EPIPE', syscall: 'write' }, 'ambiguous'],
  [{ code: 'UND_ERR_SOCKET' }, 'ambiguous'],
  [{ code: 'UND_ERR_HEADERS_TIMEOUT' }, 'ambiguous'],
  [{ code: 'UND_ERR_BODY_TIMEOUT' }, 'ambiguous'],
  [{ code: 'ERR_SOMETHING_NEW' }, 'ambiguous'],
]
