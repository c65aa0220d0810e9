/** The suites for providers and receipts on ones that are wrong in one point each. A program: its tests are there to fail. */
import type { Outcome, SmsMessage, SmsProvider } from '../src/providers/provider.ts'
import type { Receipt, ReceiptSource } from '../src/receipts/receipt.ts'
import {
  fakeProvider,
  message,
  testHttpProvider,
  testProvider,
  testReceiptSource,
  type VendorMood,
} from '../src/testing/index.ts'

const SECRET = 'a-secret-token'

type Send = SmsProvider['send']
type Ask = (sms: Partial<SmsMessage>, signal?: AbortSignal) => Promise<string>

/** An SDK of a vendor that answers in words. */
function sdk(mood: VendorMood, quote: string) {
  const asked: Partial<SmsMessage>[] = []
  const closed = new AbortController()
  const fake = fakeProvider()
  fake.always({ ...MOODS[mood], code: quote.slice(0, 20) })
  const ask: Ask = async (sms, given) => {
    asked.push(sms)
    // A call that nobody ends would keep the program alive.
    const signal = given ? AbortSignal.any([given, closed.signal]) : closed.signal
    const outcome = await fake.send({ ...message, ...sms }, { signal })
    return outcome.code === 'AbortError' ? 'aborted' : outcome.class
  }
  return { asked, ask, close: () => closed.abort() }
}

const MOODS = {
  accepts: {},
  refuses: { answer: 'permanent_recipient' },
  silent: { answer: 'silence' },
  breaks: { answer: 'throws' },
} as const

interface Broken {
  name?: string
  idempotent?: boolean
  keys?: boolean
  settings?: string
  send?(right: Send, ask: Ask, quote: string): Send
}

let last = ''

/** Each with a part of a title that has to fail for it; the first one is right. */
export const BROKEN: Record<string, [title: string, how: Broken]> = {
  right: ['', {}],
  'long name': ['has a short name', { name: 'The Vendor Ltd.' }],
  'settings on it': ['nothing of its settings on it', { settings: SECRET }],
  'unknown class': [
    'an accepted SMS is ok',
    { send: () => async () => ({ class: 'success' }) as unknown as Outcome },
  ],
  'another field': [
    'an accepted SMS is ok',
    {
      send:
        (right) =>
        async (...call) => ({ ...(await right(...call)), status: 201 }),
    },
  ],
  'text as code': [
    'an SMS refused for good is permanent',
    {
      send:
        (right) =>
        async (...call) => ({ ...(await right(...call)), code: '号码无效' }),
    },
  ],
  'asks twice': [
    'by one call to the vendor',
    {
      send:
        (right) =>
        async (...call) => {
          await right(...call)
          return right(...call)
        },
    },
  ],
  'never asks': ['by one call to the vendor', { send: () => async () => ({ class: 'ok' }) }],
  'changes the SMS': [
    'an accepted SMS is ok',
    {
      send: (right) => async (sms, options) => {
        sms.phone = sms.phone.slice(3)
        return right(sms, options)
      },
    },
  ],
  'hopes after a refusal': [
    'an SMS refused for good is permanent',
    {
      send:
        (right) =>
        async (...call) => {
          const outcome = await right(...call)
          return outcome.class.startsWith('permanent') ? { class: 'retry' } : outcome
        },
    },
  ],
  'code as a number': [
    'a code with leading zeros arrives',
    {
      send: (right) => async (sms, options) =>
        right({ ...sms, code: String(Number(sms.code)) }, options),
    },
  ],
  'mixes calls up': [
    'two calls at once are not mixed up',
    {
      send: (right) => async (sms, options) => {
        last = sms.code
        await Promise.resolve()
        return right({ ...sms, code: last }, options)
      },
    },
  ],
  'no keys shown': ['if it is idempotent', { idempotent: true, keys: false }],
  'a key for each attempt': [
    'if it is idempotent',
    {
      idempotent: true,
      send: (right) => async (sms, options) =>
        right({ ...sms, key: `${sms.key}${sms.attempt}` }, options),
    },
  ],
  'one key for all': [
    'if it is idempotent',
    {
      idempotent: true,
      send: (right) => async (sms, options) => right({ ...sms, key: sms.phone }, options),
    },
  ],
  'deaf to the signal': [
    'the signal ends a call that is never answered',
    { send: (right) => async (sms) => right(sms, { signal: new AbortController().signal }) },
  ],
  'sure after a time-out': [
    'the signal ends a call that is never answered',
    {
      send:
        (right) =>
        async (...call) => {
          const outcome = await right(...call)
          return outcome.class === 'ambiguous' ? { class: 'retry' } : outcome
        },
    },
  ],
  'asks though aborted': [
    'a signal that has aborted before sends nothing',
    {
      send: (right, ask) => async (sms, options) => {
        if (options.signal.aborted) await ask(sms)
        return right(sms, options)
      },
    },
  ],
  'sure after a break': [
    'a call that breaks after the vendor has read it',
    {
      send:
        (right) =>
        async (...call) =>
          right(...call).catch(() => ({ class: 'retry' })),
    },
  ],
  'quotes in the code': [
    'no secret, number or code is in an outcome',
    {
      send: (right, _ask, quote) => async (sms, options) => {
        const outcome = await right(sms, options)
        return outcome.class === 'ok' ? outcome : { ...outcome, code: quote.slice(0, 90) || 'no' }
      },
    },
  ],
  'prints the code': [
    'in an outcome or printed',
    {
      send: (right) => async (sms, options) => {
        console.log(`# sending ${sms.code}`)
        return right(sms, options)
      },
    },
  ],
}

