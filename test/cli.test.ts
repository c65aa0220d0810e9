import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startConsumerProcess } from './consumer-process.ts'
import { build, connected, newPhone, newQueuePrefix, until } from './helper.ts'

const started = ({ lines }: { lines: { event?: string }[] }) =>
  lines.some(({ event }) => event === 'consumer.started')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
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
    ['--min-remaining', 'SMS_MIN_REMAINING'],
    ['--brand', 'SMS_BRAND'],
    ['--queue-prefix', 'SMS_QUEUE_PREFIX'],
    ['--health-port', 'SMS_HEALTH_PORT'],
    ['-l, --log-level', 'LOG_LEVEL'],
  ]) {
    assert.match(help.output(), new RegExp(`${flag} \\w+, or ${variable}\\n`))
  }
  for (const variable of ['SMS_VERIFY_SECRET', 'RONGLIAN_APP_ID', 'TWILIO_AUTH_TOKEN']) {
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
    [['--provider', 'pigeon'], {}, 1, /expected console, ronglian, twilio or a path, got pigeon/],
    [['--provider', './no-such-file.mjs'], {}, 1, /no-such-file\.mjs/],
    [['--provider', 'ronglian'], {}, 1, /RONGLIAN_ACCOUNT_SID: expected a value/],
    [['--concurrency', 'many'], {}, 1, /--concurrency: expected a number, got many/],
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

test('several providers are asked in their order', async (t) => {
  const queuePrefix = newQueuePrefix()
  const consumer = startConsumerProcess(
    t,
    ['--provider', `twilio,${await slowProvider(t, 0)}`, '--queue-prefix', queuePrefix],
    {
      TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`,
      TWILIO_AUTH_TOKEN: 'token',
      TWILIO_FROM: '+14155550199',
      TWILIO_BASE_URL: `http://127.0.0.1:${await freePort()}`,
    },
  )
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  await app.smsVerify.send({ phone })
  await until('it is sent', () => consumer.lines.some(({ event }) => event === 'sms.sent'))
  assert.match(consumer.output(), new RegExp(`begin \\${phone}`))
  const line = consumer.lines.find(({ event }) => event === 'sms.sent')
  assert.match(String(line?.code), /twilio:ECONNREFUSED/)
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
