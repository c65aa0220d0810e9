/** A sign-up: the browser proves a number by /sms/send and /sms/verify, then posts the proof with the form. */
import { randomBytes, randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { smsVerify } from '../src/plugin.ts' // in your project: 'fastify-sms-verify'

interface Account {
  id: string
  name: string
  phone: string
}

/** Stands for your table, whose `phone` has a unique index. */
const accounts = new Map<string, Account>()

const app = Fastify({ logger: true })

await app.register(smsVerify, {
  secret: process.env.SMS_VERIFY_SECRET ?? randomBytes(32).toString('hex'),
  countries: ['CN', 'GB', 'US'],
  purposes: ['signup', 'login'],
})

const body = {
  type: 'object',
  required: ['proof', 'name'],
  additionalProperties: false,
  properties: {
    proof: { type: 'string', maxLength: 128 },
    name: { type: 'string', pattern: '\\S', maxLength: 64 },
  },
}

app.post<{ Body: { proof: string; name: string } }>(
  '/accounts',
  { schema: { body } },
  async (request, reply) => {
    const { proof, name } = request.body
    // Last of all checks, since a proof is good for one try. A phone field in the body would be the client's word
    // only; the number comes from the proof, and a proof for 'login' opens nothing here. Rejects with 410.
    const { phone } = await app.smsVerify.redeem(proof, { purpose: 'signup' })

    reply.header('cache-control', 'no-store')
    // Whoever proved the number may know that it has an account; nobody else learns it.
    if (accounts.has(phone)) return reply.code(409).send({ code: 'ACCOUNT_EXISTS' })
    const account = { id: randomUUID(), name: name.trim(), phone }
    accounts.set(phone, account)
    return reply.code(201).header('location', `/accounts/${account.id}`).send(account)
  },
)

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
