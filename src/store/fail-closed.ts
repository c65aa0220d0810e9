/** A store that says 503 when it cannot be asked: then nothing is allowed and nothing is verified. */
import { unavailable } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { VerificationStore } from './store.ts'

export function failClosed(store: VerificationStore, logger: Logger): VerificationStore {
  const guard =
    <Arguments extends unknown[], Answer>(operation: (...args: Arguments) => Promise<Answer>) =>
    async (...args: Arguments): Promise<Answer> => {
      try {
        return await operation(...args)
      } catch (err) {
        logger.error({ event: 'store.failed', err }, 'the store cannot be asked')
        throw unavailable(err)
      }
    }
  return {
    spend: guard(store.spend),
    refund: guard(store.refund),
    usage: guard(store.usage),
    useOnce: guard(store.useOnce),
    progress: store.progress, // Nothing is decided by it: who asks knows what to do without.
    issue: guard(store.issue),
    published: guard(store.published),
    retract: guard(store.retract),
    check: guard(store.check),
    redeem: guard(store.redeem),
    status: guard(store.status),
    cancel: guard(store.cancel),
    unlock: guard(store.unlock),
    erase: guard(store.erase),
    noteReceipt: guard(store.noteReceipt),
    receive: guard(store.receive),
    reportHealth: store.reportHealth, // Nor by this.
  }
}
