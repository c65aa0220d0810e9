/** The consumer's health over HTTP. */
import { createServer, type Server } from 'node:http'
import { portNumber } from './cli-values.ts'
import type { Consumer } from './consumer.ts'

/** For an orchestrator: `/live` while the process runs, `/ready` while it can work, and which part is missing if not. */
export async function serveHealth(
  port: string | undefined,
  consumer: () => Consumer | undefined,
): Promise<Server | undefined> {
  if (port === undefined) return undefined
  const server = createServer((request, response) => {
    const parts = consumer()?.health() ?? { redis: false, amqp: false }
    const answers: Record<string, [status: number, body: object]> = {
      '/live': [200, { live: true }],
      '/ready': [parts.redis && parts.amqp ? 200 : 503, parts],
    }
    const [status, body] = answers[request.url ?? ''] ?? [404, { paths: Object.keys(answers) }]
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((done, reject) => {
    const fail = (error: Error) => reject(new Error(`--health-port: ${error.message}`))
    server.once('error', fail).listen(portNumber('--health-port', port), done)
  })
  server.unref()
  return server
}
