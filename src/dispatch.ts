/** Who of the providers sends a message, and what it came to: order, fail-over, rates, health, and one bounded time for all. */
import { setTimeout as sleep } from 'node:timers/promises'
import { call } from './call.ts'
import type { ProviderHealth } from './provider-health.ts'
import type { ProviderChain } from './providers/chain.ts'
import type { OutcomeClass, SmsMessage, SmsProvider } from './providers/provider.ts'
import type { DeliveryStore, Previous } from './store/store.ts'

export interface DispatchOptions {
  /** Rates are shared by the consumers of one queue. */
  queue: string
  chain: ProviderChain
  health: Pick<ProviderHealth, 'noteCall' | 'admits'>
  store: Pick<DeliveryStore, 'takeTurn'>
  /** @default LONGEST_TURN */
  longestTurn?: number
}

export interface Dispatched {
  class: OutcomeClass
  messageId?: string | undefined
  code?: string | undefined
  alert?: boolean | undefined
  /** Who was asked last. */
  provider?: SmsProvider
  /** Nobody was asked: all who could be were busy. */
  held?: boolean
}

/** Asks one, behind whom so many are left. Answers whether that was the last: it is settled, or there is no time left. */
type Try = (provider: SmsProvider, others: number) => Promise<boolean>

export type Dispatch = (message: SmsMessage, previous?: Previous) => Promise<Dispatched>

/** Milliseconds that all calls for one attempt may take together. */
const DISPATCH_TIMEOUT = 10_000

/**
 * Milliseconds that a message waits for its turn at a provider with a rate: a moment where there is another one to ask, else long
 * enough that the consumer's hands are full and the rest waits in the queue, where it can be seen.
 */
const SHORT_TURN = 1000
const LONGEST_TURN = 10_000

/** Certainly not sent, and another vendor may do better. */
const PASSED_ON = new Set<OutcomeClass>([
  ...(['retry', 'account', 'permanent_request', 'rate_recipient'] as const),
])

/** Milliseconds after which a dispatch has certainly ended. */
export function longestDispatch({ rates }: Pick<ProviderChain, 'rates'>): number {
  const lines = Object.keys(rates).length
  return DISPATCH_TIMEOUT + (lines > 0 ? LONGEST_TURN + lines * SHORT_TURN : 0)
}

export function createDispatch(options: DispatchOptions): Dispatch {
  const { queue, chain, health, store, longestTurn = LONGEST_TURN } = options
  return async function dispatch(message, previous) {
    const order = orderOf(message, previous)
    const time = startTime(chain.inDoubt === 'next' ? order.length : 1)
    const made: Dispatched[] = []
    const tryOne: Try = async (provider, others) => {
      if (!(await takeTurn(provider, others, time))) {
        made.push({ class: 'retry', code: 'rate', provider, held: true })
        return false
      }
      // Turns and probes take time, too.
      if (time.left() <= 0) return true
      const { class: name, messageId, code, alert } = await call(provider, message, time.forOne())
      health.noteCall(provider.name, message.country, name)
      made.push({ class: name, messageId, code, alert, provider })
      return !isPassedOn(name)
    }
    const [only] = order
    // Where there is no choice nobody need be asked how he is.
    if (only && order.length === 1) await tryOne(only, 0)
    else await askWellFirst(order, message.country, tryOne)
    return conclude(made)
  }

  /**
   * Whoever may have sent this version is the only one to be asked again, since any other could send it a second time. In a resend
   * the one behind whoever sent before comes first: his SMS may be what the person waits for in vain.
   */
  function orderOf(message: SmsMessage, previous: Previous | undefined): SmsProvider[] {
    const last = chain.providers.find(({ name }) => name === previous?.provider)
    if (last && previous?.unsure && chain.inDoubt === 'same') return [last]
    const order = chain.order(message)
    if (!last) return order
    const next = order.indexOf(last) + 1
    return [...order.slice(next), ...order.slice(0, next)]
  }

  /** Who is not well comes last. */
  async function askWellFirst(order: SmsProvider[], country: string, tryOne: Try): Promise<void> {
    let others = order.length
    const unwell: SmsProvider[] = []
    for (const provider of order) {
      if (!(await health.admits(provider.name, country))) unwell.push(provider)
      else if (await tryOne(provider, --others)) return
    }
    for (const provider of unwell) if (await tryOne(provider, --others)) return
  }

  function isPassedOn(name: OutcomeClass): boolean {
    return PASSED_ON.has(name) || (name === 'ambiguous' && chain.inDoubt === 'next')
  }

  async function takeTurn(provider: SmsProvider, others: number, time: Time): Promise<boolean> {
    const rate = chain.rates[provider.name]
    if (rate === undefined) return true
    const longest = others > 0 ? SHORT_TURN : longestTurn
    const line = { queue, provider: provider.name, rate, longest }
    const wait = await store.takeTurn(line).catch(() => undefined)
    // Where the line cannot be seen, nobody goes past it.
    if (wait === undefined || (wait > longest && others > 0)) return false
    // Even if that is not enough: back in the queue it would only come again at once.
    const waited = Math.min(wait, longest)
    await sleep(waited)
    time.extend(waited)
    return wait <= longest
  }
}

interface Time {
  /** Milliseconds that are left. */
  left(): number
  /** Of them, what one call may take. */
  forOne(): number
  extend(ms: number): void
}

/** One call may take all the time, unless others are to be asked when it does. */
function startTime(calls: number): Time {
  let end = performance.now() + DISPATCH_TIMEOUT
  const left = () => end - performance.now()
  return {
    left,
    forOne: () => Math.min(left(), DISPATCH_TIMEOUT / Math.max(1, calls)),
    extend(ms) {
      end += ms
    },
  }
}

/**
 * One outcome of all. Where everybody has passed it on, what counts is that one of them may have sent it, then the hope: whoever was
 * busy or is down for now may send it later. `code` lists all who were asked, and an alert of any is kept.
 */
function conclude(made: Dispatched[]): Dispatched {
  const last = made.at(-1)
  if (!last) return { class: 'permanent_request', code: 'no route', alert: true }
  const doubt = made.find((each) => each.class === 'ambiguous')
  const hope = made.find(({ held }) => held) ?? made.find((each) => each.class === 'retry')
  const outcome = PASSED_ON.has(last.class) ? (doubt ?? hope ?? last) : last
  const alert = made.some((each) => each.alert || each.class === 'account')
  return {
    ...outcome,
    ...(made.length > 1 && { code: trailOf(made) }),
    ...(alert && { alert }),
  }
}

const trailOf = (made: Dispatched[]): string =>
  made.map(({ provider, code, class: name }) => `${provider?.name}:${code ?? name}`).join(' ')
