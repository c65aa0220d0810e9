import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { captcha } from '../examples/captcha.ts'
import { gatewayProvider } from '../examples/custom-provider.ts'
import type { BeforeSendContext } from '../src/plugin.ts'
import {
  answer,
  answerJson,
  hang,
  message,
  type Reply,
  reset,
  testProvider,
  type VendorMood,
  vendorServer,
} from '../src/testing/index.ts'
import { programArgs } from './compiled.ts'
import { freePorts } from './services/ports.ts'

/** Milliseconds for an example to come up, on a machine that is busy with other tests. */
const PATIENCE = 60_000

const PHONE = '+8613800138000'

/** What each example is started for; a new one has to be listed. */
const EXAMPLES: Record<string, (example: Example) => Promise<void>> = {
  async 'smallest.ts'(example) {
    const { id } = (await example.post('/sms/send', { phone: PHONE })).body
    const code = await example.code(PHONE)
    const verified = await example.post('/sms/verify', { id, code })
    assert.deepEqual([verified.status, verified.body.purpose], [200, 'default'])
  },

  async 'signup.ts'(example) {
    const prove = async (phone: string, purpose: string) => {
      const { id } = (await example.post('/sms/send', { phone, purpose })).body
      const verified = await example.post('/sms/verify', { id, code: await example.code(phone) })
      return verified.body.proof
    }
    const signUp = async (body: object) => {
      const { status, body: account } = await example.post('/accounts', body)
      return [status, account.phone ?? account.code]
    }
    const proof = await prove(PHONE, 'signup')
    assert.deepEqual(await signUp({ proof }), [400, 'FST_ERR_VALIDATION'])
    assert.deepEqual(await signUp({ proof, name: 'Ada' }), [201, PHONE])
    assert.deepEqual(await signUp({ proof, name: 'Ada' }), [410, 'SMS_VERIFY_GONE'])
    const login = await prove('+8613800138001', 'login')
    assert.deepEqual(await signUp({ proof: login, name: 'Eve' }), [410, 'SMS_VERIFY_GONE'])
  },

  async 'custom-provider.ts'(example) {
    assert.equal((await example.post('/sms/send', { phone: PHONE })).status, 202)
    await example.printed(/^The gateway sends \{\s+to: '\+8613800138000',\s+text: '.*\d{6}/m)
  },

  // Whatever stands for the vendor is not asked: there is no token.
  async 'captcha.ts'(example) {
    const refused = await example.post('/sms/send', { phone: PHONE })
    assert.deepEqual([refused.status, refused.body.code], [403, 'SMS_VERIFY_REFUSED'])
  },
}

for (const [name, check] of Object.entries(EXAMPLES)) {
  test(`examples/${name} runs.`, async (t) => check(await start(t, name)))
}

test('Every example is run.', () => {
  const files = readdirSync('examples').filter((name) => name.endsWith('.ts'))
  assert.deepEqual(files.sort(), Object.keys(EXAMPLES).sort())
})

const replies: Record<VendorMood, (quote: string) => Reply> = {
  accepts: () => answer(202, ''),
  refuses: (quote) => answer(422, quote),
  silent: () => hang,
  breaks: () => reset,
}

testProvider('the custom provider', {
  async setup(mood, quote) {
    const vendor = await vendorServer(replies[mood](quote))
    return {
      provider: gatewayProvider(`${vendor.url}/secret-path`),
      codes: () => vendor.requests.map(({ body }) => /\d{6}/.exec(JSON.parse(body).text)?.[0]),
      keys: () => vendor.requests.map(({ headers }) => headers['idempotency-key']),
      close: () => vendor[Symbol.asyncDispose](),
    }
  },
  secrets: ['secret-path'],
})

test('The custom provider tells what the gateway says from what nobody knows.', async () => {
  const classes = { 202: 'ok', 409: 'duplicate', 422: 'permanent_recipient', 500: 'ambiguous' }
  for (const [status, expected] of Object.entries(classes)) {
    await using vendor = await vendorServer(answer(Number(status), ''))
    const outcome = await gatewayProvider(vendor.url).send(message, {
      signal: AbortSignal.timeout(5000),
    })
    assert.deepEqual(outcome, { class: expected, code: `HTTP_${status}` })
    const [request] = vendor.requests
    assert.equal(request?.headers['idempotency-key'], message.key)
    assert.deepEqual(JSON.parse(request?.body ?? ''), { to: message.phone, text: message.text })
  }
  const { signal } = new AbortController()
  const gone = await vendorServer(answer(202, ''))
  await gone[Symbol.asyncDispose]()
  const refused = await gatewayProvider(gone.url).send(message, { signal })
  assert.deepEqual(refused, { class: 'retry', code: 'ECONNREFUSED' })
})

test('The custom provider is what --provider takes: a function that makes it, or says why not.', async () => {
  const { default: make } = await import('../examples/custom-provider.ts')
  process.env.GATEWAY_URL = 'http://127.0.0.1:1/'
  assert.equal(make().name, 'gateway')
  delete process.env.GATEWAY_URL
  assert.throws(make, /gateway: url: expected/)
})

test('The CAPTCHA lets through whom its vendor does, and a proof of work stands in for a vendor that is away.', async () => {
  const answers: [Reply, string][] = [
    [answerJson(200, { success: true }), 'allow'],
    [answerJson(200, { success: false, 'error-codes': ['timeout-or-duplicate'] }), 'refuse'],
    [answerJson(200, { success: 'true' }), 'refuse'],
    [answer(500, 'oops'), 'challenge'],
    [answer(302, '', { location: 'http://127.0.0.1:1/' }), 'challenge'],
    [reset, 'challenge'],
    [hang, 'challenge'],
  ]
  const ask = (url: string, headers: object) => {
    const context = { ip: '192.0.2.1', request: { headers } } as unknown as BeforeSendContext
    return captcha(url, 'a secret', 200)(context)
  }
  for (const [reply, verdict] of answers) {
    await using vendor = await vendorServer(reply)
    assert.equal(await ask(vendor.url, { 'captcha-token': 'a token' }), verdict)
    const [request] = vendor.requests
    assert.equal(
      request?.headers['content-type'],
      'application/x-www-form-urlencoded;charset=UTF-8',
    )
    assert.equal(request?.body, 'secret=a+secret&response=a+token&remoteip=192.0.2.1')
  }
  await using vendor = await vendorServer(answerJson(200, { success: true }))
  for (const headers of [{}, { 'captcha-token': '' }, { 'captcha-token': ['a', 'b'] }]) {
    assert.equal(await ask(vendor.url, headers), 'refuse')
  }
  assert.equal(vendor.requests.length, 0)
})

type Example = Awaited<ReturnType<typeof start>>

/** An example by itself, listening on a port of its own. */
async function start(t: TestContext, name: string) {
  const [port] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, programArgs(`examples/${name}`), {
    env: { ...process.env, PORT: String(port), NODE_ENV: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  t.after(() => {
    child.kill('SIGKILL')
    return ended
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      output += chunk
    })
  }

  async function printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; ) {
      const found = pattern.exec(output)
      if (found) return found
      if (child.exitCode !== null) break
      await sleep(10)
    }
    throw new Error(`expected ${pattern}, got ${output}`)
  }

  await printed(/Server listening/)
  return {
    printed,
    /** The code of the SMS that the console provider printed. */
    code: async (phone: string) =>
      (await printed(new RegExp(`^SMS to \\${phone}: \\D*(\\d{6})`, 'm')))[1],
    async post(path: string, body: object) {
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    },
  }
}
