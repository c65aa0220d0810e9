/** A TCP proxy whose connections a test can cut, silence, slow down, refuse or send elsewhere. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface Proxy {
  /** The address given, by way of the proxy. */
  url: string
  /** Where connections from now on lead to. */
  target: string
  /** Resets all connections, and the ones to come while `refuse` is true. */
  cut(): void
  /** While true, new connections are reset at once. */
  refuse: boolean
  /** While true, nothing that the server says gets through; what the client says does. */
  mute: boolean
  /** While true, nothing that the client says gets through; what the server says does. */
  deaf: boolean
  /** Milliseconds that everything takes on its way. */
  delay: number
  /** Resets the first connection on which one side has said that many bytes, after these have passed; once. */
  cutAt: { from: Side; bytes: number } | undefined
  /** Everything that both sides have said, if it is to be kept. */
  heard: Buffer[] | undefined
  /** Puts bytes of its own behind what the client of each connection has said. */
  say(bytes: Buffer): void
  /** While frozen nothing passes, no end of a connection either; thawed, everything that waited does, as TCP would. */
  freeze(frozen: boolean): void
  /** Ends all connections and listens no more. */
  close(): void
}

export type Side = 'client' | 'server'

/** A proxy that is closed after the test. */
export async function startProxy(t: TestContext, address: string): Promise<Proxy> {
  const proxy = await openProxy(address)
  t.after(() => proxy.close())
  return proxy
}

export async function openProxy(address: string): Promise<Proxy> {
  // As the last listener: the test runner has one that decides about the exit code.
  process.off('exit', exit)
  process.on('exit', exit)
  const sockets = new Set<Socket>()
  const upstreams = new Set<Socket>()
  let frozen = false
  const server = createServer((client) => {
    if (proxy.refuse) return void client.resetAndDestroy()
    const { port, hostname } = new URL(proxy.target)
    const upstream = connect(Number(port), hostname)
    upstreams.add(upstream)
    upstream.on('close', () => upstreams.delete(upstream))
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay()
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    forward(client, upstream, 'client')
    forward(upstream, client, 'server')
  })

  function forward(from: Socket, to: Socket, side: Side): void {
    let passed = 0
    from.on('data', (chunk) => {
      const before = passed
      passed += chunk.length
      proxy.heard?.push(chunk)
      if (side === 'server' ? proxy.mute : proxy.deaf) return
      const { cutAt } = proxy
      if (cutAt?.from === side && passed >= cutAt.bytes) {
        proxy.cutAt = undefined
        const reset = () => {
          from.resetAndDestroy()
          to.resetAndDestroy()
        }
        const rest = chunk.subarray(0, Math.max(cutAt.bytes - before, 0))
        return void (rest.length > 0 ? to.write(rest, reset) : reset())
      }
      if (proxy.delay > 0) setTimeout(() => write(chunk), proxy.delay)
      else write(chunk)
    })
    if (frozen) from.pause()

    function write(chunk: Buffer): void {
      if (to.destroyed || to.write(chunk)) return
      from.pause()
      to.once('drain', () => {
        if (!frozen) from.resume()
      })
    }
  }

  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(address)
  url.port = String((server.address() as AddressInfo).port)
  const proxy: Proxy = {
    url: url.href,
    target: address,
    refuse: false,
    mute: false,
    deaf: false,
    delay: 0,
    cutAt: undefined,
    heard: undefined,
    cut() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    say(bytes) {
      for (const upstream of upstreams) upstream.write(bytes)
    },
    freeze(frozenFromNow) {
      frozen = frozenFromNow
      for (const socket of sockets) {
        if (frozen) socket.pause()
        else socket.resume()
      }
    },
    close() {
      server.close()
      proxy.cut()
    },
  }
  return proxy
}

/** Node 20 loses the handle of a socket that fails while it is being reset, and then waits for it for ever in its end. */
const exit = (): void => process.exit()
