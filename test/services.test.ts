import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { ephemeralRange } from './services/ports.ts'
import { type Service, startRabbitMQ, startRedis, startServices } from './services.ts'

const SERVICES = pathToFileURL('test/services.ts').href

describe('services', { concurrency: true, timeout: 240_000 }, () => {
  test('two Redis side by side are two, each on a port of its own', async (t) => {
    const [one, other] = await Promise.all([startRedis(), startRedis()])
    stopAfter(t, one, other)
    assert.notEqual(one.port, other.port)
    assertOutsideEphemeralRange(one.port)
    assertOutsideEphemeralRange(other.port)
    await withRedis(one, (redis) => redis.set('phone', 'one'))
    await withRedis(other, (redis) => redis.set('phone', 'other'))
    assert.equal(await withRedis(one, (redis) => redis.get('phone')), 'one')
    assert.equal(await withRedis(other, (redis) => redis.get('phone')), 'other')
    await one.stop()
    assert.equal(await withRedis(other, (redis) => redis.get('phone')), 'other')
  })

  test('a Redis with an append-only file comes back from SIGKILL with its keys', async (t) => {
    const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    stopAfter(t, redis)
    await withRedis(redis, (client) => client.set('phone', 'kept'))
    const before = redis.pid
    await redis.kill('SIGKILL')
    assert.equal(redis.pid, undefined)
    assert.equal(await isListening(redis.port), false)
    await redis.restart()
    assert.equal(await withRedis(redis, (client) => client.get('phone')), 'kept')
    if (before !== undefined) assert.notEqual(redis.pid, before)
  })

  test('a frozen Redis accepts connections and answers only when thawed', async (t) => {
    const redis = await startRedis()
    const client = new Redis(redis.url)
    t.after(() => client.disconnect())
    stopAfter(t, redis)
    await client.ping()
    await redis.kill('SIGSTOP')
    assert.equal(await isListening(redis.port), true)
    const ping = client.ping()
    assert.equal(await Promise.race([ping, delay(200, 'no answer')]), 'no answer')
    await redis.kill('SIGCONT')
    assert.equal(await ping, 'PONG')
  })

  test('a RabbitMQ keeps what a quorum queue confirmed over restart()', async (t) => {
    const rabbitmq = await startRabbitMQ()
    stopAfter(t, rabbitmq)
    assertOutsideEphemeralRange(rabbitmq.port)
    await publish(rabbitmq.url, 'jobs', 'send me')
    await rabbitmq.restart()
    assert.equal(await consumeOne(rabbitmq.url, 'jobs'), 'send me')
    await assertNothingLeftAfterStop(rabbitmq)
    await assert.rejects(rabbitmq.restart(), /has been stopped/)
  })

  test('stop() leaves no process and no folder, and may be called again', async () => {
    const redis = await startRedis()
    await assertNothingLeftAfterStop(redis)
    await redis.stop()
  })

  test('a server does not outlive the process that was killed before it could stop it', async () => {
    const program = `import { startRedis } from ${JSON.stringify(SERVICES)}
      const { port, folder } = await startRedis()
      console.log(JSON.stringify({ port, folder }))
      process.kill(process.pid, 'SIGKILL')`
    const { output } = await node('--input-type=module', '--eval', program)
    const { port, folder } = JSON.parse(output) as { port: number; folder?: string }
    await eventually(async () => !(await isListening(port)))
    if (folder) await eventually(() => !existsSync(folder))
  })

  test('without a server, Docker and apt-get the error names each way out', async () => {
    await assert.rejects(startRedis({ path: '' }), ({ message }: Error) => {
      assert.match(message, /redis-server is not on PATH/)
      assert.match(message, /docker is not on PATH/)
      assert.match(message, /apt-get/)
      assert.match(message, /set REDIS_URL/)
      return true
    })
    await assert.rejects(startServices({ path: '', env: {} }), ({ message }: Error) => {
      assert.match(message, /No Redis for the tests/)
      assert.match(message, /No RabbitMQ for the tests/)
      assert.match(message, /set AMQP_URL/)
      return true
    })
  })

  test('a server that cannot start shows its own last lines', async () => {
    await assert.rejects(startRedis({ args: ['--no-such-setting', 'x'] }), /no-such-setting/)
  })

  test('REDIS_URL is used when set, not stopped, and blamed when nobody answers', async (t) => {
    const redis = await startRedis()
    stopAfter(t, redis)
    const env = { REDIS_URL: redis.url, AMQP_URL: process.env.AMQP_URL }
    const services = await startServices({ env })
    assert.equal(services.redis.url, redis.url)
    await services.stop()
    assert.equal(await isListening(redis.port), true)
    await redis.stop()
    await assert.rejects(startServices({ env }), /at REDIS_URL, got: .*ECONNREFUSED/)
  })

  test('starting is given up on request', async () => {
    const controller = new AbortController()
    const services = startServices({ env: {}, signal: controller.signal })
    await delay(300)
    controller.abort(new Error('enough'))
    await assert.rejects(services, /enough/)
  })

  test('npm test: the exit code of the runner is kept, its last lines come last', async (t) => {
    const file = await testFile(
      t,
      `test('passes', () => { console.log(process.env.REDIS_URL) })
       test('fails', () => { throw new Error(process.env.AMQP_URL) })`,
    )
    const all = await node('test/run.ts', file)
    assert.equal(all.code, 1)
    assert.match(all.output, /redis:\/\//)
    assert.match(all.output, /amqp:\/\//)
    const one = await node('test/run.ts', file, '--', '--test-name-pattern=passes')
    assert.equal(one.code, 0)
    assert.match(one.output.trim().split('\n').at(-1) ?? '', /duration_ms/)
  })

  test('npm test: a pattern that matches no file is refused', async () => {
    const { code, output } = await node('test/run.ts', 'no-such-file')
    assert.equal(code, 1)
    assert.match(output, /No test file matches "no-such-file"/)
  })

  test('npm test: SIGTERM ends the test files and what they have started', async (t) => {
    const file = await testFile(
      t,
      `import { startRedis } from ${JSON.stringify(SERVICES)}
       test('hangs', async () => {
         const { port } = await startRedis()
         process.stderr.write('started on ' + port + '\\n')
         await new Promise((resolve) => setTimeout(resolve, 60_000))
       })`,
    )
    const run = spawnNode('test/run.ts', file)
    const port = await new Promise<number>((resolve) => {
      let output = ''
      const read = (chunk: Buffer) => {
        output += chunk
        const started = /started on (\d+)/.exec(output)
        if (started) resolve(Number(started[1]))
      }
      run.stdout?.on('data', read)
      run.stderr?.on('data', read)
    })
    run.kill('SIGTERM')
    const [code] = await once(run, 'exit')
    assert.equal(code, 128 + 15)
    await eventually(async () => !(await isListening(port)))
  })
})

function stopAfter(t: TestContext, ...services: Service[]): void {
  t.after(() => Promise.all(services.map((service) => service.stop())))
}

async function assertNothingLeftAfterStop({ folder, pid, port, stop }: Service): Promise<void> {
  const canLook = folder !== undefined && existsSync('/proc/self/environ')
  if (canLook) assert.notDeepEqual(processesThatKnow(folder), [])
  await stop()
  assert.equal(await isListening(port), false)
  if (pid !== undefined) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  if (canLook) assert.deepEqual(processesThatKnow(folder), [])
  if (folder) assert.equal(existsSync(folder), false)
}

/** Those that run in the folder, or have it in their arguments or their environment. */
function processesThatKnow(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const texts = ['cmdline', 'environ'].map((it) => readFileSync(`/proc/${pid}/${it}`, 'latin1'))
      return [...texts, readlinkSync(`/proc/${pid}/cwd`)].some((text) => text.includes(folder))
    } catch {
      return false
    }
  })
}

