/** All rows, in the order of the tables. */
import type { Row } from './row.ts'
import { consumerRow, noopRow, slowProviderRow } from './rows/consumer.ts'
import { embeddedRow } from './rows/embedded.ts'
import { livesRow, sizeRow, waitingRow } from './rows/growth.ts'
import { paceRow } from './rows/pace.ts'
import { processesRow } from './rows/processes.ts'
import { profileRow } from './rows/profile.ts'
import { sendRow, verifyRow } from './rows/routes.ts'
import { startRow } from './rows/start.ts'

export const ROWS: Row[] = [
  ...[sendRow, verifyRow, embeddedRow],
  ...[consumerRow, noopRow, slowProviderRow, paceRow],
  ...[sizeRow, livesRow, waitingRow, startRow],
  ...[processesRow, profileRow],
]
