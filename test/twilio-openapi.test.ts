/** Twilio's own OpenAPI, played by Prism, and Twilio's own client take our requests for theirs. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Outcome, SmsMessage } from '../src/providers/provider.ts'
import { type TwilioOptions, twilioProvider } from '../src/providers/twilio.ts'
import { twilioReceipts } from '../src/receipts/twilio.ts'
import { answerJson, message, type VendorRequest, vendorServer } from '../src/testing/index.ts'
import { twilioClient } from './twilio-library.ts'

const accountSid = 'AC0123456789abcdef0123456789abcdef'
const authToken = '0123456789abcdef0123456789abcdef'
const apiKey = 'SK00000000000000000000000000000001'
const apiSecret = 'apikeysecret'
const from = '+14155550199'
const messagingServiceSid = 'MG0123456789abcdef0123456789abcdef'
const contentSid = 'HX0123456789abcdef0123456789abcdef'
const statusCallback = 'https://sms.example.com/sms/receipts/twilio?tenant=a%20b&x=1'
const sid = 'SMfedcba9876543210fedcba9876543210'

const settings = { accountSid, authToken, from }

const kinds: Record<string, TwilioOptions> = {
  'text from a number': settings,
  'text by an API key': { accountSid, apiKey, apiSecret, from },
  'text from a Messaging Service': { accountSid, authToken, messagingServiceSid },
  'a Content template': { accountSid, authToken, messagingServiceSid, contentSid },
  'a Content template with both variables': {
    ...settings,
    contentSid,
    contentVariables: { 1: '{code}', 2: '{minutes}' },
  },
  'status callback and feedback': { ...settings, statusCallback, feedback: true },
}

const texts = {
  text: '验证码 1 + 1 = 2 & 100% "é" 😀 ~*\'()!\n@example.com #012345',
  expiresIn: 86_400,
  attempt: 3,
}

let prism: { url: string; [Symbol.asyncDispose](): Promise<void> }

before(async () => {
  prism = await startPrism('twilio-messages-oai.json')
})

after(() => prism?.[Symbol.asyncDispose]())

for (const [kind, options] of Object.entries(kinds)) {
  test(`Prism with the vendor's OpenAPI accepts ${kind}.`, async () => {
    for (const fields of [{}, texts]) {
      const outcome = await send({ ...options, baseUrl: prism.url }, fields)
      assert.equal(outcome.class, 'ok', outcome.code)
      assert.match(outcome.messageId ?? '', /^(SM|MM)/)
    }
  })
}

test('Prism accepts that a code was entered.', async () => {
  const url = statusCallback
  const options = { accountSid, authToken, url, feedback: true, baseUrl: prism.url }
  await twilioReceipts(options).confirm?.(sid, { signal: AbortSignal.timeout(5000) })
})

for (const [mistake, broken] of [
  ['without a field that is required', (form: URLSearchParams) => form.delete('To')],
  ['with a number that is none', (form: URLSearchParams) => form.set('ValidityPeriod', 'long')],
  ['with an id of another kind', (form: URLSearchParams) => form.set('ContentSid', sid)],
  ['with a boolean that is none', (form: URLSearchParams) => form.set('ProvideFeedback', 'yes')],
] as const) {
  test(`Prism refuses a request ${mistake}, so that it would see one of ours.`, async () => {
    const outcome = await send({
      ...settings,
      contentSid,
      statusCallback,
      feedback: true,
      baseUrl: prism.url,
      fetch: (url, init) => {
        const form = new URLSearchParams(init.body)
        broken(form)
        return fetch(url, { ...init, body: form.toString() })
      },
    })
    assert.deepEqual(outcome, { class: 'permanent_request', code: 'HTTP_422' })
  })
}

test('Prism refuses a request without credentials, and feedback on what is no message.', async () => {
  const init = { method: 'POST', headers: {}, body: new URLSearchParams({ To: '+14155550100' }) }
  const path = `${prism.url}/2010-04-01/Accounts/${accountSid}`
  assert.equal((await fetch(`${path}/Messages.json`, init)).status, 401)
  const headers = { Authorization: `Basic ${btoa('a:b')}` }
  const body = new URLSearchParams({ Outcome: 'confirmed' })
  const feedback = { method: 'POST', headers, body }
  assert.equal((await fetch(`${path}/Messages/CA1/Feedback.json`, feedback)).status, 422)
})

for (const [kind, options] of Object.entries(kinds)) {
  test(`Field by field, ${kind} is what the vendor's client sends.`, async () => {
    await using vendor = await vendorServer(answerJson(201, { sid }))
    for (const fields of [{}, texts]) {
      await send({ ...options, baseUrl: vendor.url }, fields)
      await clientOf(vendor.url, options).messages.create(fieldsOf(options, fields))
    }
    assert.equal(vendor.requests.length, 4)
    for (const index of [0, 2]) {
      const [ours, theirs] = vendor.requests.slice(index, index + 2).map(meaningOf)
      assert.deepEqual(ours, theirs)
    }
  })
}

test('Field by field, feedback is what the vendor’s client sends.', async () => {
  await using vendor = await vendorServer(answerJson(200, { outcome: 'confirmed' }))
  const options = { accountSid, authToken, url: statusCallback, feedback: true }
  const source = twilioReceipts({ ...options, baseUrl: vendor.url })
  await source.confirm?.(sid, { signal: AbortSignal.timeout(5000) })
  const { messages } = clientOf(vendor.url, settings)
  await messages(sid).feedback.create({ outcome: 'confirmed' })
  const [ours, theirs] = vendor.requests.map(meaningOf)
  assert.ok(ours)
  assert.deepEqual(ours, theirs)
})

async function send(options: TwilioOptions, fields: Partial<SmsMessage> = {}): Promise<Outcome> {
  const signal = AbortSignal.timeout(5000)
  return await twilioProvider(options).send({ ...message, ...fields }, { signal })
}

function clientOf(baseUrl: string, options: TwilioOptions) {
  const { apiKey: user = accountSid, apiSecret: password = authToken } = options
  return twilioClient(baseUrl, accountSid, user, password)
}

/** The same SMS in the words of the vendor's client. */
function fieldsOf(options: TwilioOptions, fields: Partial<SmsMessage>): Record<string, unknown> {
  const { code, minutes, text, phone, expiresIn, attempt } = { ...message, ...fields }
  const twoVariables = { 1: code, 2: String(minutes) }
  const variables = options.contentVariables ? twoVariables : { 1: code }
  return {
    to: phone,
    from: options.from,
    messagingServiceSid: options.messagingServiceSid,
    ...(options.contentSid
      ? { contentSid, contentVariables: JSON.stringify(variables) }
      : { body: text }),
    statusCallback: options.statusCallback,
    provideFeedback: options.feedback,
    validityPeriod: Math.min(expiresIn, 36_000),
    attempt,
  }
}

/** All that the vendor can tell apart; the order of the fields is not. */
function meaningOf({ method, path, headers, body }: VendorRequest): unknown {
  return {
    method,
    path,
    authorization: headers.authorization,
    type: headers['content-type'],
    accept: headers.accept,
    fields: [...new URLSearchParams(body)].sort(),
  }
}

/** Prism as a process of its own on a free port, until disposed of. It has a minute to say that it listens. */
async function startPrism(document: string): Promise<typeof prism> {
  const bin = createRequire(import.meta.url).resolve('@stoplight/prism-cli/dist/index.js')
  const file = fileURLToPath(new URL(`vectors/${document}`, import.meta.url))
  const args = [bin, 'mock', '-h', '127.0.0.1', '-p', '0', '--errors', file]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const kill = () => child.kill()
  const limit = setTimeout(kill, 60_000)
  process.once('exit', kill)
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const address = /listening on (http:\S+)/.exec(line)?.[1]
      if (address) resolve(address)
    })
    ended.then(() => reject(new Error('Prism has ended before it listened')), reject)
  })
  clearTimeout(limit)
  return {
    url,
    async [Symbol.asyncDispose]() {
      process.off('exit', kill)
      kill()
      await ended
    },
  }
}
