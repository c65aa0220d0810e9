#!/usr/bin/env node
/** `sms-verify-consumer`: `startConsumer` with a command line around it. */
import type { Server } from 'node:http'
import { type DestinationStream, type Logger, pino } from 'pino'
import { type DeadAction, deadLetters } from './cli-dead.ts'
import { type Command, readCommand, type Settings } from './cli-flags.ts'
import { serveHealth } from './cli-health.ts'
import { providerNamed } from './cli-provider.ts'
import { type Environment, list, number, onOrOff, required } from './cli-values.ts'
import { type Consumer, type ConsumerOptions, startConsumer } from './consumer.ts'
import { stdoutLines } from './log.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

async function main(argv: string[], env: Environment): Promise<void> {
  const { settings, action, text } = commandOf(argv, env)
  if (text !== undefined) return void process.stdout.write(text)
  if (action) return goThroughDead(action, settings)
  const logger = createLogger(settings['log-level'], stdoutLines())
  let consumer: Consumer | undefined
  let health: Server | undefined
  let stopping = false
  const stop = (signal: NodeJS.Signals) => {
    // The second signal means it: what is in hand is delivered again, elsewhere.
    if (stopping) process.exit(EXIT_FAILED)
    stopping = true
    logger.info({ event: 'consumer.stopping', signal }, 'finishing what is in hand')
    consumer?.close()
  }
  // Before the start, in which the first jobs may already come in.
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  try {
    const options = await consumerOptions(settings, env, logger)
    health = await serveHealth(settings['health-port'], () => consumer)
    consumer = await startConsumer(options)
  } catch (error) {
    health?.close()
    return fail(error as Error, EXIT_FAILED)
  }
  if (stopping) consumer.close()
  await consumer.closed
  health?.close()
  process.exit()
}

function commandOf(argv: string[], env: Environment): Command {
  try {
    return readCommand(argv, env)
  } catch (error) {
    return fail(error as Error, EXIT_USAGE)
  }
}

async function goThroughDead(action: DeadAction, settings: Settings): Promise<void> {
  // What is found goes to stdout, and only that.
  const logger = createLogger(settings['log-level'], pino.destination(2))
  const print = (line: string) => void process.stdout.write(`${line}\n`)
  try {
    await deadLetters(action, { ...sharedOptions(settings), logger }, print)
  } catch (error) {
    return fail(error as Error, EXIT_FAILED)
  }
}

function createLogger(level: string | undefined, output: DestinationStream): Logger {
  try {
    return pino({ level: level ?? 'info' }, output)
  } catch {
    return fail(
      new Error(`--log-level: expected trace, debug, info, warn, error or silent, got ${level}`),
      EXIT_USAGE,
    )
  }
}

/** What consuming and going through dead letters both need. */
const sharedOptions = (settings: Settings) => ({
  amqp: list(required(settings['amqp-url'], '--amqp-url or AMQP_URL')),
  redis: required(settings['redis-url'], '--redis-url or REDIS_URL'),
  minRemaining: number('--min-remaining', settings['min-remaining']),
  queuePrefix: settings['queue-prefix'] as string,
})

async function consumerOptions(
  settings: Settings,
  env: Environment,
  logger: Logger,
): Promise<ConsumerOptions> {
  const { provider, brand, origin, 'android-hash': androidHash } = settings
  return {
    ...sharedOptions(settings),
    secret: list(required(env.SMS_VERIFY_SECRET, 'SMS_VERIFY_SECRET')),
    provider: await providerNamed(required(provider, '--provider or SMS_PROVIDER'), env),
    concurrency: number('--concurrency', settings.concurrency),
    delivery: settings.delivery as 'at-least-once',
    receipts: onOrOff('--receipts', settings.receipts),
    ...(brand && { brand }),
    ...(origin && { origin }),
    ...(androidHash && { androidHash }),
    logger,
  }
}

function fail(error: Error, exitCode: number): never {
  process.stderr.write(`sms-verify-consumer: ${error.message}\n`)
  process.exit(exitCode)
}

await main(process.argv.slice(2), process.env)
