/** Plays the vendor of `ronglianProvider`: says yes to everything; notes when it was asked for which number, once somebody has asked for that. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { machineTime } from '../clock.ts'
import { ready } from './program.ts'

const ANSWER = JSON.stringify({
  statusCode: '000000',
  templateSMS: { smsMessageSid: 'abcdef0123456789abcdef0123456789', dateCreated: '20260101000000' },
})

/** Not from the start: to note many numbers takes more time than to answer. */
let calls: Record<string, number> | undefined
const server = createServer((request, response) => {
  const at = machineTime()
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (chunk: string) => {
    body += chunk
  })
  request.on('end', () => {
    const { to } = JSON.parse(body) as { to: string }
    if (calls) calls[`+86${to}`] = at
    response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
  })
})
// Longer than anybody keeps one: node:http, by which the others call, can ask over a connection that is just being closed.
server.keepAliveTimeout = 10 * 60_000
await once(server.listen(0, '127.0.0.1'), 'listening')
ready(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
  calls() {
    const all = calls ?? {}
    calls = {}
    return all
  },
})
