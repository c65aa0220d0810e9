/**
 * A provider of your own, from the contract alone: here for a gateway that takes JSON over HTTP. The consumer runs it by
 * `npm run consumer -- --provider ./examples/custom-provider.ts`; in your project, compiled to JavaScript, by
 * `sms-verify-consumer --provider ./gateway.js`.
 */
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { smsVerify } from '../src/plugin.ts' // in your project: 'fastify-sms-verify'
import { type OutcomeClass, outcomeOfError, type SmsProvider } from '../src/providers/index.ts' // 'fastify-sms-verify/providers'

/** The gateway's statuses. All others count as `ambiguous`: it may have been sent. */
const OUTCOMES: Record<number, OutcomeClass> = {
  202: 'ok',
  401: 'account',
  409: 'duplicate',
  422: 'permanent_recipient',
  429: 'retry',
}

export function gatewayProvider(url: string | undefined): SmsProvider {
  if (!url) throw new Error('gateway: url: expected the URL of the gateway, got none')
  return {
    name: 'gateway',
    // It knows a key that it has seen, so a request without an answer is safe to repeat.
    idempotent: true,
    async send({ phone, text, key }, { signal }) {
      try {
        const { status } = await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': key },
          body: JSON.stringify({ to: phone, text }),
          redirect: 'error',
          signal,
        })
        return { class: OUTCOMES[status] ?? 'ambiguous', code: `HTTP_${status}` }
      } catch (error) {
        return outcomeOfError(error) // `retry` where it cannot have got there
      }
    },
  }
}

export default () => gatewayProvider(process.env.GATEWAY_URL)

// Run by itself, the file is a server in embedded mode and, unless there is a GATEWAY_URL, the gateway too.
if (import.meta.filename === process.argv[1]) {
  const port = Number(process.env.PORT ?? 3000)
  const app = Fastify({ logger: true })
  await app.register(smsVerify, {
    secret: process.env.SMS_VERIFY_SECRET ?? randomBytes(32).toString('hex'),
    countries: ['CN'],
    provider: gatewayProvider(process.env.GATEWAY_URL ?? `http://127.0.0.1:${port}/gateway`),
  })
  app.post('/gateway', async (request, reply) => {
    console.log('The gateway sends', request.body)
    return reply.code(202).send()
  })
  await app.listen({ host: '127.0.0.1', port })
}
