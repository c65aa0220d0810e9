/** From a provider's call to the status of the verification, with the vendor's receipts in between. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { SmsProvider } from '../src/providers/provider.ts'
import { ronglianProvider } from '../src/providers/ronglian.ts'
import { twilioProvider } from '../src/providers/twilio.ts'
import type { ReceiptSource } from '../src/receipts/receipt.ts'
import { ronglianReceipts } from '../src/receipts/ronglian.ts'
import { twilioReceipts } from '../src/receipts/twilio.ts'
import { answerJson, vendorServer } from '../src/testing/index.ts'
import {
  build,
  connected,
  consume,
  embedded,
  MODES,
  newPhone,
  newQueuePrefix,
  post,
  until,
} from './helper.ts'
import { twilio } from './twilio-library.ts'

const accountSid = 'AC0123456789abcdef0123456789abcdef'
const authToken = '0123456789abcdef0123456789abcdef'
const statusCallback = 'https://sms.example.com/sms/receipts/twilio'

const ronglian = { accountSid: '8a48b551', authToken, appId: '8a48b552' }
const token = 'abcdefghij_KLMNOPQRS-0123'

/** A vendor gives no id twice, and the store has those of other tests. */
const newId = (): string => randomBytes(16).toString('hex')

for (const mode of MODES) {
  test(`${mode}: Twilio says that an SMS has arrived, and is told that its code was entered`, async (t) => {
    const sid = `SM${newId()}`
    await using vendor = await vendorServer((response, request) => {
      const answer = request.path.includes('Feedback') ? { outcome: 'confirmed' } : { sid }
      answerJson(201, answer)(response, request)
    })
    const account = { accountSid, authToken, feedback: true, baseUrl: vendor.url }
    const app = await start(
      t,
      mode,
      twilioProvider({ ...account, from: '+14155550199', statusCallback }),
      twilioReceipts({ ...account, url: statusCallback }),
    )
    const id = await sendOne(app)
    const form = new URLSearchParams(vendor.requests[0]?.body)
    assert.equal(form.get('StatusCallback'), statusCallback)

    const call = (fields: Record<string, string>, key = authToken) =>
      app.inject({
        method: 'POST',
        url: '/sms/receipts/twilio',
        payload: new URLSearchParams(fields).toString(),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-twilio-signature': twilio.getExpectedTwilioSignature(key, statusCallback, fields),
        },
      })
    const arrived = { MessageSid: sid, MessageStatus: 'delivered', To: form.get('To') ?? '' }
    assert.equal((await call(arrived, 'another')).statusCode, 403)
    assert.equal((await call({ ...arrived, MessageStatus: 'sent' })).statusCode, 200)
    assert.equal((await app.smsVerify.status(id)).status, 'sent')
    assert.equal((await call(arrived)).statusCode, 200)
    assert.equal((await app.smsVerify.status(id)).status, 'delivered')

    const code = /\d{6}/.exec(form.get('Body') ?? '')?.[0]
    assert.equal((await post(app, '/sms/verify', { id, code })).status, 200)
    await until('Twilio is told', () => vendor.requests.length > 1)
    const { path, body } = vendor.requests[1] ?? assert.fail()
    assert.match(path, new RegExp(`/Messages/${sid}/Feedback\\.json$`))
    assert.equal(body, 'Outcome=confirmed')
  })

  test(`${mode}: Ronglian says what became of an SMS when it likes, or when it is asked`, async (t) => {
    let smsMessageSid = ''
    await using vendor = await vendorServer((response, request) => {
      const asked = request.path.includes('GetArrived')
      if (!asked) smsMessageSid = newId()
      const report = { content: smsMessageSid, status: '1', deliverCode: 'MK:0001' }
      const answer = asked ? { reports: [report] } : { templateSMS: { smsMessageSid } }
      answerJson(200, { statusCode: '000000', ...answer })(response, request)
    })
    const account = { ...ronglian, baseUrl: vendor.url }
    const provider = () => ronglianProvider({ ...account, templateId: '1' })
    const pushed = await start(t, mode, provider(), ronglianReceipts({ token }))
    const one = await sendOne(pushed)
    const Request = { action: 'SMSArrived', smsType: '1', content: smsMessageSid, status: '0' }
    const call = (url: string) => pushed.inject({ method: 'POST', url, payload: { Request } })
    assert.equal((await call('/sms/receipts/ronglian')).statusCode, 404)
    assert.equal((await call(`/sms/receipts/ronglian/${token}0`)).statusCode, 404)
    assert.equal((await pushed.smsVerify.status(one)).status, 'sent')
    assert.equal((await call(`/sms/receipts/ronglian/${token}`)).statusCode, 200)
    assert.equal((await pushed.smsVerify.status(one)).status, 'delivered')

    const source = ronglianReceipts({ pull: { ...account, every: 1 } })
    const pulling = await start(t, mode, provider(), source)
    const { id: two } = await pulling.smsVerify.send({ phone: newPhone() })
    const status = async () => (await pulling.smsVerify.status(two)).status
    await until('it has failed', async () => (await status()) === 'failed')
    assert.equal((await pulling.smsVerify.status(two)).reason, 'recipient')
  })
}

async function start(
  t: TestContext,
  mode: (typeof MODES)[number],
  provider: SmsProvider,
  source: ReceiptSource,
): Promise<FastifyInstance> {
  const receipts = [source]
  if (mode === 'embedded') return await build(t, embedded({ provider, receipts }))
  const queuePrefix = newQueuePrefix()
  await consume(t, { queuePrefix, provider, receipts: true })
  return await build(t, connected({ queuePrefix, receipts }))
}

async function sendOne(app: FastifyInstance): Promise<string> {
  const { id } = await app.smsVerify.send({ phone: newPhone() })
  await until('it is sent', async () => (await app.smsVerify.status(id)).status === 'sent')
  return id
}