/** What one gets wrong that trusts its vendor, by parts of titles. */
export const HTTP_FAILURES = [
  'one call is one request, a POST that says how it is encoded',
  'a base URL may end with a slash',
  'a signal that has aborted before sends nothing and is retry',
  'a refused connection is retry',
  'a redirect with 302 is not followed',
  'a redirect with 307 is not followed',
  'a far too long answer is cut off',
  'HTTP 200 with "" is ambiguous',
  'HTTP 503 with a page of a gateway is ambiguous',
  'HTTP 429 is retry',
  'no secret, number or code is in an outcome, whatever the vendor quotes',
]

const delivered = { url: '/', headers: { signature: 'right' }, body: 'delivered 1380013' }
const failed = { ...delivered, body: 'failed 1380013' }
const interim = [{ ...delivered, body: 'queued 1380013' }]

const readRight: ReceiptSource['read'] = ({ headers, body }) => {
  if (headers.signature !== 'right' || body.endsWith(' ')) return 'forged'
  const [state, messageId, ...rest] = body.split(' ')
  if (rest.length > 0 || messageId !== '1380013') return 'malformed'
  return state === 'delivered' || state === 'failed' ? [{ messageId: 'm1', state }] : []
}

type Change = (receipts: Receipt[]) => ReturnType<ReceiptSource['read']>
const changed =
  (change: Change): ReceiptSource['read'] =>
  (request) => {
    const read = readRight(request)
    return Array.isArray(read) && read.length > 0 ? change(read) : read
  }

let count = 0

/** The same of sources of receipts. */
export const BROKEN_SOURCES: Record<string, [title: string, how: Partial<ReceiptSource>]> = {
  'right source': ['', {}],
  'number in a receipt': [
    'what says delivered is a receipt',
    { read: changed(([receipt]) => [{ messageId: '1380013', state: receipt?.state ?? 'failed' }]) },
  ],
  'all is well': [
    'what says failed is a receipt',
    { read: changed((all) => all.map((each) => ({ ...each, state: 'delivered' }))) },
  ],
  'other fields': [
    'what says delivered is a receipt',
    { read: changed((all) => all.map((each) => ({ ...each, text: 'DELIVRD' }))) },
  ],
  'reports the way': [
    'what happens on the way is no receipt',
    {
      read: (request) =>
        request.body.startsWith('queued')
          ? [{ messageId: 'm1', state: 'failed' }]
          : readRight(request),
    },
  ],
  'another id each time': [
    'a request that comes again says the same',
    { read: changed((all) => all.map((each) => ({ ...each, messageId: `m${++count}` }))) },
  ],
  'throws at junk': [
    'junk is refused or says nothing',
    {
      read(request) {
        if (request.body === 'null') throw new SyntaxError('junk')
        return readRight(request)
      },
    },
  ],
  'believes junk': [
    'junk is refused or says nothing',
    {
      read: (request) =>
        request.body === '' ? [{ messageId: 'm1', state: 'failed' }] : readRight(request),
    },
  ],
  'short token': [
    'either its requests are signed or its path cannot be guessed',
    { token: 'short' },
  ],
  'believes everybody': [
    'either its requests are signed or its path cannot be guessed',
    {
      read: (request) =>
        readRight({ ...request, headers: { signature: 'right' }, body: request.body.trim() }),
    },
  ],
  'loud answer': ['its answer can be sent', { answer: { at: new Date(0) } }],
  impatient: ['its answer can be sent', { pull: { every: 0, receipts: async () => [] } }],
  'deaf pull': [
    'a signal that has aborted ends what it asks',
    { pull: { every: 1, receipts: () => new Promise(() => {}) } },
  ],
}

if (import.meta.filename === process.argv[1]) {
  for (const [what, [, how]] of Object.entries(BROKEN)) {
    const { name = 'good', idempotent = false, settings, keys = true } = how
    testProvider(what, {
      setup(mood, quote) {
        const { asked, ask, close } = sdk(mood, quote)
        const right: Send = async (sms, { signal }) => {
          if (signal.aborted) return { class: 'retry', code: 'AbortError' }
          const said = await ask(sms, signal)
          return { class: said === 'aborted' ? 'ambiguous' : (said as Outcome['class']) }
        }
        const send = how.send?.(right, ask, quote) ?? right
        return {
          provider: { name, idempotent, send, ...(settings && { settings }) },
          codes: () => asked.map(({ code }) => code),
          ...(keys && { keys: () => asked.map(({ key }) => key) }),
          close,
        }
      },
      secrets: [SECRET],
    })
  }

  testHttpProvider('trusting', {
    make: (baseUrl, fetcher = fetch as never) => ({
      name: 'trusting',
      async send({ code }, { signal }) {
        try {
          const { body } = await fetcher(`${baseUrl}/send`, {
            method: 'POST',
            headers: {},
            body: code,
            redirect: 'follow' as never,
            signal,
          })
          let text = ''
          for await (const chunk of body ?? []) text += Buffer.from(chunk)
          return text.includes('no')
            ? { class: 'permanent_recipient', code: text }
            : { class: 'ok' }
        } catch {
          return { class: 'ambiguous' }
        }
      },
    }),
    accepted: { status: 200, body: 'yes' },
    refused: (text) => ({ status: 400, body: `no ${text}` }),
    codeIn: ({ body }) => body,
    secrets: [SECRET],
  })

  for (const [what, [, how]] of Object.entries(BROKEN_SOURCES)) {
    const make = () => ({ provider: 'good', read: readRight, ...how })
    testReceiptSource(what, { make, delivered, failed, interim, secrets: ['1380013'] })
  }
}
