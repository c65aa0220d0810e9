/** Bare routes that answer JSON with as many fields as ours, and do nothing else. */
import Fastify from 'fastify'
import { WRONG_CODE } from './answers.ts'
import { ready } from './program.ts'

const id = 'NdsvqT-I4G6YKoJsbwfkTNz-'
const app = Fastify()
app.post('/sms/send', (_request, reply) =>
  reply.code(202).send({ id, expiresIn: 300, resendIn: 60, codeLength: 6 }),
)
app.post('/sms/verify', (_request, reply) => reply.code(422).send(WRONG_CODE))
await app.listen({ host: '127.0.0.1', port: 0 })
ready(app.listeningOrigin)
