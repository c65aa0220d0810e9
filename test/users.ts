/** The users of docs/least-privilege.md, made by the commands of that page. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import type { RabbitMQ } from './services/rabbitmq.ts'
import type { Endpoint } from './services/service.ts'

export interface UserUrls {
  redis: string
  amqp: string
}

export interface UsersOptions {
  redis: Endpoint
  rabbitmq: RabbitMQ
  /** In place of `sms-verify` in the names of queues, as a regular expression. */
  queuePrefix?: string
}

/** URLs of the web server's user and of the consumer's. */
export async function createUsers(
  options: UsersOptions,
): Promise<{ web: UserUrls; consumer: UserUrls }> {
  const { redis, rabbitmq, queuePrefix = 'sms-verify' } = options
  const admin = new Redis(redis.url)
  for (const [, ...words] of commands(page(), 'redis-cli')) {
    await admin.acl(...(words as ['SETUSER', string]))
  }
  admin.disconnect()
  const control = commands(page().replaceAll('^sms-verify', `^${queuePrefix}`), 'rabbitmqctl')
  // A user's permissions after the user; each command takes a while to start.
  for (const step of ['add_user', 'set_permissions']) {
    const each = control.filter(([command]) => command === step)
    await Promise.all(each.map((command) => rabbitmq.control(...command)))
  }
  const urls = (user: keyof typeof NAMES): UserUrls => ({
    redis: urlAs(redis.url, user),
    amqp: urlAs(rabbitmq.url, user),
  })
  return { web: urls('web'), consumer: urls('consumer') }
}

/** Has a Redis of ours begin with these users: it would forget those that were made later when it is killed. */
export const redisUsers = (): string[] =>
  commands(page(), 'redis-cli').flatMap(([, , ...words]) => ['--user', ...words])

/** A URL as one of the users, `web` or `consumer`. */
export const urlAs = (url: string, user: keyof typeof NAMES): string =>
  Object.assign(new URL(url), { username: NAMES[user], password: 'change-me' }).href

const NAMES = { web: 'sms-web', consumer: 'sms-consumer' }

const page = () => readFileSync('docs/least-privilege.md', 'utf8')

/** The arguments of the commands of that program, as the page has them. */
function commands(page: string, program: string): string[][] {
  const lines = page.replaceAll('\\\n', ' ').split('\n')
  return lines
    .filter((line) => line.startsWith(`${program} `))
    .map((line) =>
      [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? ''),
    )
    .map(([, ...words]) => words)
}
