/** One call of the vendor as the floor and the peer make it: the same body as ours, on kept connections, and no more. */
import { Agent, request } from 'node:http'

// Unused ones are closed as soon as ours are: all have new ones in each round.
const agent = new Agent({ keepAlive: true, timeout: 3000 })

const bodyFor = (to: string) =>
  JSON.stringify({
    to,
    appId: 'app',
    templateId: '1',
    datas: ['012345', '5'],
    reqId: '0123456789abcdef0123456789abcdef',
  })

/** Behind what is added to them: an object that begins with a spread makes Node 20 slow. */
const HEADERS = {
  accept: 'application/json',
  'content-type': 'application/json;charset=utf-8',
  authorization: Buffer.from('account:20260101000000').toString('base64'),
}

/** Whom it is for where that is not looked at. */
const SOMEBODY = '13800138000'

/** The same call for `fetch`. */
export function requestFor(to: string) {
  const body = bodyFor(to)
  return {
    method: 'POST',
    headers: { 'content-length': String(body.length), ...HEADERS },
    body,
  }
}

export function post(url: string, to = SOMEBODY): Promise<void> {
  return new Promise((resolve, reject) => {
    const body = bodyFor(to)
    const headers = { 'content-length': body.length, ...HEADERS }
    const outgoing = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', resolve)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