function assertOutsideEphemeralRange(port: number): void {
  const { first, last } = ephemeralRange()
  assert.ok(port < first || port > last, `${port} is within ${first} to ${last}`)
}

async function withRedis<T>({ url }: Service, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url)
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

async function publish(url: string, queue: string, text: string): Promise<void> {
  const model = await connect(url)
  const channel = await model.createConfirmChannel()
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  channel.sendToQueue(queue, Buffer.from(text), { persistent: true })
  await channel.waitForConfirms()
  await model.close()
}

async function consumeOne(url: string, queue: string): Promise<string> {
  const model = await connect(url)
  const channel = await model.createChannel()
  const text = await new Promise<string>((resolve, reject) => {
    channel
      .consume(queue, (message) => message && resolve(message.content.toString()), { noAck: true })
      .catch(reject)
  })
  await model.close()
  return text
}

async function testFile(t: TestContext, body: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sms-verify-run-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'some.test.ts')
  await writeFile(file, `import { test } from 'node:test'\n${body}\n`)
  return file
}

function spawnNode(...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function node(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawnNode(...args)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk
    })
  }
  const [code] = await once(child, 'close')
  return { code, output }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const until = Date.now() + 10_000
  while (!(await holds())) {
    assert.ok(Date.now() < until, 'did not come true within 10 s')
    await delay(20)
  }
}
