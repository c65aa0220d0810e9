/** The web server under test, in a process that can be killed. Settings are in the environment. */
import Fastify from 'fastify'
import { smsVerify } from '../../src/plugin.ts'

const { env } = process
const { REDIS_URL = '', AMQP_URL = '', SMS_VERIFY_SECRET = '', QUEUE_PREFIX = 'faults', PORT } = env

const app = Fastify({
  logger: { level: env.LOG_LEVEL ?? 'info' },
  // As behind a load balancer on this machine.
  trustProxy: '127.0.0.1',
  forceCloseConnections: true,
})
await app.register(smsVerify, {
  secret: SMS_VERIFY_SECRET,
  countries: ['CN'],
  redis: REDIS_URL,
  amqp: AMQP_URL.split(','),
  queuePrefix: QUEUE_PREFIX,
  ...JSON.parse(env.OPTIONS ?? '{}'),
})
app.post<{ Body: { proof: string } }>('/accounts', async ({ body }) => {
  const { purpose } = await app.smsVerify.redeem(body.proof)
  return { purpose }
})
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
console.log(JSON.stringify({ event: 'server.started' }))
process.once('SIGTERM', () => app.close().then(() => process.exit()))
