/** A vendor on this machine: records what it is asked and answers as told. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface VendorRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: string
}

/** What the vendor does once it has read a request. */
export type Reply = (response: ServerResponse, request: VendorRequest) => void

export interface VendorServer extends AsyncDisposable {
  /** Address without a final slash. */
  url: string
  /** Every request so far, in order. */
  requests: VendorRequest[]
  /** How the requests from now on are answered. */
  reply: Reply
}

/** Listens on a free port of the loopback address until disposed of. */
export async function vendorServer(reply: Reply): Promise<VendorServer> {
  const server = createServer(async (incoming, response) => {
    let body = ''
    for await (const chunk of incoming.setEncoding('utf8')) body += chunk
    const { method = '', url: path = '', headers } = incoming
    const request = { method, path, headers, body }
    vendor.requests.push(request)
    vendor.reply(response, request)
  })
  const vendor: VendorServer = {
    url: '',
    requests: [],
    reply,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    },
  }
  await once(server.listen(0, '127.0.0.1'), 'listening')
  vendor.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return vendor
}

export function answer(status: number, body: string, headers: Record<string, string> = {}): Reply {
  return (response) => response.writeHead(status, headers).end(body)
}

export function answerJson(status: number, body: unknown): Reply {
  return answer(status, JSON.stringify(body), { 'Content-Type': 'application/json' })
}

export const hang: Reply = () => {}

export const reset: Reply = (response) => response.socket?.resetAndDestroy()
