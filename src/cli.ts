#!/usr/bin/env node
/** `sms-verify-consumer`: `startConsumer` with a command line around it. */
import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { parseArgs } from 'node:util'
import { type Logger, pino } from 'pino'
import { serveHealth } from './cli-health.ts'
import { providerNamed } from './cli-provider.ts'
import { type Environment, list, number, required } from './cli-values.ts'
import { type Consumer, type ConsumerOptions, startConsumer } from './consumer.ts'

interface Flag {
  env: string
  help: string
  short?: string
  /** What stands behind the flag in the help. */
  value: string
  fallback?: string
}

const FLAGS = {
  provider: {
    env: 'SMS_PROVIDER',
    value: 'NAME',
    help: 'console, ronglian, twilio or the path of a module; a,b,c for fail-over in that order',
  },
  'redis-url': { env: 'REDIS_URL', value: 'URL', help: 'where Redis is' },
  'amqp-url': {
    env: 'AMQP_URL',
    value: 'URL',
    help: 'where RabbitMQ is; a,b,c are tried in turn',
  },
  concurrency: { env: 'SMS_CONCURRENCY', value: 'N', help: 'jobs in hand at once', fallback: '64' },
  delivery: {
    env: 'SMS_DELIVERY',
    value: 'MODE',
    help: 'at-least-once or at-most-once, where an SMS may or may not have been sent',
    fallback: 'at-least-once',
  },
  'min-remaining': {
    env: 'SMS_MIN_REMAINING',
    value: 'SECONDS',
    help: 'send nothing with less of the code’s life left',
    fallback: '30',
  },
  brand: { env: 'SMS_BRAND', value: 'NAME', help: 'name of the app in front of the text' },
  'queue-prefix': {
    env: 'SMS_QUEUE_PREFIX',
    value: 'NAME',
    help: 'what the names of the queues begin with',
    fallback: 'sms-verify',
  },
  'health-port': {
    env: 'SMS_HEALTH_PORT',
    value: 'PORT',
    help: 'answer /live, /ready and /metrics over HTTP, on all addresses; ready only while Redis and RabbitMQ are',
  },
  'log-level': {
    env: 'LOG_LEVEL',
    value: 'LEVEL',
    help: 'trace, debug, info, warn, error or silent',
    fallback: 'info',
    short: 'l',
  },
} satisfies Record<string, Flag>

/** Settings that are secrets, or belong to them: a flag would show them in the list of processes. */
const ENVIRONMENT_ONLY = {
  SMS_VERIFY_SECRET: 'required, as in the plugin; a,b with the newest first',
  RONGLIAN_ACCOUNT_SID: 'ronglian: account id',
  RONGLIAN_AUTH_TOKEN: 'ronglian: token',
  RONGLIAN_APP_ID: 'ronglian: application id',
  RONGLIAN_TEMPLATE_ID: 'ronglian: template with {1} code and {2} minutes',
  RONGLIAN_BASE_URL: 'ronglian: other address of the API',
  TWILIO_ACCOUNT_SID: 'twilio: account id, AC…',
  TWILIO_AUTH_TOKEN: 'twilio: token, or else the next two',
  TWILIO_API_KEY: 'twilio: key id, SK…',
  TWILIO_API_SECRET: 'twilio: secret of the key',
  TWILIO_FROM: 'twilio: number to send from, or else the next one',
  TWILIO_MESSAGING_SERVICE_SID: 'twilio: messaging service, MG…',
  TWILIO_BASE_URL: 'twilio: other address of the API, such as a region’s',
}

type Settings = Record<keyof typeof FLAGS, string | undefined>

const EXIT_FAILED = 1
const EXIT_USAGE = 2

