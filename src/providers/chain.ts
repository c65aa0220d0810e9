/** Several vendors: who is asked for which country, in which order, how often, and who steps in. */
import { hash } from 'node:crypto'
import { COUNTRIES } from './countries.ts'
import type { SmsMessage, SmsProvider } from './provider.ts'

export interface ProviderChainOptions {
  /**
   * Providers by ISO 3166-1 alpha-2 country, in the order in which they are asked; `'*'` is for all other countries. The next one is
   * asked at once where the one before has certainly not sent.
   */
  routes: Record<string, SmsProvider[]>
  /**
   * Shares of the load by name of the provider: of those of a route that have one, each is asked first in proportion to its
   * weight, by chance but always the same for one SMS. Those without come after them. @default {}
   */
  weights?: Record<string, number>
  /**
   * SMS a second by name of the provider, over all consumers. What is more goes to the next provider, or waits in the queue.
   * @default {}
   */
  rates?: Record<string, number>
  /**
   * What is done where a provider may have sent an SMS and does not say so: it alone is asked again, or the next one is asked at
   * once, so that the person may get two of them. @default 'same'
   */
  inDoubt?: 'same' | 'next'
  /** When a provider is not asked first any more in a country; `false`: never. */
  breaker?: Partial<BreakerOptions> | false
}

export interface BreakerOptions {
  /** From this share of failed calls on, such as 0.5 for half of them. @default 0.5 */
  share: number
  /** Nothing is concluded from fewer calls. @default 10 */
  least: number
  /** Seconds in which the calls are counted. @default 30 */
  window: number
  /** Seconds until one message tries again. @default 10 */
  pause: number
}

/** Made by `providerChain`, for the option `provider`. */
export interface ProviderChain {
  /** The names of all, such as `ronglian+twilio`. */
  name: string
  providers: readonly SmsProvider[]
  /** Whom to ask for a message, best first. None where there is no route. */
  order(message: Pick<SmsMessage, 'country' | 'key'>): SmsProvider[]
  rates: Readonly<Record<string, number>>
  inDoubt: 'same' | 'next'
  breaker: BreakerOptions | false
}

export const BREAKER: BreakerOptions = { share: 0.5, least: 10, window: 30, pause: 10 }

/**
 * Several providers as one. Throws a TypeError that names the option on an empty route, a country that there is not, two
 * providers of one name, a name that no route has, figures out of range, and options that there are not.
 */
export function providerChain(options: ProviderChainOptions): ProviderChain {
  if (!isObject(options)) {
    throw new TypeError(`providerChain: expected an object of options, got ${describe(options)}`)
  }
  const { routes, weights = {}, rates = {}, inDoubt = 'same', breaker = {}, ...unknown } = options
  refuse(unknown)
  const providers = checkRoutes(routes)
  const names = providers.map(({ name }) => name)
  checkByName('weights', weights, names)
  checkByName('rates', rates, names)
  if (inDoubt !== 'same' && inDoubt !== 'next')
    throw wrong('inDoubt', "'same' or 'next'", describe(inDoubt))
  return {
    name: nameOf(providers),
    providers,
    order({ country, key }) {
      const route = routes[country] ?? routes['*'] ?? []
      const serving = route.filter(({ serves }) => serves?.(country) ?? true)
      if (serving.length === 1) return serving
      const drawn = serving
        .filter(({ name }) => weights[name] !== undefined)
        .map((provider) => ({ provider, place: placeOf(key, provider.name, weights) }))
        .sort((a, b) => a.place - b.place)
      const others = serving.filter(({ name }) => weights[name] === undefined)
      return [...drawn.map(({ provider }) => provider), ...others]
    },
    rates,
    inDoubt,
    breaker: checkBreaker(breaker),
  }
}

export const nameOf = (providers: readonly SmsProvider[]): string =>
  providers.map(({ name }) => name).join('+')

/** A provider by itself is a chain of one: what is done with a message is the same. */
export const asChain = (provider: SmsProvider | ProviderChain): ProviderChain =>
  isChain(provider) ? provider : providerChain({ routes: { '*': [provider] } })

