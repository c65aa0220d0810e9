/** The smallest server: all in one process, and the SMS is printed instead of sent. */
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { smsVerify } from '../src/plugin.ts' // in your project: 'fastify-sms-verify'

const app = Fastify({ logger: true })

await app.register(smsVerify, {
  secret: process.env.SMS_VERIFY_SECRET ?? randomBytes(32).toString('hex'),
  countries: ['CN'],
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })

// POST /sms/send    {"phone": "+8613800138000"}      → 202 {"id": …, "expiresIn": 300, "resendIn": 60, "codeLength": 6}
// POST /sms/verify  {"id": …, "code": "…"}           → 200 {"verified": true, "purpose": "default", "proof": …}
