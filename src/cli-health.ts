/** The consumer's health over HTTP. */
import { createServer, type Server } from 'node:http'
import { portNumber } from './cli-values.ts'
import type { Consumer } from './consumer.ts'

/**
 * For an orchestrator: `/live` while the process runs, `/ready` while it can work, and which part is missing if not. For
 * Prometheus: `/metrics`, in its text format (prometheus.io/docs/instrumenting/exposition_formats).
 */
export async function serveHealth(
  port: string | undefined,
  consumer: () => Consumer | undefined,
): Promise<Server | undefined> {
  if (port === undefined) return undefined
  const server = createServer((request, response) => {
    const parts = consumer()?.health() ?? { redis: false, amqp: false }
    const answers: Record<string, [status: number, type: string, body: string]> = {
      '/live': [200, JSON_TYPE, JSON.stringify({ live: true })],
      '/ready': [parts.redis && parts.amqp ? 200 : 503, JSON_TYPE, JSON.stringify(parts)],
      '/metrics': [200, METRICS_TYPE, metrics(consumer()?.counts() ?? {}, parts)],
    }
    const paths = JSON.stringify({ paths: Object.keys(answers) })
    const [status, type, body] = answers[request.url ?? ''] ?? [404, JSON_TYPE, paths]
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
  })
  await new Promise<void>((done, reject) => {
    const fail = (error: Error) => reject(new Error(`--health-port: ${error.message}`))
    server.once('error', fail).listen(portNumber('--health-port', port), done)
  })
  server.unref()
  return server
}

const JSON_TYPE = 'application/json'
const METRICS_TYPE = 'text/plain; version=0.0.4'

const metrics = (counts: Record<string, number>, parts: Record<string, boolean>): string =>
  [
    '# HELP sms_verify_events_total What became of jobs, by the event of the log.',
    '# TYPE sms_verify_events_total counter',
    ...Object.entries(counts).map(
      ([event, count]) => `sms_verify_events_total{event="${event}"} ${count}`,
    ),
    '# HELP sms_verify_up Whether the part is connected.',
    '# TYPE sms_verify_up gauge',
    ...Object.entries(parts).map(([part, up]) => `sms_verify_up{part="${part}"} ${Number(up)}`),
    '',
  ].join('\n')
