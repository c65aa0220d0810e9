/** All rows, in the order of the table. */
import type { Row } from './row.ts'
import { BROKER_ROWS } from './rows-broker.ts'
import { PROCESS_ROWS } from './rows-processes.ts'
import { REDIS_ROWS } from './rows-redis.ts'
import { VENDOR_ROWS } from './rows-vendor.ts'

export const ROWS: Row[] = [...PROCESS_ROWS, ...BROKER_ROWS, ...REDIS_ROWS, ...VENDOR_ROWS]
