/** The vendors, played by this process: what they were asked is the ground truth of what was sent. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Sms {
  phone: string
  code: string
  /** When the request was there, by this process's clock. */
  at: number
  /** Seconds the consumer said are left of the code's life; Twilio only. */
  validity: number | undefined
  /** How often the vendor was asked for this number before. */
  nth: number
  /** Whether a handset rings: it was neither refused nor recognised as a repetition. */
  accepted: boolean
  /** Whether the consumer was told. */
  answered: boolean
}

/** What the vendor makes of one request. */
export interface Treatment {
  accept: boolean
  /** Not accepting it is for good. */
  final?: boolean
  /** Milliseconds until the answer; none at all when it is infinite. */
  after: number
}

export interface Vendor {
  name: 'twilio' | 'ronglian'
  /** For the consumer's environment. */
  env: Record<string, string>
  received: Sms[]
  treat: (request: { phone: string; nth: number }) => Treatment
  /** While down, connections are refused. */
  down(): Promise<void>
  up(): Promise<void>
  close(): Promise<void>
}

type Read = Pick<Sms, 'phone' | 'code' | 'validity'> & { key?: string }

const HEX32 = 'abcdef0123456789abcdef0123456789'

const KINDS = {
  twilio: {
    env: (url: string) => ({
      SMS_PROVIDER: 'twilio',
      TWILIO_ACCOUNT_SID: `AC${HEX32}`,
      TWILIO_AUTH_TOKEN: 'token',
      TWILIO_FROM: '+15550006789',
      TWILIO_BASE_URL: url,
    }),
    read(body: string): Read {
      const form = new URLSearchParams(body)
      return {
        phone: form.get('To') ?? '',
        code: /\d{6,10}/.exec(form.get('Body') ?? '')?.[0] ?? '',
        validity: Number(form.get('ValidityPeriod')),
      }
    },
    accepted: { status: 201, body: { sid: `SM${HEX32}` } },
    repeated: { status: 201, body: { sid: `SM${HEX32}` } },
    // Never processed, so it is tried again.
    refused: { status: 429, body: { code: 20429 } },
    rejected: { status: 400, body: { code: 21211 } },
  },
  ronglian: {
    env: (url: string) => ({
      SMS_PROVIDER: 'ronglian',
      RONGLIAN_ACCOUNT_SID: 'account',
      RONGLIAN_AUTH_TOKEN: 'token',
      RONGLIAN_APP_ID: 'app',
      RONGLIAN_TEMPLATE_ID: '1',
      RONGLIAN_BASE_URL: url,
    }),
    read(body: string): Read {
      const { to, datas, reqId } = JSON.parse(body) as {
        to: string
        datas: string[]
        reqId: string
      }
      return { phone: `+86${to}`, code: datas[0] ?? '', validity: undefined, key: reqId }
    },
    accepted: {
      status: 200,
      body: { statusCode: '000000', templateSMS: { smsMessageSid: HEX32 } },
    },
    repeated: { status: 200, body: { statusCode: '160054' } },
    refused: { status: 429, body: {} },
    rejected: { status: 200, body: { statusCode: '160042' } },
  },
}

/** Milliseconds that a vendor usually takes, long enough that a kill finds requests on their way. */
const USUAL = 30

export async function startVendor(name: Vendor['name']): Promise<Vendor> {
  const kind = KINDS[name]
  const received: Sms[] = []
  const keys = new Set<string>()
  const asked = new Map<string, number>()

  const server = createServer(async (request, response) => {
    const body = await readBody(request).catch(() => undefined)
    if (body === undefined) return
    const { key, ...sms } = kind.read(body)
    const nth = asked.get(sms.phone) ?? 0
    asked.set(sms.phone, nth + 1)
    const { accept, final, after } = vendor.treat({ phone: sms.phone, nth })
    const repeated = key !== undefined && keys.has(key)
    if (accept && key !== undefined) keys.add(key)
    const record = { ...sms, nth, at: Date.now(), accepted: accept && !repeated, answered: false }
    received.push(record)
    if (after === Number.POSITIVE_INFINITY) return
    await sleep(after)
    const refusal = final ? kind.rejected : kind.refused
    const answer = !accept ? refusal : repeated ? kind.repeated : kind.accepted
    record.answered = await say(response, answer.status, JSON.stringify(answer.body))
  })

  const listen = async (port: number) => {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  }
  async function stop(): Promise<void> {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  const vendor: Vendor = {
    name,
    env: kind.env(`http://127.0.0.1:${port}`),
    received,
    treat: () => ({ accept: true, after: USUAL }),
    down: stop,
    up: () => listen(port),
    close: stop,
  }
  return vendor
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  return body
}

function say(response: ServerResponse, status: number, body: string): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve(false)
    response.once('close', () => resolve(response.writableFinished))
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
}
