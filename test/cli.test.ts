import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { answer, answerJson, type VendorRequest, vendorServer } from '../src/testing/index.ts'
import { startConsumerProcess } from './consumer-process.ts'
import { build, connected, newPhone, newQueuePrefix, until } from './helper.ts'

const TWILIO = {
  TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`,
  TWILIO_AUTH_TOKEN: 'token',
  TWILIO_FROM: '+14155550199',
}
const RONGLIAN = {
  RONGLIAN_ACCOUNT_SID: 'sid',
  RONGLIAN_AUTH_TOKEN: 'token',
  RONGLIAN_APP_ID: 'app',
}
const ALIYUN = {
  ALIYUN_ACCESS_KEY_ID: 'LTAI',
  ALIYUN_ACCESS_KEY_SECRET: 'hush',
  ALIYUN_SIGN_NAME: '阿里云',
  ALIYUN_TEMPLATE_CODE: 'SMS_154950909',
  ALIYUN_TEMPLATE_PARAM: '{code}',
}
const TENCENT = {
  TENCENT_SECRET_ID: 'AKID',
  TENCENT_SECRET_KEY: 'hush',
  TENCENT_SMS_SDK_APP_ID: '1400006666',
  TENCENT_SIGN_NAME: '腾讯云',
  TENCENT_TEMPLATE_ID: '1110',
  TENCENT_TEMPLATE_PARAM_SET: '{minutes}',
}

const started = ({ lines }: { lines: { event?: string }[] }) =>
  lines.some(({ event }) => event === 'consumer.started')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

const WEBHOOK = {
  WEBHOOK_URL: 'https://receiver.example/',
  WEBHOOK_SECRET: `whsec_${'A'.repeat(32)}`,
}

/** A provider module that takes its time, and says on stdout what it was given. */
async function slowProvider(t: TestContext, ms: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sms-verify-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'provider.mjs')
  await writeFile(
    path,
    `export default () => ({
      name: 'slow',
      async send({ phone, text }) {
        console.log('begin ' + phone + ' ' + text)
        await new Promise((resolve) => setTimeout(resolve, ${ms}))
        return { class: 'ok' }
      },
    })`,
  )
  return path
}

test('--help names every flag with its environment variable, and --version the version', async (t) => {
  const help = startConsumerProcess(t, ['--help'])
  assert.equal(await help.exit, 0)
  for (const [flag, variable] of [
    ['--provider', 'SMS_PROVIDER'],
    ['--redis-url', 'REDIS_URL'],
    ['--amqp-url', 'AMQP_URL'],
    ['--concurrency', 'SMS_CONCURRENCY'],
    ['--delivery', 'SMS_DELIVERY'],
    ['--receipts', 'SMS_RECEIPTS'],
    ['--min-remaining', 'SMS_MIN_REMAINING'],
    ['--brand', 'SMS_BRAND'],
    ['--origin', 'SMS_ORIGIN'],
    ['--android-hash', 'SMS_ANDROID_HASH'],
    ['--queue-prefix', 'SMS_QUEUE_PREFIX'],
    ['--health-port', 'SMS_HEALTH_PORT'],
    ['-l, --log-level', 'LOG_LEVEL'],
  ]) {
    assert.match(help.output(), new RegExp(`${flag} \\w+, or ${variable}\\n`))
  }
  for (const variable of [
    'SMS_VERIFY_SECRET',
    'RONGLIAN_APP_ID',
    'ALIYUN_TEMPLATE_CODE',
    'TENCENT_TEMPLATE_ID',
    'TWILIO_AUTH_TOKEN',
    'WEBHOOK_SECRET',
  ]) {
    assert.match(help.output(), new RegExp(`^ {2}${variable} `, 'm'))
  }
  const version = startConsumerProcess(t, ['-v'])
  assert.equal(await version.exit, 0)
  assert.match(version.output(), /^\d+\.\d+\.\d+/)
})

test('what is wrong on the command line is said in one line', async (t) => {
  const cases: [args: string[], env: Record<string, string>, exit: number, says: RegExp][] = [
    [['--speed', '9'], {}, 2, /Unknown option '--speed'/],
    [['-l', 'loud'], {}, 2, /--log-level: expected .*, got loud/],
    [[], { SMS_VERIFY_SECRET: '' }, 1, /SMS_VERIFY_SECRET: expected a value/],
    [[], { SMS_VERIFY_SECRET: 'hush' }, 1, /at least 32 bytes.* got a string of 4 bytes/],
    [['--provider', 'pigeon'], {}, 1, /expected console, .*, webhook or a path, got pigeon/],
    [['--provider', 'console'], { NODE_ENV: 'production' }, 1, /console prints codes/],
    [['--provider', './no-such-file.mjs'], {}, 1, /no-such-file\.mjs/],
    [['--provider', 'twilio'], { ...TWILIO, TWILIO_FEEDBACK: 'yes' }, 1, /TWILIO_FEEDBACK: .*yes/],
    [['--provider', 'twilio'], { ...TWILIO, TWILIO_CONTENT_SID: 'hush' }, 1, /contentSid: /],
    [
      ['--provider', 'twilio'],
      { ...TWILIO, TWILIO_STATUS_CALLBACK: 'hush' },
      1,
      /statusCallback: /,
    ],
    [['--provider', 'ronglian'], {}, 1, /RONGLIAN_ACCOUNT_SID: expected a value/],
    [
      ['--provider', 'ronglian-international'],
      { ...RONGLIAN, RONGLIAN_SIGN_NAME: '【hush】' },
      1,
      /signName: expected the name/,
    ],
    [['--receipts', 'yes'], {}, 1, /--receipts: expected on or off, got yes/],
    [['--provider', 'aliyun'], {}, 1, /ALIYUN_ACCESS_KEY_ID: expected a value/],
    [['--provider', 'aliyun'], ALIYUN, 1, /ALIYUN_TEMPLATE_PARAM: expected a JSON object/],
    [['--provider', 'tencent'], {}, 1, /TENCENT_SECRET_ID: expected a value/],
    [['--provider', 'tencent'], TENCENT, 1, /templateParamSet: expected a variable with \{code\}/],
    [['--provider', 'webhook'], {}, 1, /WEBHOOK_URL: expected a value/],
    [
      ['--provider', 'webhook'],
      { ...WEBHOOK, WEBHOOK_SECRET: 'hush' },
      1,
      /secret: expected whsec_/,
    ],
    [
      ['--provider', 'webhook'],
      { ...WEBHOOK, WEBHOOK_URL: 'https://[::1]' },
      1,
      /a public address/,
    ],
    [
      ['--provider', 'webhook'],
      { ...WEBHOOK, WEBHOOK_ALLOW_PRIVATE: 'yes' },
      1,
      /expected on or off/,
    ],
    [['--concurrency', 'many'], {}, 1, /--concurrency: expected a number, got many/],
    [['--origin', 'https://x.example'], {}, 1, /startConsumer: origin: expected a host name/],
    [['--android-hash', 'x'], {}, 1, /startConsumer: androidHash: expected the 11 characters/],
    [['--health-port', '70000'], {}, 1, /--health-port: .*70000/],
  ]
  await Promise.all(
    cases.map(async ([args, env, exit, says]) => {
      const process = startConsumerProcess(t, args, { SMS_PROVIDER: 'console', ...env })
      assert.equal(await process.exit, exit, `${args} ${process.output()}`)
      assert.match(process.output(), /^sms-verify-consumer: .*$/)
      assert.match(process.output(), says)
      assert.doesNotMatch(process.output(), /hush/)
    }),
  )
})

test('a flag goes before its environment variable', async (t) => {
  const queuePrefix = newQueuePrefix()
  const consumer = startConsumerProcess(t, ['--queue-prefix', queuePrefix, '--concurrency', '3'], {
    SMS_PROVIDER: 'console',
    SMS_QUEUE_PREFIX: 'not-this-one',
    SMS_CONCURRENCY: '5',
  })
  await until('it started', () => started(consumer))
  const line = consumer.lines.find(({ event }) => event === 'consumer.started')
  assert.equal(line?.queuePrefix, queuePrefix)
  assert.equal(line?.concurrency, 3)
  assert.equal(line?.provider, 'console')
})

test('brand, origin and Android hash are in the text', async (t) => {
  const queuePrefix = newQueuePrefix()
  const args = ['--provider', await slowProvider(t, 0), '--queue-prefix', queuePrefix]
  const consumer = startConsumerProcess(t, [...args, '--origin', 'example.com'], {
    SMS_BRAND: 'Acme',
    SMS_ANDROID_HASH: 'FA+9qCX9VSu',
  })
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone(), locale: 'en' })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  const text = /Acme: (\d{6}) is your code\. .*\n\nFA\+9qCX9VSu\n@example\.com #\1(\n|$)/
  assert.match(consumer.output(), text)
})

test('a webhook gets the SMS, signed with every secret that there is', async (t) => {
  await using receiver = await vendorServer(answer(202, ''))
  const queuePrefix = newQueuePrefix()
  const other = `whsec_${'B'.repeat(32)}`
  const consumer = startConsumerProcess(
    t,
    ['--provider', 'webhook', '--queue-prefix', queuePrefix],
    {
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: `${WEBHOOK.WEBHOOK_SECRET},${other}`,
      WEBHOOK_ALLOW_PRIVATE: 'on',
    },
  )
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  const { body, headers } = receiver.requests[0] as VendorRequest
  for (const secret of [WEBHOOK.WEBHOOK_SECRET, other]) {
    const { data } = new Webhook(secret).verify(body, headers as Record<string, string>) as {
      data: { phone: string }
    }
    assert.equal(data.phone, phone)
  }
})

test('several providers are asked in their order', async (t) => {
  const queuePrefix = newQueuePrefix()
  const consumer = startConsumerProcess(
    t,
    ['--provider', `twilio,${await slowProvider(t, 0)}`, '--queue-prefix', queuePrefix],
    { ...TWILIO, TWILIO_BASE_URL: `http://127.0.0.1:${await freePort()}` },
  )
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  assert.match(consumer.output(), new RegExp(`begin \\${phone}`))
  const line = consumer.lines.find(({ event }) => event === 'sms.sent')
  assert.match(String(line?.code), /twilio:ECONNREFUSED/)
})

