/** The connections that providers use where they are given no `fetch`. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { post } from '../src/providers/http.ts'
import { createFetch } from '../src/providers/pool.ts'
import type { Fetch } from '../src/providers/provider.ts'
import { programArgs } from './compiled.ts'
import { certificate } from './vendor-tls.ts'

const ok = { status: 200, json: { ok: 1 }, retryAfter: false }
const answer: RequestListener = (_, response) => response.end('{"ok":1}')

test('calls at once have a connection each, and later ones use them again.', async (t) => {
  const { url, sockets } = await listen(t, createServer(answer))
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(url)))
    for (const each of answers) assert.deepEqual(each, ok)
  }
  assert.equal(sockets.length, 50)
})

test('a thousand calls wait for their answers at the same time.', async (t) => {
  const waiting: ServerResponse[] = []
  const all = (_: unknown, response: ServerResponse) => {
    if (waiting.push(response) < 1000) return
    for (const each of waiting) each.end('{"ok":1}')
  }
  const { url } = await listen(t, createServer(all))
  const answers = await Promise.all(Array.from({ length: 1000 }, () => send(url)))
  for (const each of answers) assert.deepEqual(each, ok)
})

test('a kept connection that the server has closed is not used again.', async (t) => {
  const { url, sockets } = await listen(t, createServer(answer))
  for (let round = 1; round <= 3; round++) {
    assert.deepEqual(await send(url), ok)
    assert.equal(sockets.length, round)
    sockets.at(-1)?.end()
    await closed(sockets.at(-1))
  }
})

test('a kept connection that the server has reset is not used again.', async (t) => {
  const { url, sockets } = await listen(t, createServer(answer))
  assert.deepEqual(await send(url), ok)
  sockets[0]?.resetAndDestroy()
  await closed(sockets[0])
  // On one machine it is there at once; this process reads it in the next turn.
  for (let turn = 0; turn < 2; turn++) await setImmediate()
  assert.deepEqual(await send(url), ok)
  assert.equal(sockets.length, 2)
})

test('a connection that the server will not keep for more than 2 s is not used again.', async (t) => {
  const brief: RequestListener = (_, response) =>
    response.writeHead(200, { 'Keep-Alive': 'timeout=2' }).end('{"ok":1}')
  const { url, sockets } = await listen(t, createServer(brief))
  assert.deepEqual(await send(url), ok)
  assert.deepEqual(await send(url), ok)
  assert.equal(sockets.length, 2)
})

test('an idle connection is closed long before a server that would keep it does so.', async (t) => {
  const server = createServer({ keepAliveTimeout: 100_000 }, answer)
  const { url, sockets } = await listen(t, server)
  assert.deepEqual(await send(url), ok)
  await closed(sockets[0])
})

test('connecting has its own limit, with the TLS handshake, and what comes of it is retry.', async (t) => {
  const { port } = await listen(
    t,
    createTcpServer((socket) => socket.resume()),
  )
  const quick = createFetch({ timeout: 50 })
  for (const fetch of [quick, undefined]) {
    const outcome = await send(`https://127.0.0.1:${port}/`, { fetch })
    assert.deepEqual(outcome, { class: 'retry', code: 'UND_ERR_CONNECT_TIMEOUT' })
  }
})

test('a signal that ends the connecting is retry, and nothing is sent later.', async (t) => {
  const { port, sockets } = await listen(
    t,
    createTcpServer((socket) => socket.resume()),
  )
  const outcome = await send(`https://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(50) })
  assert.deepEqual(outcome, { class: 'retry', code: 'TimeoutError' })
  await closed(sockets[0])
})

test('a signal that ends before there is a connection keeps the request from being written.', async (t) => {
  let requests = 0
  const count: RequestListener = (_, response) => {
    requests++
    response.end('{"ok":1}')
  }
  const { url, port } = await listen(t, createServer(count))
  const controller = new AbortController()
  const fetch = createFetch({
    lookup(_, __, callback) {
      controller.abort()
      callback(null, [{ address: '127.0.0.1', family: 4 }])
    },
  })
  const outcome = await send(`http://vendor.invalid:${port}/`, {
    fetch,
    signal: controller.signal,
  })
  assert.deepEqual(outcome, { class: 'retry', code: 'AbortError' })
  // Had the first one been written, it would have come before this one.
  assert.deepEqual(await send(url), ok)
  assert.equal(requests, 1)
})

test('a signal that ends after the request was written is ambiguous, and closes the connection.', async (t) => {
  const { url, sockets } = await listen(
    t,
    createServer((_, response) => response.writeHead(200).write('{')),
  )
  const outcome = await send(url, { signal: AbortSignal.timeout(50) })
  assert.deepEqual(outcome, { class: 'ambiguous', code: 'TimeoutError' })
  if (!sockets[0]?.closed) await once(sockets[0] as Socket, 'close')
})

test('a connection that ends in the TLS handshake is retry.', async (t) => {
  const { port } = await listen(
    t,
    createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
  )
  const outcome = await send(`https://127.0.0.1:${port}/`)
  assert.deepEqual(outcome, { class: 'retry', code: 'ECONNRESET' })
})

test('a certificate that nobody vouches for is retry with an alert, and nothing is sent.', async (t) => {
  let requests = 0
  const { port } = await listen(
    t,
    createTlsServer(certificate, () => requests++),
  )
  const outcome = await send(`https://localhost:${port}/`)
  const code = 'DEPTH_ZERO_SELF_SIGNED_CERT'
  assert.deepEqual(outcome, { class: 'retry', code, alert: true })
  assert.equal(requests, 0)
})

test('TLS names the host; a process ends while connections are kept; proxies of the environment are not used.', async (t) => {
  const hosts: unknown[] = []
  const server = createTlsServer({ ...certificate, keepAliveTimeout: 100_000 }, (_, response) => {
    hosts.push((response.socket as TLSSocket).servername)
    response.end('{"ok":1}')
  })
  const { port } = await listen(t, server)
  assert.deepEqual(await inProcess(t, `https://localhost:${port}/`), ok)
  assert.deepEqual(hosts, ['localhost'])
  const code = 'ERR_TLS_CERT_ALTNAME_INVALID'
  const outcome = await inProcess(t, `https://127.0.0.1:${port}/`)
  assert.deepEqual(outcome, { class: 'retry', code, alert: true })
  assert.equal(hosts.length, 1)
})

test('a redirect is an answer with its status.', async (t) => {
  const paths: unknown[] = []
  const { url } = await listen(
    t,
    createServer(({ url }, response) => {
      paths.push(url)
      response.writeHead(307, { Location: '/elsewhere' }).end('{"ok":1}')
    }),
  )
  assert.deepEqual(await send(url), { ...ok, status: 307 })
  assert.deepEqual(paths, ['/'])
})

test('an early hint is not the answer, and an answer may come byte by byte.', async (t) => {
  const { url } = await listen(
    t,
    createServer(async (_, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      for (const each of '{"ok":1}') {
        await new Promise((resolve) => response.write(each, resolve))
      }
      response.end()
    }),
  )
  assert.deepEqual(await send(url), ok)
})

test('an address that is none is no answer, and nothing is thrown.', async () => {
  const outcome = await send('nowhere')
  assert.deepEqual(outcome, { class: 'ambiguous', code: 'ERR_INVALID_URL' })
})

interface Listening {
  port: number
  url: string
  /** Every connection so far, in order. */
  sockets: Socket[]
}

/** Listens on a free port of the loopback address until the end of the test. */
async function listen(t: TestContext, server: Server): Promise<Listening> {
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { port, url: `http://127.0.0.1:${port}/`, sockets }
}

async function closed(socket: Socket | undefined): Promise<void> {
  assert.ok(socket)
  if (!socket.closed) await once(socket, 'close')
}

function send(
  url: string,
  {
    fetch,
    signal = AbortSignal.timeout(30_000),
  }: { fetch?: Fetch | undefined; signal?: AbortSignal } = {},
) {
  const headers = { 'Content-Type': 'application/json' }
  return post(fetch, url, { headers, body: '{"code":"012345"}', signal })
}

/** The same from a process of its own, which trusts the certificate and is told of a proxy that is not there. */
async function inProcess(t: TestContext, url: string): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'sms-verify-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'cert.pem')
  await writeFile(file, certificate.cert)
  const proxy = 'http://127.0.0.1:1'
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: file, HTTPS_PROXY: proxy, https_proxy: proxy }
  const args = [...programArgs('test/one-post.ts'), url]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 60_000 })
  return JSON.parse(stdout)
}
