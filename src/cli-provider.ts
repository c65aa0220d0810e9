/** The provider that the command line names. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Environment, list, required } from './cli-values.ts'
import {
  consoleProvider,
  failoverProvider,
  ronglianProvider,
  type SmsProvider,
  twilioProvider,
} from './providers/index.ts'

export async function providerNamed(names: string, env: Environment): Promise<SmsProvider> {
  const providers = await Promise.all(list(names).map((name) => oneProvider(name, env)))
  return providers.length === 1 ? (providers[0] as SmsProvider) : failoverProvider(providers)
}

async function oneProvider(name: string, env: Environment): Promise<SmsProvider> {
  switch (name) {
    case 'console':
      return consoleProvider()
    case 'ronglian':
      return ronglianProvider(
        given({
          accountSid: required(env.RONGLIAN_ACCOUNT_SID, 'RONGLIAN_ACCOUNT_SID'),
          authToken: required(env.RONGLIAN_AUTH_TOKEN, 'RONGLIAN_AUTH_TOKEN'),
          appId: required(env.RONGLIAN_APP_ID, 'RONGLIAN_APP_ID'),
          templateId: required(env.RONGLIAN_TEMPLATE_ID, 'RONGLIAN_TEMPLATE_ID'),
          baseUrl: env.RONGLIAN_BASE_URL,
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
          baseUrl: env.TWILIO_BASE_URL,
        }),
      )
    default:
      return moduleProvider(name)
  }
}

/** Without the settings that are not there; which of them must be is the provider's to say. */
const given = <T extends object>(settings: T): never =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value)) as never

/** The default export of a module: a provider, or a function that makes one. */
async function moduleProvider(path: string): Promise<SmsProvider> {
  const isPath = /[./\\]/.test(path)
  if (!isPath)
    throw new Error(`--provider: expected console, ronglian, twilio or a path, got ${path}`)
  const { default: exported } = await import(pathToFileURL(resolve(path)).href).catch((error) => {
    throw new Error(`--provider: ${path}: ${error.message}`, { cause: error })
  })
  const provider = typeof exported === 'function' ? await exported() : exported
  if (typeof provider?.send === 'function') return provider
  throw new Error(
    `--provider: ${path}: expected a provider as default export, got ${typeof provider}`,
  )
}