test('Aliyun and Tencent have their settings from the environment', async (t) => {
  await using aliyun = await vendorServer(answerJson(200, { Code: 'isp.SYSTEM_ERROR' }))
  const ok = { Response: { SendStatusSet: [{ Code: 'Ok', SerialNo: '5000:1' }] } }
  await using tencent = await vendorServer(answerJson(200, ok))
  const queuePrefix = newQueuePrefix()
  const args = ['--provider', 'aliyun,tencent', '--queue-prefix', queuePrefix]
  const consumer = startConsumerProcess(t, args, {
    ...ALIYUN,
    ALIYUN_TEMPLATE_PARAM: '{"code":"{code}","time":"{minutes}"}',
    ALIYUN_BASE_URL: aliyun.url,
    ...TENCENT,
    TENCENT_TEMPLATE_PARAM_SET: '{minutes}, {code}',
    TENCENT_REGION: 'ap-nanjing',
    TENCENT_BASE_URL: tencent.url,
  })
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))

  const [first] = aliyun.requests
  const query = new URL(first?.path ?? '', aliyun.url).searchParams
  assert.equal(query.get('SignName'), ALIYUN.ALIYUN_SIGN_NAME)
  assert.equal(query.get('TemplateCode'), ALIYUN.ALIYUN_TEMPLATE_CODE)
  assert.match(String(query.get('TemplateParam')), /^\{"code":"\d{6}","time":"5"\}$/)
  assert.match(String(first?.headers.authorization), /Credential=LTAI,/)
  const [second] = tencent.requests
  const body = JSON.parse(second?.body ?? '')
  assert.equal(body.SmsSdkAppId, TENCENT.TENCENT_SMS_SDK_APP_ID)
  assert.equal(body.SignName, TENCENT.TENCENT_SIGN_NAME)
  assert.equal(body.TemplateId, TENCENT.TENCENT_TEMPLATE_ID)
  assert.match(body.TemplateParamSet.join(), /^5,\d{6}$/)
  assert.equal(second?.headers['x-tc-region'], 'ap-nanjing')
  assert.match(String(second?.headers.authorization), /Credential=AKID\//)
})

