/** Our routes in the embedded mode, with a provider that does nothing. */
import Fastify from 'fastify'
import { smsVerify } from '../../src/plugin.ts'
import { OPTIONS } from './options.ts'
import { ready } from './program.ts'

const app = Fastify()
const provider = { name: 'nobody', send: async () => ({ class: 'ok' as const }) }
await app.register(smsVerify, { ...OPTIONS, embedded: true, provider, brand: 'Bench' })
await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
