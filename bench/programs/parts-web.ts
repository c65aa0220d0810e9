/** The parts of a check, and of a send and a check without Redis and RabbitMQ, behind routes like ours. */
import Fastify, { type FastifyReply } from 'fastify'
import { CHECK, makeCheck, makeSend, open, type Sealed, scriptRunner } from './parts.ts'
import { ready, settings } from './program.ts'

const app = Fastify()
const sent = new Map<string, Sealed>()

app.post<{ Body: { phone: string } }>('/sms/send', async ({ body: { phone } }, reply) => {
  const sealed = makeSend(phone)
  sent.set(sealed.id, sealed)
  open(sealed)
  return reply.code(202).send({ id: sealed.id, expiresIn: 300, resendIn: 60, codeLength: 6 })
})

const run = settings.redis ? await scriptRunner(settings.redis) : undefined
app.post<{ Body: { id: string; code: string } }>(
  '/sms/verify',
  async ({ body: { id, code } }, reply) => {
    const [mac = '', subject = '', proof = ''] = makeCheck(id, code)
    if (run) await run(CHECK, `parts:${id}:`, mac, subject, proof)
    return sayWrong(reply)
  },
)

const sayWrong = (reply: FastifyReply) =>
  reply
    .code(422)
    .type('application/problem+json')
    .send({
      ...{ type: 'about:blank', title: 'Unprocessable Entity', status: 422 },
      ...{ detail: 'The code is wrong.', code: 'SMS_VERIFY_WRONG_CODE', checksLeft: 4 },
    })

await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
