/** `npm start`: the plugin and a page to try it on, with nothing else to set up. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import { type CountryCode, getCountryCallingCode } from 'libphonenumber-js/max'
import { languageOf } from '../src/client/texts.ts'
import { maskPhone } from '../src/mask.ts'
import { type SmsVerifyOptions, smsVerify } from '../src/plugin.ts'
import { COUNTRIES } from '../src/providers/countries.ts'
import { consoleProvider, type SmsMessage, type SmsProvider } from '../src/providers/index.ts'
import type { Receipt, ReceiptSource } from '../src/receipts/index.ts'
import { textsOf } from './texts.ts'

type Environment = Record<string, string | undefined>
type Parts = Pick<SmsVerifyOptions, 'secret' | 'redis' | 'amqp' | 'provider' | 'receipts' | 'brand'>

const PURPOSE = 'signup'

/** How many SMS the phone on the page remembers, over all visitors. */
const REMEMBERED = 20

/** Milliseconds from when the provider takes an SMS until it has arrived: long enough to see one after the other. */
const ON_ITS_WAY = 1000

/** What people's providers do to them, in milliseconds until they take an SMS; one refuses every number. */
const PROVIDERS = { works: 0, slow: 5000, refuses: 0, silent: 3_600_000 }

type Mode = keyof typeof PROVIDERS

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

async function main(env: Environment): Promise<void> {
  const { host, port } = addressOf(env)
  const app = Fastify({
    logger: true,
    // Browsers open connections ahead of use, and Node's server would wait for them when it closes.
    forceCloseConnections: true,
  })
  const phone = createPhone()
  // Else the app would wait for a provider that takes its time.
  app.addHook('preClose', async () => phone.close())
  const parts = connectedParts(env)
  // In production the plugin does not start without Redis and RabbitMQ, so nobody's SMS is on a page there.
  const page = servePage(app, { hasPhone: !parts })
  const plugin = app.register(smsVerify, {
    ...(parts ?? embeddedParts(phone)),
    countries: 'all',
    defaultCountry: 'CN',
    purposes: [PURPOSE],
  })
  await Promise.all([page, plugin])
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
const embeddedParts = ({ provider, receipts }: Phone): Parts => ({
  secret: randomBytes(32).toString('hex'),
  provider,
  receipts: [receipts],
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
  /** Says of each SMS that it has arrived, one to three seconds later. */
  receipts: ReceiptSource
  /** What it does to the next SMS. */
  mode: Mode
  /** What was sent for one verification, oldest first. */
  messages(id: string): SmsMessage[]
  /** Lets go of what is not sent yet. */
  close(): void
}

/** Prints every SMS as the console provider does, and keeps the last ones for the page. Or makes trouble. */
function createPhone(): Phone {
  const terminal = consoleProvider()
  const closing = new AbortController()
  let sent: SmsMessage[] = []
  let arrived: Receipt[] = []
  const phone: Phone = {
    provider: {
      ...terminal,
      async send(message, options) {
        const { mode } = phone
        if (mode === 'refuses') return { class: 'permanent_recipient', code: 'DEMO' }
        const signal = AbortSignal.any([options.signal, closing.signal])
        if (PROVIDERS[mode] > 0) await sleep(PROVIDERS[mode], undefined, { signal })
        sent = [...sent, message].slice(-REMEMBERED)
        const receipt: Receipt = { messageId: message.key, state: 'delivered' }
        setTimeout(() => arrived.push(receipt), ON_ITS_WAY).unref()
        return { ...(await terminal.send(message, options)), messageId: message.key }
      },
    },
    receipts: {
      provider: terminal.name,
      // It is asked; nobody has anything to push.
      read: () => 'forged',
      pull: {
        every: 2,
        async receipts() {
          const receipts = arrived
          arrived = []
          return receipts
        },
      },
    },
    mode: 'works',
    messages: (id) => sent.filter((message) => message.id === id),
    close: () => closing.abort(),
  }
  return phone
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
      const messages = phone.messages(request.query.id)
      return messages.map(({ version, code, text }) => ({ version, code, text }))
    },
  )

  const body = {
    type: 'object',
    required: ['mode'],
    properties: { mode: { enum: Object.keys(PROVIDERS) } },
  }
  app.get('/demo/provider', QUIET, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    return { mode: phone.mode }
  })
  app.put<{ Body: { mode: Mode } }>(
    '/demo/provider',
    { ...QUIET, schema: { body } },
    async (request) => {
      phone.mode = request.body.mode
      return { mode: phone.mode }
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
    '/accounts',
    { schema: { body } },
    async (request, reply) => {
      const { proof, name } = request.body
      const { phone } = await app.smsVerify.redeem(proof, { purpose: PURPOSE })
      const account = { name, phone: maskPhone(phone) }
      return reply.code(201).header('cache-control', 'no-store').send(account)
    },
  )
}

async function servePage(app: FastifyInstance, { hasPhone }: { hasPhone: boolean }): Promise<void> {
  const file = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')
  const html = file('page.html')
  const pageIn = (language: 'en' | 'zh-CN') => {
    const texts = { ...textsOf(language), countries: countriesIn(language) }
    const page = html
      .replace('lang="en"', `lang="${language}"`)
      .replace(/\{(\w+)\}/g, (_, name) => texts[name as keyof typeof texts])
    return hasPhone ? page : page.replace('<aside', '<aside hidden')
  }
  const pages = { en: pageIn('en'), 'zh-CN': pageIn('zh-CN') }
  const script = await bundle('page')
  const css = file('page.css')
  const files = [
    ['/', 'text/html', (languages = '') => pages[languageOf(languages)]],
    ['/page.css', 'text/css', () => css],
    ['/page.js', 'text/javascript', () => script],
  ] as const
  for (const [url, type, textFor] of files) {
    app.get(url, QUIET, (request, reply) =>
      reply
        .type(`${type}; charset=utf-8`)
        .headers({
          'content-security-policy': CONTENT_SECURITY_POLICY,
          'x-content-type-options': 'nosniff',
          'referrer-policy': 'no-referrer',
          'cache-control': 'no-cache',
          vary: 'accept-language',
        })
        .send(textFor(request.headers['accept-language'])),
    )
  }
}

/** A script beside this one, with the client from its sources: nothing has to be built before the start. */
async function bundle(name: string): Promise<string> {
  const { filename } = import.meta
  const { outputFiles } = await build({
    entryPoints: [filename.replace(/server(?=\.[jt]s$)/, name)],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    write: false,
  })
  return outputFiles.map(({ text }) => text).join('')
}

/** Options of a select, named and sorted for people. */
function countriesIn(language: string): string {
  const names = new Intl.DisplayNames(language, { type: 'region' })
  const { compare } = new Intl.Collator(language)
  return COUNTRIES.map((country) => ({ country, name: names.of(country) ?? country }))
    .sort((a, b) => compare(a.name, b.name))
    .map(({ country, name }) => {
      const code = `+${getCountryCallingCode(country as CountryCode)}`
      return `<option value="${code}" data-country="${country}">${name} ${code}</option>`
    })
    .join('')
}

/** Two log lines for each of these requests would bury the SMS. */
const QUIET = { logLevel: 'warn' } as const

await main(process.env).catch((error: Error) => {
  process.stderr.write(`demo: ${error.message}\n`)
  process.exit(1)
})
