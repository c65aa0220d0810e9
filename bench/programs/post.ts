/** One call of the vendor as the floor and the peer make it: the same body as ours, on kept connections, and no more. */
import { Agent, request } from 'node:http'

const agent = new Agent({ keepAlive: true })

const BODY = JSON.stringify({
  ...{ to: '13800138000', appId: 'app', templateId: '1', datas: ['012345', '5'] },
  reqId: '0123456789abcdef0123456789abcdef',
})

const HEADERS = {
  accept: 'application/json',
  'content-type': 'application/json;charset=utf-8',
  'content-length': BODY.length,
  authorization: Buffer.from('account:20260101000000').toString('base64'),
}

/** The same for `fetch`. */
export const REQUEST = {
  method: 'POST',
  headers: { ...HEADERS, 'content-length': String(BODY.length) },
  body: BODY,
}

export function post(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', agent, headers: HEADERS }, (response) => {
      response.resume()
      response.on('end', resolve)
    })
    outgoing.on('error', reject)
    outgoing.end(BODY)
  })
}
