/** Stand-ins for two vendors, over real sockets: what they were asked, when, and what got to the phones. */
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Call {
  at: number
  phone: string
  /** The vendor's idempotency key, where it has one. */
  key: string
  code: string
}

/** `late`: the SMS goes out, the answer never; `silent`: neither. */
export type Mood = 'well' | 'refused' | 'broken' | 'account' | 'silent' | 'late'

export interface Vendor extends AsyncDisposable {
  url: string
  /** Every request that came in. */
  calls: Call[]
  /** Every SMS that went out to a phone. */
  sms: Call[]
  /** When each bad answer was given, by phone. */
  failed: Map<string, number>
  feel(mood: Mood): Promise<void>
}

interface Manners {
  read(path: string, body: string): Omit<Call, 'at'>
  accepted(): object
  account(): object
  /** What it says to a key that it has sent by; without it, it knows no keys. */
  duplicate?(): object
}

const RONGLIAN: Manners = {
  read(_path, body) {
    const { to, datas, reqId } = JSON.parse(body)
    return { phone: `+86${to}`, key: reqId, code: datas[0] }
  },
  accepted: () => ({ statusCode: '000000', templateSMS: { smsMessageSid: 'a'.repeat(32) } }),
  account: () => ({ statusCode: '111109', statusMsg: '' }),
  duplicate: () => ({ statusCode: '160054', statusMsg: '' }),
}

const ALIYUN: Manners = {
  read(path) {
    const query = new URL(path, 'http://aliyun').searchParams
    const { code } = JSON.parse(query.get('TemplateParam') ?? '{}')
    return { phone: `+86${query.get('PhoneNumbers')}`, key: query.get('OutId') ?? '', code }
  },
  accepted: () => ({ Code: 'OK', Message: 'OK', BizId: '123456789^0', RequestId: 'R' }),
  account: () => ({ Code: 'isv.AMOUNT_NOT_ENOUGH', Message: '', RequestId: 'R' }),
}

export const openRonglian = (): Promise<Vendor> => openVendor(RONGLIAN)
export const openAliyun = (): Promise<Vendor> => openVendor(ALIYUN)

async function openVendor(manners: Manners): Promise<Vendor> {
  let mood: Mood = 'well'
  const keys = new Set<string>()
  const server = createServer(async (incoming, response) => {
    let body = ''
    for await (const chunk of incoming.setEncoding('utf8')) body += chunk
    const call = { at: performance.now(), ...manners.read(incoming.url ?? '', body) }
    vendor.calls.push(call)
    if (mood !== 'well')
      response.once('finish', () => vendor.failed.set(call.phone, performance.now()))
    answer(response, call)
  })

  function answer(response: ServerResponse, call: Call): void {
    const say = (json: object) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(json))
    if (mood === 'broken') return void response.writeHead(502).end()
    if (mood === 'account') return void say(manners.account())
    if (mood === 'silent') return
    const known = keys.has(call.key) && manners.duplicate
    keys.add(call.key)
    if (!known) vendor.sms.push(call)
    if (mood !== 'late') say(known ? known() : manners.accepted())
  }

  const port = await listen(server, 0)
  const vendor: Vendor = {
    url: `http://127.0.0.1:${port}`,
    calls: [],
    sms: [],
    failed: new Map(),
    async feel(next) {
      mood = next
      if (next === 'refused') await close(server)
      else if (!server.listening) await listen(server, port)
    },
    [Symbol.asyncDispose]: () => close(server),
  }
  return vendor
}

async function listen(server: Server, port: number): Promise<number> {
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