test('the settings of Twilio and of Ronglian international reach the vendor', async (t) => {
  await using vendor = await vendorServer((response, request) => {
    const refuse = answerJson(200, { statusCode: '160060' })
    const accept = answerJson(201, { sid: `SM${'0'.repeat(32)}` })
    return (request.path.includes('international') ? refuse : accept)(response, request)
  })
  const queuePrefix = newQueuePrefix()
  const args = ['--provider', 'ronglian-international,twilio', '--queue-prefix', queuePrefix]
  const contentSid = `HX${'1'.repeat(32)}`
  const consumer = startConsumerProcess(t, args, {
    ...RONGLIAN,
    RONGLIAN_SIGN_NAME: 'Acme',
    RONGLIAN_BASE_URL: vendor.url,
    ...TWILIO,
    TWILIO_CONTENT_SID: contentSid,
    TWILIO_STATUS_CALLBACK: 'https://example.com/status',
    TWILIO_CONTENT_VARIABLES: '{"otp":"{code}"}',
    TWILIO_FEEDBACK: 'on',
    TWILIO_BASE_URL: vendor.url,
  })
  const app = await build(t, connected({ queuePrefix, countries: 'all' }))
  await app.smsVerify.send({ phone: '+14155550123' })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  const [first, second] = vendor.requests
  assert.match(JSON.parse(first?.body ?? '').content, /^【Acme】/)
  const form = new URLSearchParams(second?.body)
  assert.equal(form.get('ContentSid'), contentSid)
  assert.match(form.get('ContentVariables') ?? '', /^\{"otp":"\d{6}"\}$/)
  assert.equal(form.get('StatusCallback'), 'https://example.com/status')
  assert.equal(form.get('ProvideFeedback'), 'true')
})

