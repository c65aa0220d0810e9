/** Our routes on Redis and RabbitMQ, with the defaults but for limits that a load from one address does not exhaust. */
import Fastify from 'fastify'
import { smsVerify } from '../../src/plugin.ts'
import { OPTIONS } from './options.ts'
import { ready, settings } from './program.ts'

const app = Fastify()
const { redis, amqp, queuePrefix } = settings
await app.register(smsVerify, { ...OPTIONS, redis, amqp, queuePrefix })
await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