export const isChain = (provider: SmsProvider | ProviderChain): provider is ProviderChain =>
  'order' in provider

/**
 * How the text of a message is counted where it is counted most, if any of the providers sends it.
 */
export function strictestText(providers: readonly SmsProvider[]): NonNullable<SmsProvider['text']> {
  const kinds = providers.map(({ text = 'free' }) => text)
  if (kinds.includes('mainland')) return 'mainland'
  return kinds.includes('free') ? 'free' : 'template'
}

/**
 * Its place in the line for this message. A draw by weight: -ln(u) / w of independent u between 0 and 1 is smallest for each one with
 * probability w / Σw. The chance comes from the key, so that a message that is delivered again meets the same order.
 */
function placeOf(key: string, name: string, weights: Record<string, number>): number {
  const drawn = hash('sha256', `${key} ${name}`, 'buffer').readUInt32BE()
  return -Math.log((drawn + 1) / (2 ** 32 + 1)) / (weights[name] as number)
}

function checkRoutes(routes: Record<string, SmsProvider[]>): SmsProvider[] {
  if (!isObject(routes))
    throw wrong('routes', 'an object of providers by country', describe(routes))
  const lists = Object.entries(routes)
  if (lists.length === 0) throw wrong('routes', 'at least one', 'none')
  for (const [country, route] of lists) {
    const option = `routes.${country}`
    if (country !== '*' && !COUNTRIES.includes(country)) {
      throw wrong(option, "an ISO 3166-1 alpha-2 code such as 'CN', or '*'", describe(country))
    }
    if (!Array.isArray(route)) throw wrong(option, 'an array of providers', describe(route))
    if (route.length === 0) throw wrong(option, 'at least one', 'none')
    for (const provider of route) {
      if (typeof provider?.send === 'function' && typeof provider.name === 'string') continue
      throw wrong(option, 'providers, each with a name and send', describe(provider))
    }
  }
  const all = [...new Set(lists.flatMap(([, route]) => route))]
  const names = all.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice === undefined) return all
  throw wrong('routes', 'providers with names of their own', `two ${twice}`)
}

function checkByName(option: string, figures: Record<string, number>, names: string[]): void {
  if (!isObject(figures)) throw wrong(option, 'an object of numbers by provider', describe(figures))
  for (const [name, figure] of Object.entries(figures)) {
    if (!names.includes(name))
      throw wrong(`${option}.${name}`, `one of ${names.join(', ')}`, describe(name))
    if (isFigure(figure, Number.MAX_VALUE)) continue
    throw wrong(`${option}.${name}`, 'a number above 0', describe(figure))
  }
}

function checkBreaker(breaker: Partial<BreakerOptions> | false): BreakerOptions | false {
  if (breaker === false) return false
  if (!isObject(breaker)) throw wrong('breaker', 'an object, or false', describe(breaker))
  const { share, least, window, pause, ...unknown } = breaker
  refuse(unknown, 'breaker.')
  const figure = (name: keyof BreakerOptions, given: unknown, most: number): number => {
    if (given === undefined) return BREAKER[name]
    if (isFigure(given, most)) return given
    throw wrong(`breaker.${name}`, `a number above 0 and at most ${most}`, describe(given))
  }
  return {
    share: figure('share', share, 1),
    least: figure('least', least, 3600),
    window: figure('window', window, 3600),
    pause: figure('pause', pause, 3600),
  }
}

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isFigure = (value: unknown, most: number): value is number =>
  typeof value === 'number' && value > 0 && value <= most

function refuse(unknown: object, within = ''): void {
  const [name] = Object.keys(unknown)
  if (name === undefined) return
  throw new TypeError(`providerChain: ${within}${name}: there is no such option`)
}

const wrong = (option: string, expected: string, got: string): TypeError =>
  new TypeError(`providerChain: ${option}: expected ${expected}, got ${got}`)

/** Nothing of what is inside an object: it may be a provider. */
function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60))
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
