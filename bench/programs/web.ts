/** Our routes on Redis and RabbitMQ, with the defaults but for limits that a load from one address does not exhaust. */
import Fastify from 'fastify'
import { acceptedLanguages } from '../../src/languages.ts'
import { smsVerify } from '../../src/plugin.ts'
import { ACCEPT_LANGUAGE, OPTIONS } from './options.ts'
import { ready, settings } from './program.ts'

const app = Fastify()
const { redis, amqp, queuePrefix } = settings
await app.register(smsVerify, { ...OPTIONS, redis, amqp, queuePrefix })
const host = '127.0.0.1'
await app.listen({ host, port: 0 })

const locale = acceptedLanguages(ACCEPT_LANGUAGE)

/** What goes together takes less time. */
const TOGETHER = 500

ready(app.listeningOrigin, {
  async fill({ phones }) {
    for (let from = 0; from < phones.length; from += TOGETHER) {
      const some = phones.slice(from, from + TOGETHER)
      await Promise.all(some.map((phone) => app.smsVerify.send({ phone, ip: host, locale })))
    }
  },
})
