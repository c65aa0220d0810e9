/** `npm start`: the plugin and a page to try it on, with nothing else to set up. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import { consoleProvider, type SmsMessage, type SmsProvider } from '../src/providers/index.ts'

type Environment = Record<string, string | undefined>
type Parts = Pick<SmsVerifyOptions, 'secret' | 'redis' | 'amqp' | 'provider' | 'brand'>

const PURPOSE = 'signup'

/** How many SMS the phone on the page remembers, over all visitors. */
const REMEMBERED = 20

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

async function main(env: Environment): Promise<void> {
  const { host, port } = addressOf(env)
  const app = Fastify({
    logger: true,
    // Browsers open connections ahead of use, and Node's server would wait for them when it closes.
    forceCloseConnections: true,
  })
  const phone = createPhone()
  const parts = connectedParts(env)
  await app.register(smsVerify, {
    ...(parts ?? embeddedParts(phone.provider)),
    countries: 'all',
    defaultCountry: 'CN',
    purposes: [PURPOSE],
  })
  servePage(app, { hasPhone: !parts })
  if (!parts) servePhone(app, phone)
  serveRegistration(app)

  const address = await app.listen({ host, port }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error
    throw new Error(`port ${port} of ${host} is in use; try another one: PORT=3001 npm start`)
  })
  // The first request is the slowest by far; better ours than a person's.
  await fetch(address, { signal: AbortSignal.timeout(1000) }).then(
    (page) => page.text(),
    () => {},
  )
  // Once: a second signal ends the process at once.
  const stop = () => app.close().then(() => process.exit())
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  console.log(parts ? WITH_CONSUMER(address) : EMBEDDED(address))
}

const EMBEDDED = (address: string) => `
Open ${address}/ and prove a number. Nothing is really sent: the SMS is shown here and on the page.
`
const WITH_CONSUMER = (address: string) => `
Start the consumer in another terminal, with the same REDIS_URL, AMQP_URL and SMS_VERIFY_SECRET:

  npm run consumer -- --provider console

Then open ${address}/ and prove a number. The SMS appears in the consumer's terminal.
`

function addressOf({ HOST, PORT }: Environment): { host: string; port: number } {
  const port = Number(PORT || 3000)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) {
    return { host: HOST || '127.0.0.1', port }
  }
  throw new Error(`PORT: expected a number from 0 to 65535, got ${PORT}`)
}

/** Everything in this process. The secret seals what is forgotten with the process, so it need not outlive it. */
const embeddedParts = (provider: SmsProvider): Parts => ({
  secret: randomBytes(32).toString('hex'),
  provider,
  brand: 'Demo',
})

/** Redis and RabbitMQ, if the environment names them; read as `sms-verify-consumer` reads it. */
function connectedParts({
  REDIS_URL,
  AMQP_URL,
  SMS_VERIFY_SECRET,
}: Environment): Parts | undefined {
  if (!REDIS_URL && !AMQP_URL) return undefined
  if (!REDIS_URL || !AMQP_URL) {
    const [given, missing] = REDIS_URL ? ['REDIS_URL', 'AMQP_URL'] : ['AMQP_URL', 'REDIS_URL']
    throw new Error(`expected REDIS_URL and AMQP_URL or neither, got ${given} without ${missing}`)
  }
  if (!SMS_VERIFY_SECRET) {
    throw new Error(
      'SMS_VERIFY_SECRET: expected the secret that the consumer has too, got none; make one: openssl rand -hex 32',
    )
  }
  return { redis: REDIS_URL, amqp: list(AMQP_URL), secret: list(SMS_VERIFY_SECRET) }
}

const list = (text: string): string[] => text.split(',').map((part) => part.trim())

interface Phone {
  provider: SmsProvider
  /** What was sent for one verification, oldest first. */
  messages(id: string): SmsMessage[]
}

/** Prints every SMS as the console provider does, and keeps the last ones for the page. */
function createPhone(): Phone {
  const terminal = consoleProvider()
  let sent: SmsMessage[] = []
  return {
    provider: {
      ...terminal,
      send(message, options) {
        sent = [...sent, message].slice(-REMEMBERED)
        return terminal.send(message, options)
      },
    },
    messages: (id) => sent.filter((message) => message.id === id),
  }
}

/** The SMS of one verification, for whoever holds its unguessable id. A real server must never have such a route. */
function servePhone(app: FastifyInstance, phone: Phone): void {
  const querystring = {
    type: 'object',
    required: ['id'],
    properties: { id: { type: 'string', maxLength: 128 } },
  }
  app.get<{ Querystring: { id: string } }>(
    '/demo/phone',
    { ...QUIET, schema: { querystring } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return phone.messages(request.query.id).map(({ version, text }) => ({ version, text }))
    },
  )
}

/** A sign-up without a database. The browser carries the proof, but what it proves the server asks for itself. */
function serveRegistration(app: FastifyInstance): void {
  const body = {
    type: 'object',
    required: ['proof', 'name'],
    properties: {
      proof: { type: 'string', maxLength: 128 },
      name: { type: 'string', pattern: '\\S', maxLength: 64 },
    },
  }
  app.post<{ Body: { proof: string; name: string } }>(
    '/demo/register',
    { schema: { body } },
    async (request, reply) => {
      const { proof, name } = request.body
      const { phone } = await app.smsVerify.redeem(proof, { purpose: PURPOSE })
      return reply.code(201).header('cache-control', 'no-store').send({ name, phone })
    },
  )
}

function servePage(app: FastifyInstance, { hasPhone }: { hasPhone: boolean }): void {
  const file = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')
  const html = file('page.html')
  const files = [
    ['/', 'text/html', hasPhone ? html : html.replace('<aside', '<aside hidden')],
    ['/page.css', 'text/css', file('page.css')],
    ['/page.js', 'text/javascript', file('page.js')],
  ] as const
  for (const [url, type, text] of files) {
    app.get(url, QUIET, (_request, reply) =>
      reply
        .type(`${type}; charset=utf-8`)
        .headers({
          'content-security-policy': CONTENT_SECURITY_POLICY,
          'x-content-type-options': 'nosniff',
          'referrer-policy': 'no-referrer',
          'cache-control': 'no-cache',
        })
        .send(text),
    )
  }
}

/** Two log lines for each of these requests would bury the SMS. */
const QUIET = { logLevel: 'warn' } as const

await main(process.env).catch((error: Error) => {
  process.stderr.write(`demo: ${error.message}\n`)
  process.exit(1)
})
