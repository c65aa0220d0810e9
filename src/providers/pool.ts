/** Connections to vendors that are kept alive: one pool for each origin, shared by all providers of the process. */
import type { LookupFunction } from 'node:net'
import { buildConnector, Client } from 'undici'
import type { Fetch } from './provider.ts'

/** An answer of more bytes is not a vendor's: lists of receipts have a fifth of it, all others well under 1 KiB. */
const MAX_ANSWER = 512 * 1024

/** Nothing of the request was written; `cause` is what kept it from being. */
export class NotSentError extends Error {
  constructor(cause: unknown) {
    super('not sent', { cause })
  }
}

/** Options of `net.connect` and `tls.connect`. */
export interface ConnectOptions {
  lookup?: LookupFunction
  /** Milliseconds. */
  timeout?: number
}

/**
 * Makes a `fetch` with pools of its own, for requests with short answers:
 *
 * - There are as many connections to an origin as there are calls at once, and the last one used is used next.
 * - An idle connection is closed after 3 s, or 2 s before the server says it will (`Keep-Alive: timeout=4`). Common servers
 *   wait no less than 5 s, and of a request that meets their closing nobody can say whether it was read.
 * - Connecting, with the TLS handshake, may take 3 s. The signal ends a call at any time.
 * - It resolves once the answer is complete, never follows a redirect, and reads no more than 512 KiB.
 * - It rejects with a `NotSentError` if it ended before anything of the request was written.
 * - Certificates are verified. Proxies that the environment names are not used.
 * - Connections that wait for nothing do not keep the process alive.
 */
export function createFetch(connect: ConnectOptions = {}): Fetch {
  const options: Client.Options = {
    connect: buildConnector({
      timeout: 3000,
      // How long one address of several is tried before the next: a vendor may be half the world away, for which Node's
      // 250 ms are too few.
      autoSelectFamilyAttemptTimeout: 1000,
      ...connect,
    }),
    keepAliveTimeout: 3000,
    keepAliveMaxTimeout: 3000,
    keepAliveTimeoutThreshold: 2000,
    maxResponseSize: MAX_ANSWER,
    // The signal is the one limit of time.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  // Not undici's own Pool: it opens up to twice as many connections, and looks through all of them for each call.
  const idle = new Map<string, Client[]>()

  return (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const { origin, pathname, search } = new URL(url)
      const free = idle.get(origin) ?? []
      idle.set(origin, free)
      // One connection, which is opened again if it has been closed.
      const client = free.pop() ?? new Client(origin, options)
      let started = false
      let status = 0
      let fields: Record<string, unknown> = {}
      const chunks: Uint8Array[] = []

      const fail = (error: unknown) => {
        signal.removeEventListener('abort', onAbort)
        reject(started ? error : new NotSentError(error))
        client.destroy()
      }
      const onAbort = () => fail(signal.reason)
      if (signal.aborted) return onAbort()
      signal.addEventListener('abort', onAbort)

      const path = pathname + search
      client.dispatch(
        { path, method: method as 'POST', headers, body },
        {
          // There is a connection, and the request is the next thing written to it.
          onRequestStart() {
            started = true
          },
          // More than once, where hints come before the answer.
          onResponseStart(_, code, names) {
            status = code
            fields = names
          },
          onResponseData(_, chunk) {
            chunks.push(chunk)
          },
          onResponseEnd() {
            signal.removeEventListener('abort', onAbort)
            const get = (name: string) => (name in fields ? String(fields[name]) : null)
            resolve({ status, headers: { get }, body: chunks })
            free.push(client)
          },
          onResponseError: (_, error) => fail(error),
        },
      )
    })
}

/** The one that providers use where they are given none. */
export const pooledFetch: Fetch = createFetch()
