/** The web server under test: the plugin without limits, in a process that can be killed. Settings are in the environment. */
import Fastify from 'fastify'
import { smsVerify } from '../../src/plugin.ts'

const {
  REDIS_URL = '',
  AMQP_URL = '',
  SMS_VERIFY_SECRET = '',
  PORT,
  TTL,
  QUEUE_PREFIX,
} = process.env

const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
await app.register(smsVerify, {
  secret: SMS_VERIFY_SECRET,
  countries: ['CN'],
  redis: REDIS_URL,
  amqp: AMQP_URL.split(','),
  queuePrefix: QUEUE_PREFIX ?? 'faults',
  code: { ttl: Number(TTL) },
  limits: { cooldown: false, phone: false, ip: false, prefix: false, failedChecksPerIp: false },
})
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
console.log(JSON.stringify({ event: 'server.started' }))
process.once('SIGTERM', () => app.close().then(() => process.exit()))
