/** What has to be so around us for the limits to hold: looked at once, at the start. */
import type { FastifyInstance } from 'fastify'
import { invalidOptions } from './errors.ts'
import type { Logger } from './log.ts'
import type { AmqpAddress } from './queue/connection.ts'
import type { RedisAddress, RedisClient } from './store/redis.ts'

/**
 * Throws where anybody can choose the address that the limits by IP go by (`trustProxy: true` takes the leftmost entry of
 * X-Forwarded-For, which the client writes), or where all people would share the proxy's (a number, since Fastify 5.12).
 */
export function checkTrustProxy(app: FastifyInstance): void {
  const trustProxy = optionsOf(app)?.trustProxy
  if (trustProxy !== true && typeof trustProxy !== 'number') return
  throw new invalidOptions(
    `smsVerify: Fastify's trustProxy: expected the addresses of your proxies or, for one whose address you do not know, (_, hop) => hop === 0; got ${trustProxy}, with which the limits by IP do not hold`,
  )
}

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
  return !/^(rediss|amqps):$/.test(protocol) && !/^(localhost|127\..*|\[::1\])$/.test(hostname)
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
