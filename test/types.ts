/**
 * What the types promise, compiled by `npm run typecheck` and never run: each line after `@ts-expect-error` has to be an
 * error, and all others must be none.
 */
import fastifyRedis from '@fastify/redis'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Delivery, VerificationErrorCode } from '../src/client/index.ts'
import { type Consumer, type ConsumerOptions, startConsumer } from '../src/consumer.ts'
import defaultExport, {
  type Alert,
  type FailureReason,
  isSmsVerifyError,
  type Redeemed,
  type SendResult,
  type SmsVerify,
  type SmsVerifyError,
  type SmsVerifyErrorCode,
  type SmsVerifyOptions,
  type Status,
  type StatusResult,
  smsVerify,
  type VerifyResult,
} from '../src/plugin.ts'
import {
  aliyunProvider,
  consoleProvider,
  type Outcome,
  ronglianProvider,
  type SmsMessage,
  type SmsProvider,
  tencentProvider,
  twilioProvider,
} from '../src/providers/index.ts'

declare const app: FastifyInstance
declare const request: FastifyRequest
declare const provider: SmsProvider

/** Compiles only if both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_is: Same<A, B>): void => {}

// What has to be given, and nothing that does not exist.
app.register(smsVerify, { secret: 'x', countries: ['CN'] })
app.register(defaultExport, { secret: ['x', 'y'], countries: 'all', prefix: '/auth' })
app.register(smsVerify, () => ({ secret: 'x', countries: ['CN'] }))
// @ts-expect-error options are required
app.register(smsVerify)
// @ts-expect-error secret is required
app.register(smsVerify, { countries: ['CN'] })
// @ts-expect-error countries is required
app.register(smsVerify, { secret: 'x' })
// @ts-expect-error there is no such option
app.register(smsVerify, { secret: 'x', countries: ['CN'], secrets: ['x'] })
// @ts-expect-error nor in a group of them
app.register(smsVerify, { secret: 'x', countries: ['CN'], code: { size: 6 } })
// @ts-expect-error nor among the limits
app.register(smsVerify, { secret: 'x', countries: ['CN'], limits: { sms: false } })

const all: SmsVerifyOptions = {
  secret: 'x',
  countries: ['CN'],
  defaultCountry: 'CN',
  prefix: '/sms',
  redis: { host: 'localhost', port: 6379, keyPrefix: 'x:' },
  amqp: ['amqp://a', 'amqp://b'],
  queuePrefix: 'x',
  embedded: false,
  provider: consoleProvider(),
  brand: 'Acme',
  texts: { fr: '{code}', zh: { login: '{code}', default: '{code}' } },
  origin: 'example.com',
  androidHash: 'FA+9qCX9VSu',
  purposes: ['login'],
  code: { length: 6, ttl: 300, checks: 5 },
  proof: { ttl: 600 },
  limits: {
    cooldown: [60],
    phone: { max: 5, window: 3600 },
    ip: [{ max: 10, window: 600 }],
    prefix: false,
    country: false,
    total: false,
    failedChecksPerIp: false,
  },
  beforeSend: async ({ phone, country, purpose, locale, ip, request }) => {
    same<typeof phone | typeof country, string>(true)
    same<typeof purpose | typeof locale | typeof ip, string | undefined>(true)
    same<typeof request, FastifyRequest | undefined>(true)
    return ip === undefined ? 'trusted' : 'allow'
  },
  onVerified: ({ id, phone, purpose }) =>
    same<typeof id | typeof phone | typeof purpose, string>(true),
  onDisabled: async ({ phone }) => same<typeof phone, string>(true),
  onAlert: (alert) => same<typeof alert, Alert>(true),
  routes: true,
  routeOptions: {
    onRequest: async (request) => void request.headers,
    preHandler: [async () => {}],
    config: {},
    bodyLimit: 2048,
    logLevel: 'warn',
  },
}
app.register(smsVerify, { ...all, amqp: { hostname: 'localhost' } })

const wrong: SmsVerifyOptions[] = [
  // @ts-expect-error a number is no secret
  { ...all, secret: 5 },
  // @ts-expect-error one country is a list of one
  { ...all, countries: 'CN' },
  // @ts-expect-error a limit has both
  { ...all, limits: { phone: { max: 5 } } },
  // @ts-expect-error the limit for a number is a limit or false
  { ...all, limits: { phone: true } },
  // @ts-expect-error one cooldown is a list of one
  { ...all, limits: { cooldown: 60 } },
  // @ts-expect-error no such verdict
  { ...all, beforeSend: () => 'maybe' },
  // @ts-expect-error a verdict has to be given
  { ...all, beforeSend: () => {} },
  // @ts-expect-error a text is no function
  { ...all, texts: { fr: () => 'code' } },
  // @ts-expect-error a provider is an object
  { ...all, provider: 'twilio' },
  // @ts-expect-error the schemas are ours
  { ...all, routeOptions: { schema: {} } },
]

// The page knows the errors of the routes, and one more.
same<
  VerificationErrorCode,
  Exclude<SmsVerifyErrorCode, 'SMS_VERIFY_INVALID_OPTIONS'> | 'SMS_VERIFY_UNREACHABLE'
>(true)
same<Delivery, Exclude<Status, 'expired' | 'verified'>>(true)

// The decorator.
same<typeof app.smsVerify, SmsVerify>(true)
same<
  keyof SmsVerify,
  'send' | 'verify' | 'redeem' | 'status' | 'cancel' | 'unlock' | 'erase' | 'conversion' | 'publish'
>(true)

async function decorator(): Promise<void> {
  const sent = await app.smsVerify.send({ phone: '+86', ip: undefined, purpose: 'login' }, request)
  same<typeof sent, SendResult>(true)
  same<SendResult, { id: string; expiresIn: number; resendIn: number; codeLength: number }>(true)
  const verified = await app.smsVerify.verify({ id: sent.id, code: '012345' })
  same<typeof verified, VerifyResult>(true)
  same<VerifyResult, { phone: string; purpose: string; proof: string }>(true)
  const redeemed = await app.smsVerify.redeem(verified.proof, { purpose: 'login' })
  same<typeof redeemed, Redeemed>(true)
  same<Redeemed, { phone: string; purpose: string; verifiedAt: Date }>(true)
  const status = await app.smsVerify.status(sent.id)
  same<typeof status, StatusResult>(true)
  same<keyof StatusResult, 'status' | 'expiresIn' | 'resendIn' | 'checksLeft' | 'reason'>(true)
  same<StatusResult['reason'], FailureReason | undefined>(true)
  same<FailureReason, 'recipient' | 'rate' | 'blocked' | 'provider' | 'late'>(true)
  same<StatusResult['status'], Status>(true)
  same<Status, 'queued' | 'sending' | 'sent' | 'delivered' | 'failed' | 'expired' | 'verified'>(
    true,
  )
  const cancelled = await app.smsVerify.cancel(sent.id)
  same<typeof cancelled, boolean>(true)
  same<ReturnType<SmsVerify['unlock' | 'erase' | 'publish']>, Promise<void>>(true)
  await app.smsVerify.publish({ id: sent.id, version: 1 })

  // @ts-expect-error the number is required
  await app.smsVerify.send({ purpose: 'login' })
  // @ts-expect-error no such field
  await app.smsVerify.send({ phone: '+86', code: '012345' })
  // @ts-expect-error a code is text, else it loses its zeros
  await app.smsVerify.verify({ id: 'x', code: 12345 })
  // @ts-expect-error the id is required
  await app.smsVerify.verify({ code: '012345' })
  // @ts-expect-error the code is never given out
  sent.code
  // @ts-expect-error nor the number to who asks for the status
  status.phone
}

// Errors are a closed list.
function errors(error: unknown): string {
  if (!isSmsVerifyError(error)) return 'another'
  same<typeof error, SmsVerifyError>(true)
  same<SmsVerifyError['retryAfter'] | SmsVerifyError['checksLeft'], number | undefined>(true)
  // @ts-expect-error no such code
  if (error.code === 'SMS_VERIFY_NO_SUCH_CODE') return 'never'
  return says(error.code)
}

// A code left out would be an error here, and so would one that does not exist.
function says(code: SmsVerifyErrorCode): string {
  switch (code) {
    case 'SMS_VERIFY_INVALID_OPTIONS':
    case 'SMS_VERIFY_INVALID_REQUEST':
    case 'SMS_VERIFY_INVALID_PHONE':
    case 'SMS_VERIFY_COUNTRY_NOT_ALLOWED':
    case 'SMS_VERIFY_NUMBER_TYPE_NOT_ALLOWED':
    case 'SMS_VERIFY_REFUSED':
    case 'SMS_VERIFY_CHALLENGE_REQUIRED':
    case 'SMS_VERIFY_GONE':
    case 'SMS_VERIFY_WRONG_CODE':
    case 'SMS_VERIFY_TOO_MANY_REQUESTS':
    case 'SMS_VERIFY_UNAVAILABLE':
    case 'SMS_VERIFY_INTERNAL_ERROR':
      return code
  }
}

// The consumer.
async function consumer(options: ConsumerOptions): Promise<void> {
  const required = { amqp: 'amqp://x', redis: 'redis://x', secret: 'x', provider }
  const started = await startConsumer(required)
  same<typeof started, Consumer>(true)
  await using disposed = await startConsumer({ ...required, retry: { max: 1 }, concurrency: 1 })
  same<ReturnType<typeof disposed.health>, { redis: boolean; amqp: boolean }>(true)
  await started.close()
  await started.closed
  await startConsumer({ ...options, logger: app.log, delivery: 'at-most-once' })
  // @ts-expect-error a provider is required
  await startConsumer({ amqp: 'amqp://x', redis: 'redis://x', secret: 'x' })
  // @ts-expect-error no such option
  await startConsumer({ ...required, prefetch: 5 })
  // @ts-expect-error no such promise
  await startConsumer({ ...required, delivery: 'exactly-once' })
}

// A provider of one's own is a plain object; its outcomes are a closed list.
const own: SmsProvider = {
  name: 'own',
  async send({ phone, code, text, key }, { signal }) {
    same<typeof signal, AbortSignal>(true)
    return phone + code + text + key ? { class: 'ok', messageId: 'x' } : { class: 'retry' }
  },
}
const wrongProviders: SmsProvider[] = [
  // @ts-expect-error it has to be named
  { send: own.send },
  // @ts-expect-error no such outcome
  { name: 'own', send: async () => ({ class: 'sent' }) },
  // @ts-expect-error an outcome has to be given
  { name: 'own', send: async () => {} },
]
same<Awaited<ReturnType<SmsProvider['send']>>, Outcome>(true)
same<SmsMessage['code'], string>(true)
// @ts-expect-error the account is required
ronglianProvider({})
// @ts-expect-error the account is required
twilioProvider({})
aliyunProvider({
  ...{ accessKeyId: 'x', accessKeySecret: 'x', signName: 'x' },
  templateCode: { zh: { login: 'SMS_1', default: 'SMS_2' }, en: 'SMS_3' },
  templateParam: { code: '{code}', time: '{minutes}' },
})
// @ts-expect-error the signature is required
aliyunProvider({ accessKeyId: 'x', accessKeySecret: 'x', templateCode: 'SMS_1' })
const tencent = { secretId: 'x', secretKey: 'x', smsSdkAppId: '1', templateId: '1' }
tencentProvider(tencent)
// @ts-expect-error variables go by their order
tencentProvider({ ...tencent, templateParamSet: {} })

// Beside the plugin that gives the client, its types stay what they are.
app.register(fastifyRedis, { url: 'redis://x' })
app.redis.ping()

export { consumer, decorator, errors, own, wrong, wrongProviders }
