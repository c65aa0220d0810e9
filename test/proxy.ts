/** A TCP proxy whose connections a test can cut, silence or refuse. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface Proxy {
  /** The address given, by way of the proxy. */
  url: string
  /** Resets all connections, and the ones to come while `refuse` is true. */
  cut(): void
  /** While true, new connections are reset at once. */
  refuse: boolean
  /** While true, nothing that the server says gets through; what the client says does. */
  mute: boolean
}

export async function startProxy(t: TestContext, address: string): Promise<Proxy> {
  const target = new URL(address)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    if (proxy.refuse) return void client.resetAndDestroy()
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', (chunk) => {
      if (!proxy.mute) client.write(chunk)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(address)
  url.port = String((server.address() as AddressInfo).port)
  const proxy: Proxy = {
    url: url.href,
    refuse: false,
    mute: false,
    cut() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
  }
  t.after(() => {
    server.close()
    proxy.cut()
  })
  return proxy
}
