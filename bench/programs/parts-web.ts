/** The parts of a send and of a check behind routes like ours, with Redis and RabbitMQ or without. */
import Fastify, { type FastifyReply } from 'fastify'
import { createTurns, REQUESTS_IN_A_TURN } from '../../src/turns.ts'
import { WRONG_CODE } from './answers.ts'
import { asker, CHECK, ISSUE, makeCheck, makeSend, open, publisher } from './parts.ts'
import { ready, settings } from './program.ts'

const app = Fastify()
const { redis, amqp, queuePrefix } = settings
const ask = redis ? await asker(redis) : undefined
// Begun as ours are.
const turn = createTurns(redis ? REQUESTS_IN_A_TURN : Number.POSITIVE_INFINITY)
const publish = redis ? await publisher(amqp, `${queuePrefix}.floor`) : undefined

app.post<{ Body: { phone: string } }>('/sms/send', async ({ body: { phone } }, reply) => {
  await turn()
  const sealed = makeSend(phone)
  const { id, sealedPhone, sealedCode } = sealed
  if (ask && publish) {
    await ask(ISSUE, { id, sealedPhone, sealedCode, counter: '0123456789abcdef01234567' })
    // The number, as the bare route has it, so that it can be told when it is called.
    await publish(phone)
  } else {
    open(sealed)
  }
  return reply.code(202).send({ id: sealed.id, expiresIn: 300, resendIn: 60, codeLength: 6 })
})

app.post<{ Body: { id: string; code: string } }>(
  '/sms/verify',
  async ({ body: { id, code } }, reply) => {
    await turn()
    const [mac = '', subject = '', proof = ''] = makeCheck(id, code)
    if (ask) await ask(CHECK, { id, mac, subject, proof })
    return sayWrong(reply)
  },
)

const sayWrong = (reply: FastifyReply) =>
  reply.code(422).type('application/problem+json; charset=utf-8').send(WRONG_CODE)

await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
