/** What China's carriers say of an SMS, which vendors hand through. */
import type { FailureReason } from '../store/store.ts'

const recipient = [
  // The states of SMPP in which the phone was off, out of reach or not there until the network gave up.
  'UNDELIV EXPIRED DELETED',
  // The carriers' own. Of their hundreds these say for certain that it is the number: not assigned; suspended; off or out of
  // reach; memory full.
  'MK:0001 MI:0073 MI:0210',
  'MK:0005 MK:0013 MI:0051 MI:0054 MI:0059 MI:0072',
  'MK:0010 MK:0023 MI:0024 MI:0042 MI:0076 MI:0082',
  'MI:0099 MI:0208',
]

/** The codes that are about the number. */
export const CARRIER_REASONS: [string, FailureReason][] = recipient.flatMap((codes) =>
  codes.split(' ').map((code): [string, FailureReason] => [code, 'recipient']),
)