test('SIGTERM finishes what is in hand and exits with 0; the rest stays in the queue', async (t) => {
  const queuePrefix = newQueuePrefix()
  const args = [
    '--provider',
    await slowProvider(t, 500),
    '--queue-prefix',
    queuePrefix,
    '--concurrency',
    '2',
  ]
  const app = await build(t, connected({ queuePrefix }))
  const first = startConsumerProcess(t, args)
  await until('it started', () => started(first))
  const ids = await Promise.all(
    Array.from({ length: 4 }, async () => (await app.smsVerify.send({ phone: newPhone() })).id),
  )
  await until('two are in hand', () => first.output().split('begin').length === 3)
  first.kill('SIGTERM')
  assert.equal(await first.exit, 0)
  assert.equal(first.lines.filter(({ event }) => event === 'sms.sent').length, 2)
  assert.deepEqual(
    first.lines.slice(-2).map(({ event }) => event),
    ['sms.sent', 'consumer.closed'],
  )

  const second = startConsumerProcess(t, args)
  const all = async () =>
    Promise.all(ids.map(async (id) => (await app.smsVerify.status(id)).status))
  await until('all are sent', async () => (await all()).every((status) => status === 'sent'))
  const logged = () => second.lines.filter(({ event }) => event === 'sms.sent').length
  await until('two are logged', () => logged() === 2)
})

test('a second signal ends it at once, and what it had in hand is delivered again', async (t) => {
  const queuePrefix = newQueuePrefix()
  const consumer = startConsumerProcess(t, [
    '--provider',
    await slowProvider(t, 60_000),
    '--queue-prefix',
    queuePrefix,
  ])
  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })
  await until('it is in hand', () => consumer.output().includes('begin'))
  consumer.kill('SIGINT')
  await until('it is stopping', () =>
    consumer.lines.some(({ event }) => event === 'consumer.stopping'),
  )
  consumer.kill('SIGINT')
  assert.equal(await consumer.exit, 1)
})

test('/live and /ready tell an orchestrator how it stands, /metrics what became of the jobs', async (t) => {
  const queuePrefix = newQueuePrefix()
  const port = await freePort()
  const consumer = startConsumerProcess(t, [
    '--provider',
    'console',
    '--queue-prefix',
    queuePrefix,
    '--health-port',
    String(port),
  ])
  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return [answer.status, await answer.json()]
  }
  await until('it started', () => started(consumer))
  await until('it is ready', async () => (await get('/ready'))[0] === 200)
  assert.deepEqual(await get('/live'), [200, { live: true }])
  assert.deepEqual(await get('/ready'), [200, { redis: true, amqp: true }])
  assert.deepEqual(await get('/other'), [404, { paths: ['/live', '/ready', '/metrics'] }])

  const app = await build(t, connected({ queuePrefix }))
  await app.smsVerify.send({ phone: newPhone() })
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  await until('it is counted', async () => /\{event="sent"\} 1$/m.test(await metrics()))
  assert.match(await metrics(), /^sms_verify_events_total\{event="dead"\} 0$/m)
  assert.match(await metrics(), /^sms_verify_up\{part="redis"\} 1$/m)
})

test('the log has a masked number and never the code', async (t) => {
  const queuePrefix = newQueuePrefix()
  const consumer = startConsumerProcess(t, [
    '--provider',
    await slowProvider(t, 0),
    '--queue-prefix',
    queuePrefix,
    '-l',
    'trace',
  ])
  const app = await build(t, connected({ queuePrefix, code: { length: 10 } }))
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  await sleep(50)
  const code = /begin .*?(\d{10})\D/.exec(consumer.output().replace(phone, ''))?.[1]
  assert.ok(code)
  const log = JSON.stringify(consumer.lines)
  assert.match(log, new RegExp(`"phone":"\\+86\\*{9}${phone.slice(-2)}"`))
  assert.ok(!log.includes(code))
  assert.ok(!log.includes(phone.slice(1)))
})
