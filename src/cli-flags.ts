/** The command line of `sms-verify-consumer`: its flags, their environment variables, its help. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { DEAD_ACTIONS, type DeadAction } from './cli-dead.ts'
import type { Environment } from './cli-values.ts'

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
    help: 'console, ronglian, ronglian-international, aliyun, tencent, twilio, webhook or the path of a module; a,b,c for fail-over in that order',
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
  receipts: {
    env: 'SMS_RECEIPTS',
    value: 'SWITCH',
    help: 'on: note by what name a vendor knows an SMS, for web servers that take receipts',
    fallback: 'off',
  },
  'min-remaining': {
    env: 'SMS_MIN_REMAINING',
    value: 'SECONDS',
    help: 'send nothing with less of the code’s life left',
    fallback: '30',
  },
  brand: { env: 'SMS_BRAND', value: 'NAME', help: 'name of the app in front of the text' },
  origin: {
    env: 'SMS_ORIGIN',
    value: 'HOST',
    help: 'last line of the text by which browsers fill in the code on this host’s pages',
  },
  'android-hash': {
    env: 'SMS_ANDROID_HASH',
    value: 'HASH',
    help: 'line of the text by which Android hands it to the app with this hash',
  },
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
  SMS_VERIFY_SECRET: 'required, as in the plugin; a,b: the first one seals, the others still open',
  RONGLIAN_ACCOUNT_SID: 'ronglian, ronglian-international: account id',
  RONGLIAN_AUTH_TOKEN: 'ronglian, ronglian-international: token',
  RONGLIAN_APP_ID: 'ronglian, ronglian-international: application id',
  RONGLIAN_TEMPLATE_ID: 'ronglian: template with {1} code and {2} minutes',
  RONGLIAN_SIGN_NAME: 'ronglian-international: name in 【】 in front of the text',
  RONGLIAN_BASE_URL: 'ronglian, ronglian-international: other address of the API',
  ALIYUN_ACCESS_KEY_ID: 'aliyun: access key',
  ALIYUN_ACCESS_KEY_SECRET: 'aliyun: its secret',
  ALIYUN_SIGN_NAME: 'aliyun: signature',
  ALIYUN_TEMPLATE_CODE: 'aliyun: template, SMS_…',
  ALIYUN_TEMPLATE_PARAM:
    'aliyun: its variables, if they are not {"code":"{code}"}; {minutes} too is filled in',
  ALIYUN_BASE_URL: 'aliyun: other address of the API',
  TENCENT_SECRET_ID: 'tencent: API key',
  TENCENT_SECRET_KEY: 'tencent: its secret',
  TENCENT_SMS_SDK_APP_ID: 'tencent: application id',
  TENCENT_SIGN_NAME: 'tencent: signature; required for mainland China',
  TENCENT_TEMPLATE_ID: 'tencent: template',
  TENCENT_TEMPLATE_PARAM_SET: 'tencent: its variables, if they are not {code},{minutes}',
  TENCENT_REGION: 'tencent: region, if it is not ap-guangzhou',
  TENCENT_BASE_URL: 'tencent: other address of the API',
  TWILIO_ACCOUNT_SID: 'twilio: account id, AC…',
  TWILIO_AUTH_TOKEN: 'twilio: token, or else the next two',
  TWILIO_API_KEY: 'twilio: key id, SK…',
  TWILIO_API_SECRET: 'twilio: secret of the key',
  TWILIO_FROM: 'twilio: number to send from, or else the next one',
  TWILIO_MESSAGING_SERVICE_SID: 'twilio: messaging service, MG…',
  TWILIO_CONTENT_SID: 'twilio: template instead of the text, HX…',
  TWILIO_CONTENT_VARIABLES:
    'twilio: its variables, if they are not {"1":"{code}"}; {minutes} too is filled in',
  TWILIO_STATUS_CALLBACK: 'twilio: URL that hears what became of an SMS',
  TWILIO_FEEDBACK: 'twilio: on, where the web server tells Twilio of codes that were entered',
  TWILIO_BASE_URL: 'twilio: other address of the API, such as a region’s',
  WEBHOOK_URL: 'webhook: where the receiver is, https',
  WEBHOOK_SECRET: 'webhook: whsec_…; a,b signs with both',
  WEBHOOK_IDEMPOTENT: 'webhook: on if it drops an id that it has seen',
  WEBHOOK_ALLOW_PRIVATE: 'webhook: on if it may be at a private address',
}

export type Settings = Record<keyof typeof FLAGS, string | undefined>

export interface Command {
  settings: Settings
  /** What to do about dead letters, instead of consuming. */
  action?: DeadAction | undefined
  /** What to print, instead of anything else. */
  text?: string
}

/** A flag goes before its environment variable. Throws what is wrong with the command line. */
export function readCommand(argv: string[], env: Environment): Command {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
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
  }) as { values: Record<string, string | boolean | undefined>; positionals: string[] }
  const settings = Object.fromEntries(
    Object.entries<Flag>(FLAGS).map(([name, { env: variable, fallback }]) => [
      name,
      values[name] ?? (env[variable] || fallback),
    ]),
  ) as Settings
  if (values.help) return { settings, text: helpText() }
  if (values.version) return { settings, text: `${packageVersion()}\n` }
  return { settings, action: deadAction(positionals) }
}

function deadAction(words: string[]): DeadAction | undefined {
  if (words.length === 0) return undefined
  const [command, action, ...others] = words
  const known = DEAD_ACTIONS.find((each) => each === action)
  if (command === 'dead' && known && others.length === 0) return known
  throw new Error(`expected dead list, dead replay or dead purge, got ${words.join(' ')}`)
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
    '       sms-verify-consumer dead list | replay | purge [flags]',
    '',
    'Takes the jobs of fastify-sms-verify from RabbitMQ and has the SMS sent.',
    'Run as many as you like. A flag goes before its environment variable.',
    '',
    'dead    jobs that were given up on, kept for 24 hours: list them; replay, send again those',
    '        whose code is still alive; or purge, throw all of them away. Needs Redis,',
    '        RabbitMQ, the queue prefix and, if it is not 30, what the consumers have as min-remaining.',
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
  // Seen from the binary, which is published with this module in it.
  const file = new URL('../package.json', import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')).version
}
