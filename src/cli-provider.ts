/** The provider that the command line names. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Environment, jsonObject, list, onOrOff, required } from './cli-values.ts'
import {
  aliyunProvider,
  consoleProvider,
  type ProviderChain,
  providerChain,
  ronglianInternationalProvider,
  ronglianProvider,
  type SmsProvider,
  tencentProvider,
  twilioProvider,
  webhookProvider,
} from './providers/index.ts'

type Sender = SmsProvider | ProviderChain

export async function providerNamed(names: string, env: Environment): Promise<Sender> {
  const providers = await Promise.all(list(names).map((name) => oneProvider(name, env)))
  return providers.length === 1
    ? (providers[0] as Sender)
    : providerChain({ routes: { '*': providers as SmsProvider[] } })
}

const NAMES = 'console, ronglian, ronglian-international, aliyun, tencent, twilio, webhook'

async function oneProvider(name: string, env: Environment): Promise<Sender> {
  switch (name) {
    case 'console':
      if (env.NODE_ENV === 'production') {
        throw new Error('--provider: console prints codes, so it is none for NODE_ENV=production')
      }
      return consoleProvider()
    case 'ronglian':
      return ronglianProvider(
        given({
          ...ronglianAccount(env),
          templateId: required(env.RONGLIAN_TEMPLATE_ID, 'RONGLIAN_TEMPLATE_ID'),
        }),
      )
    case 'ronglian-international':
      return ronglianInternationalProvider(
        given({ ...ronglianAccount(env), signName: env.RONGLIAN_SIGN_NAME }),
      )
    case 'aliyun':
      return aliyunProvider(
        given({
          accessKeyId: required(env.ALIYUN_ACCESS_KEY_ID, 'ALIYUN_ACCESS_KEY_ID'),
          accessKeySecret: required(env.ALIYUN_ACCESS_KEY_SECRET, 'ALIYUN_ACCESS_KEY_SECRET'),
          signName: required(env.ALIYUN_SIGN_NAME, 'ALIYUN_SIGN_NAME'),
          templateCode: required(env.ALIYUN_TEMPLATE_CODE, 'ALIYUN_TEMPLATE_CODE'),
          templateParam: jsonObject(env.ALIYUN_TEMPLATE_PARAM, 'ALIYUN_TEMPLATE_PARAM'),
          baseUrl: env.ALIYUN_BASE_URL,
        }),
      )
    case 'tencent':
      return tencentProvider(
        given({
          secretId: required(env.TENCENT_SECRET_ID, 'TENCENT_SECRET_ID'),
          secretKey: required(env.TENCENT_SECRET_KEY, 'TENCENT_SECRET_KEY'),
          smsSdkAppId: required(env.TENCENT_SMS_SDK_APP_ID, 'TENCENT_SMS_SDK_APP_ID'),
          signName: env.TENCENT_SIGN_NAME,
          templateId: required(env.TENCENT_TEMPLATE_ID, 'TENCENT_TEMPLATE_ID'),
          templateParamSet: env.TENCENT_TEMPLATE_PARAM_SET && list(env.TENCENT_TEMPLATE_PARAM_SET),
          region: env.TENCENT_REGION,
          baseUrl: env.TENCENT_BASE_URL,
        }),
      )
    case 'twilio':
      return twilioProvider(
        given({
          accountSid: required(env.TWILIO_ACCOUNT_SID, 'TWILIO_ACCOUNT_SID'),
          authToken: env.TWILIO_AUTH_TOKEN,
          apiKey: env.TWILIO_API_KEY,
          apiSecret: env.TWILIO_API_SECRET,
          from: env.TWILIO_FROM,
          messagingServiceSid: env.TWILIO_MESSAGING_SERVICE_SID,
          contentSid: env.TWILIO_CONTENT_SID,
          contentVariables: jsonObject(env.TWILIO_CONTENT_VARIABLES, 'TWILIO_CONTENT_VARIABLES'),
          statusCallback: env.TWILIO_STATUS_CALLBACK,
          feedback: onOrOff('TWILIO_FEEDBACK', env.TWILIO_FEEDBACK),
          baseUrl: env.TWILIO_BASE_URL,
        }),
      )
    case 'webhook':
      return webhookProvider({
        url: required(env.WEBHOOK_URL, 'WEBHOOK_URL'),
        secret: list(required(env.WEBHOOK_SECRET, 'WEBHOOK_SECRET')),
        idempotent: onOrOff('WEBHOOK_IDEMPOTENT', env.WEBHOOK_IDEMPOTENT),
        allowPrivate: onOrOff('WEBHOOK_ALLOW_PRIVATE', env.WEBHOOK_ALLOW_PRIVATE),
      })
    default:
      return moduleProvider(name)
  }
}

const ronglianAccount = (env: Environment) => ({
  accountSid: required(env.RONGLIAN_ACCOUNT_SID, 'RONGLIAN_ACCOUNT_SID'),
  authToken: required(env.RONGLIAN_AUTH_TOKEN, 'RONGLIAN_AUTH_TOKEN'),
  appId: required(env.RONGLIAN_APP_ID, 'RONGLIAN_APP_ID'),
  baseUrl: env.RONGLIAN_BASE_URL,
})

/** Without the settings that are not there; which of them must be is the provider's to say. */
const given = <T extends object>(settings: T): never =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value)) as never

/** The default export of a module: a provider, a chain of them, or a function that makes one. */
async function moduleProvider(path: string): Promise<Sender> {
  const isPath = /[./\\]/.test(path)
  if (!isPath) throw new Error(`--provider: expected ${NAMES} or a path, got ${path}`)
  const { default: exported } = await import(pathToFileURL(resolve(path)).href).catch((error) => {
    throw new Error(`--provider: ${path}: ${error.message}`, { cause: error })
  })
  const provider = typeof exported === 'function' ? await exported() : exported
  if (typeof provider?.send === 'function' || typeof provider?.order === 'function') return provider
  throw new Error(
    `--provider: ${path}: expected a provider as default export, got ${typeof provider}`,
  )
}