async function main(argv: string[], env: Environment): Promise<void> {
  const settings = readSettings(argv, env)
  if (typeof settings === 'string') return void process.stdout.write(settings)

  const logger = createLogger(settings['log-level'])
  let consumer: Consumer | undefined
  let health: Server | undefined
  try {
    const options = await consumerOptions(settings, env, logger)
    health = await serveHealth(settings['health-port'], () => consumer)
    consumer = await startConsumer(options)
  } catch (error) {
    health?.close()
    return fail(error as Error, EXIT_FAILED)
  }

  let stopping = false
  const stop = (signal: NodeJS.Signals) => {
    // The second signal means it: what is in hand is delivered again, elsewhere.
    if (stopping) process.exit(EXIT_FAILED)
    stopping = true
    logger.info({ event: 'consumer.stopping', signal }, 'finishing what is in hand')
    consumer?.close()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  await consumer.closed
  health?.close()
  process.exit()
}

/** The settings, or the text to print instead. A flag goes before its environment variable. */
function readSettings(argv: string[], env: Environment): Settings | string {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
        ...Object.fromEntries(
          Object.entries<Flag>(FLAGS).map(([name, { short }]) => [
            name,
            { type: 'string' as const, ...(short && { short }) },
          ]),
        ),
      },
    }) as { values: Record<string, string | boolean | undefined> }
    if (values.help) return helpText()
    if (values.version) return `${packageVersion()}\n`
    return Object.fromEntries(
      Object.entries<Flag>(FLAGS).map(([name, { env: variable, fallback }]) => [
        name,
        values[name] ?? (env[variable] || fallback),
      ]),
    ) as Settings
  } catch (error) {
    return fail(error as Error, EXIT_USAGE)
  }
}

function createLogger(level: string | undefined): Logger {
  try {
    return pino({ level: level ?? 'info' })
  } catch {
    return fail(
      new Error(`--log-level: expected trace, debug, info, warn, error or silent, got ${level}`),
      EXIT_USAGE,
    )
  }
}

async function consumerOptions(
  settings: Settings,
  env: Environment,
  logger: Logger,
): Promise<ConsumerOptions> {
  const { provider, brand } = settings
  return {
    amqp: list(required(settings['amqp-url'], '--amqp-url or AMQP_URL')),
    redis: required(settings['redis-url'], '--redis-url or REDIS_URL'),
    secret: list(required(env.SMS_VERIFY_SECRET, 'SMS_VERIFY_SECRET')),
    provider: await providerNamed(required(provider, '--provider or SMS_PROVIDER'), env),
    concurrency: number('--concurrency', settings.concurrency),
    minRemaining: number('--min-remaining', settings['min-remaining']),
    delivery: settings.delivery as 'at-least-once',
    queuePrefix: settings['queue-prefix'] as string,
    ...(brand && { brand }),
    logger,
  }
}

function helpText(): string {
  const flags = Object.entries<Flag>(FLAGS).flatMap(
    ([name, { env, help, short, value, fallback }]) => [
      `  ${short ? `-${short}, ` : ''}--${name} ${value}, or ${env}`,
      `      ${help}${fallback ? `; by default ${fallback}` : ''}`,
    ],
  )
  return [
    'Usage: sms-verify-consumer --provider NAME [flags]',
    '',
    'Takes the jobs of fastify-sms-verify from RabbitMQ and has the SMS sent.',
    'Run as many as you like. A flag goes before its environment variable.',
    '',
    ...flags,
    '  -h, --help',
    '  -v, --version',
    '',
    'Environment variables only, since a flag would show them to other users:',
    '',
    ...Object.entries(ENVIRONMENT_ONLY).map(([name, help]) => `  ${name.padEnd(30)}${help}`),
    '',
    'SIGTERM and SIGINT finish what is in hand; a second one ends at once.',
    '',
  ].join('\n')
}

function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')).version
}

function fail(error: Error, exitCode: number): never {
  process.stderr.write(`sms-verify-consumer: ${error.message}\n`)
  process.exit(exitCode)
}

await main(process.argv.slice(2), process.env)
