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
 * What a provider is handed. Its signal is made when it is asked for: that takes Node 20 longer than to open a message, and gives each
 * a hidden class of its own, which only a full garbage collection frees.
 */
class CallOptions implements SendOptions {
  declare readonly signal: AbortSignal
  #abort: AbortController | undefined
  #error: Error | undefined

  // The object's own, as whoever wraps a provider may copy it.
  static readonly #signal = {
    enumerable: true,
    get(this: CallOptions): AbortSignal {
      this.#abort ??= this.#make()
      return this.#abort.signal
    },
  }

  constructor() {
    Object.defineProperty(this, 'signal', CallOptions.#signal)
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

  /** Only what `post` has released and nobody else listens to is used again: else somebody would hear of another call's end. */
  release(): void {
    if (!this.#abort) return
    const { signal } = this.#abort
    if (signal.aborted || !isReleased(signal)) return
    if (getEventListeners(signal, 'abort').length === 0) unused.push(this.#abort)
  }
}

/** The provider's outcome, in so many milliseconds; what cannot be read or was thrown may have been sent. */
export async function call(
  provider: SmsProvider,
  message: SmsMessage,
  ms: number,
): Promise<Outcome> {
  const options = new CallOptions()
  let timer: NodeJS.Timeout | undefined
  let hasEnded = false
  try {
    const outcome = await new Promise<Outcome>((resolve, reject) => {
      timer = atDeadline(ms, () => {
        // The answer that came meanwhile has ended it: the signal may be another call's by now.
        if (hasEnded) return
        resolve({ class: 'ambiguous', code: 'timeout' })
        options.abort(new Error(`no answer within ${Math.round(ms)} ms`))
      })
      Promise.resolve(provider.send(message, options)).then(resolve, reject)
    })
    if (CLASSES.has(outcome?.class)) return outcome
    return { class: 'ambiguous', code: 'unreadable outcome', alert: true }
  } catch (error) {
    return { class: 'ambiguous', code: codeOf(error), alert: true }
  } finally {
    clearTimeout(timer)
    hasEnded = true
    options.release()
  }
}

// Its code or name only: an error text may quote the request.
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'thrown'
  const { code } = (error.cause ?? error) as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}
