/** What Ronglian says of an SMS: a push to an address that the console is given, and the list that `GetArrived` hands out. */
import type { HttpAnswer } from '../providers/http.ts'
import type { Outcome } from '../providers/provider.ts'
import { isMessageId, type RonglianAccount, ronglianApi } from '../providers/ronglian-api.ts'
import { delivered, failed, keyOf, parse } from './batch.ts'
import { CARRIER_REASONS } from './carriers.ts'
import type { Receipt, ReceiptRequest, ReceiptSource } from './receipt.ts'
import { checkToken } from './token.ts'

export interface RonglianReceiptsOptions {
  /**
   * The last part of the address that Ronglian pushes to, for it does not sign: 20 to 100 random characters of
   * `[A-Za-z0-9_-]`.
   * @default none: no push is believed
   */
  token?: string | undefined
  /** The account to ask for receipts by `GetArrived`. @default none: it is not asked */
  pull?: RonglianPullOptions | undefined
}

export interface RonglianPullOptions extends RonglianAccount {
  /** Seconds between two questions. Each brings up to 500 receipts. @default 30 */
  every?: number | undefined
}

/**
 * Takes receipts as Ronglian pushes them, as JSON, or asks for them, or both. Throws a TypeError that names the option when
 * one is malformed, and when there is neither `token` nor `pull`.
 */
export function ronglianReceipts({ token, pull }: RonglianReceiptsOptions): ReceiptSource {
  if (token === undefined && pull === undefined) {
    throw new TypeError('ronglianReceipts: expected token, pull or both, got neither')
  }
  if (token !== undefined) checkToken('ronglianReceipts: token', token)
  return {
    provider: 'ronglian',
    // Without a token the address can be guessed, so that nobody is to use it.
    ...(token === undefined
      ? { read: () => 'forged' as const }
      : { token, read: ({ body }: ReceiptRequest) => readPush(body) }),
    ...(pull !== undefined && { pull: pullFrom(pull) }),
  }
}

function readPush(body: string): Receipt[] | 'malformed' {
  const { Request } = fieldsOf(parse(body))
  const { action, smsType, ...report } = fieldsOf(Request)
  // 1 is a report, 0 an SMS that somebody has sent to us.
  if (action !== 'SMSArrived' || !/^[01]$/.test(String(smsType))) return 'malformed'
  if (String(smsType) === '0') return []
  const receipt = receiptOf(report)
  return receipt ? [receipt] : 'malformed'
}

function pullFrom({
  every = 30,
  ...account
}: RonglianPullOptions): NonNullable<ReceiptSource['pull']> {
  const owner = 'ronglianReceipts: pull'
  if (!(typeof every === 'number' && every >= 1 && every <= MAX_EVERY)) {
    throw new TypeError(
      `${owner}: every: expected seconds from 1 to ${MAX_EVERY}, got ${String(every)}`,
    )
  }
  const call = ronglianApi(owner, account)
  const path = `/2013-12-26/Accounts/${account.accountSid}/SMS/GetArrived`
  const fields = { smsType: '1', count: '500' }
  return {
    every,
    async receipts({ signal }) {
      const answer = await call({ path, fields, signal, maxBytes: 512 * 1024 })
      const { reports = [] } = acceptedAnswer(answer)
      if (!Array.isArray(reports)) throw new Error('ronglian: GetArrived: unreadable')
      return reports.flatMap((report) => receiptOf(fieldsOf(report)) ?? [])
    },
  }
}

/** An hour: by then no code that the receipts are about is alive. */
const MAX_EVERY = 3600

/** Throws what is wrong with the answer: the vendor's code, never its text. */
function acceptedAnswer(answer: HttpAnswer | Outcome): Record<string, unknown> {
  if ('class' in answer) throw new Error(`ronglian: GetArrived: ${answer.code ?? answer.class}`)
  if (answer.status !== 200) throw new Error(`ronglian: GetArrived: HTTP_${answer.status}`)
  const { statusCode } = answer.json
  if (statusCode === '000000') return answer.json
  const known = typeof statusCode === 'string' && /^\d{6}$/.test(statusCode)
  throw new Error(`ronglian: GetArrived: ${known ? statusCode : 'unreadable'}`)
}

/** Undefined where it cannot be read. */
function receiptOf({ content, reqId, status, deliverCode }: Record<string, unknown>) {
  if (!isMessageId(content) || (typeof status !== 'number' && !isText(status))) return undefined
  const about = { messageId: content, ...keyOf(reqId) }
  return String(status) === '0' ? delivered(about) : failed(about, deliverCode, reasons)
}

const reasons = new Map(CARRIER_REASONS)

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

const fieldsOf = (value: unknown): Record<string, unknown> => ({ ...Object(value) })
