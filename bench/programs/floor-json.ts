/** Bare routes that answer JSON of the same size as ours, and do nothing else. */
import Fastify from 'fastify'
import { ready } from './program.ts'

const id = 'NdsvqT-I4G6YKoJsbwfkTNz-'
const app = Fastify()
app.post('/sms/send', (_request, reply) =>
  reply.code(202).send({ id, expiresIn: 300, resendIn: 60, codeLength: 6 }),
)
app.post('/sms/verify', (_request, reply) =>
  reply.code(422).send({
    type: 'about:blank',
    title: 'Unprocessable Entity',
    status: 422,
    detail: 'The code is wrong.',
    code: 'SMS_VERIFY_WRONG_CODE',
    checksLeft: 4,
  }),
)
await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
