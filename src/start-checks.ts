/** What has to be so around us for the limits to hold: looked at once, at the start. */
import type { FastifyInstance } from 'fastify'
import { invalidOptions } from './errors.ts'
import type { Logger } from './log.ts'
import { nameOf, strictestText } from './providers/chain.ts'
import type { SmsProvider } from './providers/provider.ts'
import type { AmqpAddress } from './queue/connection.ts'
import { countSegments } from './segments.ts'
import type { RedisAddress, RedisClient } from './store/redis.ts'
import type { Composer, TextOptions } from './text.ts'

/**
 * Throws where anybody can choose the address that the limits by IP go by (`trustProxy: true` takes the leftmost entry of
 * X-Forwarded-For, which the client writes), or where all people would share the proxy's (a number, since Fastify 5.12).
 */
export function checkTrustProxy(app: FastifyInstance): void {
  const trustProxy = optionsOf(app)?.trustProxy
  if (trustProxy !== true && typeof trustProxy !== 'number' && !trustsAnybody(trustProxy)) return
  throw new invalidOptions(
    `smsVerify: Fastify's trustProxy: expected the addresses of your proxies or, for one whose address you do not know, (_, hop) => hop === 0; got ${typeof trustProxy === 'function' ? 'a function that trusts anybody' : trustProxy}, with which the limits by IP do not hold`,
  )
}

/** A function that believes whoever it is, as many hops away as there may be, is `true` by another name. */
const trustsAnybody = (trustProxy: unknown): boolean =>
  typeof trustProxy === 'function' &&
  Array.from({ length: 10 }, (_, hop) => hop).every((hop) => trustProxy('203.0.113.1', hop))

/** Warns where passwords travel in the clear: a plain URL to another machine, in production. */
export function warnOfPlaintext(
  addresses: { redis?: RedisAddress | RedisClient | undefined; amqp?: AmqpAddress | undefined },
  logger: Logger,
): void {
  if (process.env.NODE_ENV !== 'production') return
  for (const [option, address] of Object.entries(addresses)) {
    const urls = [address].flat().filter((each) => typeof each === 'string')
    if (!urls.some(isPlaintext)) continue
    logger.warn(
      { event: 'options.plaintext', option },
      `without TLS the password is readable on the way: use ${option}s://`,
    )
  }
}

function isPlaintext(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return (
    !/^(rediss|amqps):$/.test(protocol) && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
  )
}

/** Bytes that Google's SMS Retriever takes. https://developers.google.com/identity/sms-retriever/verify */
const RETRIEVER_BYTES = 140

/** Warns where a text costs more than one SMS or is too long for Android, and where no text is sent at all. */
export function warnOfTexts(
  composer: Composer,
  options: TextOptions & { providers: readonly SmsProvider[] },
  logger: Logger,
): void {
  const kind = strictestText(options.providers)
  if (kind === 'template') {
    const unused = (['brand', 'texts', 'origin', 'androidHash'] as const).filter(
      (name) => options[name] !== undefined,
    )
    const about = { event: 'options.template', provider: nameOf(options.providers), unused }
    if (unused.length > 0) logger.warn(about, 'no text is sent, but a template of the vendor’s')
    return
  }
  for (const { locale, purpose, text } of composer.longest()) {
    const counted = countSegments(text, { mainland: kind === 'mainland' })
    if (counted.segments > 1) {
      const about = { event: 'options.segments', locale, purpose, ...counted }
      logger.warn(about, 'a text that may need more than one SMS, each of which is billed')
    }
    const bytes = Buffer.byteLength(text)
    if (options.androidHash !== undefined && bytes > RETRIEVER_BYTES) {
      const about = { event: 'options.android', locale, purpose, bytes, max: RETRIEVER_BYTES }
      logger.warn(about, 'a text that may be too long for the SMS Retriever of Android')
    }
  }
}

/** Fastify's own options have no public name; without them nothing is checked. */
function optionsOf(app: FastifyInstance): { trustProxy?: unknown } | undefined {
  for (let level: object | null = app; level; level = Object.getPrototypeOf(level)) {
    const symbol = Object.getOwnPropertySymbols(level).find(
      ({ description }) => description === 'fastify.options',
    )
    if (symbol) return (level as Record<symbol, { trustProxy?: unknown }>)[symbol]
  }
  return undefined
}
