/** One call of a provider: in bounded time, and whatever becomes of it an outcome. */
import { getEventListeners } from 'node:events'
import { atDeadline } from './deadline.ts'
import type {
  Outcome,
  OutcomeClass,
  SendOptions,
  SmsMessage,
  SmsProvider,
} from './providers/provider.ts'
import { isReleased, markReleased } from './providers/signals.ts'

const CLASSES = new Set<OutcomeClass>([
  ...(['ok', 'duplicate', 'retry', 'ambiguous', 'account', 'permanent_request'] as const),
  ...(['permanent_recipient', 'rate_recipient', 'fraud_block'] as const),
])

/** To be used again, by whichever call is next. */
const unused: AbortController[] = []

/**
 * The signal of one call, made when it is asked for: to make one takes Node 20 as long as to open a message, and each has a hidden class
 * of its own, which only a full garbage collection frees.
 */
class CallSignal {
  #abort: AbortController | undefined
  #error: Error | undefined

  get(): AbortSignal {
    this.#abort ??= this.#make()
    return this.#abort.signal
  }

  #make(): AbortController {
    const known = unused.pop()
    if (known) markReleased(known.signal, false)
    const abort = known ?? new AbortController()
    if (this.#error) abort.abort(this.#error)
    return abort
  }

  abort(error: Error): void {
    this.#error = error
    this.#abort?.abort(error)
  }

  /**
   * Only what `post` has released and nobody else listens to is used again: else somebody would hear of another call's end, as would
   * who asks this one for its signal later.
   */
  release(): void {
    const abort = this.#abort
    if (!abort || abort.signal.aborted || !isReleased(abort.signal)) return
    if (getEventListeners(abort.signal, 'abort').length > 0) return
    this.#abort = undefined
    unused.push(abort)
  }
}

const OF_CALL = Symbol('signal of the call')

/** The object's own, so that whoever wraps a provider can copy it, hand it on behind a proxy, or put another one in its place. */
const SIGNAL: PropertyDescriptor & ThisType<{ [OF_CALL]: CallSignal }> = {
  enumerable: true,
  configurable: true,
  get() {
    return this[OF_CALL].get()
  },
  set(value: AbortSignal) {
    Object.defineProperty(this, 'signal', { value, enumerable: true, writable: true })
  },
}

const optionsWith = (signal: CallSignal): SendOptions =>
  Object.defineProperty({ [OF_CALL]: signal }, 'signal', SIGNAL) as unknown as SendOptions

/** The provider's outcome, in so many milliseconds; what cannot be read or was thrown may have been sent. */
export async function call(
  provider: SmsProvider,
  message: SmsMessage,
  ms: number,
): Promise<Outcome> {
  const signal = new CallSignal()
  let timer: NodeJS.Timeout | undefined
  try {
    const outcome = await new Promise<Outcome>((resolve, reject) => {
      timer = atDeadline(ms, () => {
        // Where the answer has come meanwhile, neither changes anything: a signal that was released is not this call's any more.
        resolve({ class: 'ambiguous', code: 'timeout' })
        signal.abort(new Error(`no answer within ${Math.round(ms)} ms`))
      })
      Promise.resolve(provider.send(message, optionsWith(signal))).then(resolve, reject)
    })
    if (CLASSES.has(outcome?.class)) return outcome
    return { class: 'ambiguous', code: 'unreadable outcome', alert: true }
  } catch (error) {
    return { class: 'ambiguous', code: codeOf(error), alert: true }
  } finally {
    clearTimeout(timer)
    signal.release()
  }
}

// Its code or name only: an error text may quote the request.
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'thrown'
  const { code } = (error.cause ?? error) as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}
