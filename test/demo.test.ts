import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { programArgs } from './compiled.ts'

interface Message {
  version: number
  code: string
  text: string
}

/** Milliseconds for the demo to come up or to end, on a machine that is busy with other tests. */
const PATIENCE = 60_000

describe('The demo', () => {
  let demo: Demo
  before(async () => {
    demo = await start()
  })
  after(() => demo[Symbol.asyncDispose]())

  test('proves a number and registers it, over real HTTP.', async (t) => {
    const phone = '+8613800138000'
    const sent = await demo.post('/sms/send', { phone, locale: 'en' })
    t.diagnostic(`POST /sms/send took ${sent.ms.toFixed(1)} ms`)
    assert.equal(sent.status, 202)
    const id = String(sent.body.id)
    assert.deepEqual(sent.body, { id, expiresIn: 300, resendIn: 60, codeLength: 6 })

    const { text } = await demo.sms(id)
    const code = /\d{6}/.exec(text)?.[0]
    const expected = `Demo: ${code} is your code. Valid for 5 min. Do not share it.`
    assert.equal(text, expected)
    await until('it is printed', () => demo.output().includes(`SMS to ${phone}: ${expected}\n`))

    const verified = await demo.post('/sms/verify', { id, code })
    assert.equal(verified.status, 200)
    const { proof } = verified.body
    assert.deepEqual(verified.body, { verified: true, purpose: 'signup', proof })
    const again = await demo.post('/sms/verify', { id, code })
    assert.deepEqual([again.status, again.body.code], [410, 'SMS_VERIFY_GONE'])

    const registered = await demo.post('/accounts', { proof, name: 'Ada' })
    assert.equal(registered.status, 201)
    assert.deepEqual(registered.body, { name: 'Ada', phone: '+86*********00' })
    const twice = await demo.post('/accounts', { proof, name: 'Ada' })
    assert.deepEqual([twice.status, twice.body.code], [410, 'SMS_VERIFY_GONE'])
  })

  test('keeps a proof whose registration was not filled in.', async () => {
    const { id } = (await demo.post('/sms/send', { phone: '+8613800138001' })).body
    const code = /\d{6}/.exec((await demo.sms(String(id))).text)?.[0]
    const { proof } = (await demo.post('/sms/verify', { id, code })).body
    assert.equal((await demo.post('/accounts', { proof, name: ' ' })).status, 400)
    assert.equal((await demo.post('/accounts', { proof, name: 'Ada' })).status, 201)
  })

  test('serves its page under a policy that admits nothing from elsewhere.', async () => {
    const types = { '/': 'text/html', '/page.css': 'text/css', '/page.js': 'text/javascript' }
    for (const [path, type] of Object.entries(types)) {
      const answer = await fetch(demo.url + path)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('content-type'), `${type}; charset=utf-8`)
      const policy = answer.headers.get('content-security-policy') ?? ''
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'/)
      assert.doesNotMatch(policy, /unsafe|\*|http/)
      // What the policy would block: script and style inside the page, anything of another host.
      const blocked = / on[a-z]+="| style="|<style|<script(?! type="module" src="\/)|https?:/
      assert.doesNotMatch(await answer.text(), blocked)
    }
  })

  test('shows nobody else’s SMS on its phone.', async () => {
    const { id } = (await demo.post('/sms/send', { phone: '+8613800138002' })).body
    await demo.sms(String(id))
    assert.deepEqual(await (await fetch(`${demo.url}/demo/phone?id=other`)).json(), [])
    assert.equal((await fetch(`${demo.url}/demo/phone`)).status, 400)
  })

  test('speaks the first language of the browser, and names every country in it.', async () => {
    const pageFor = async (languages: string) => {
      const answer = await fetch(demo.url, { headers: { 'accept-language': languages } })
      assert.equal(answer.headers.get('vary'), 'accept-language')
      return answer.text()
    }
    const [en, zh] = [await pageFor('de,zh;q=0.5'), await pageFor('zh-HK,en;q=0.5')]
    assert.match(en, /<html lang="en">[\s\S]+<option value="\+49" data-country="DE">Germany \+49</)
    assert.match(zh, /<html lang="zh-CN">[\s\S]+<option value="\+49" data-country="DE">德国 \+49</)
    for (const page of [en, zh]) {
      assert.ok((page.match(/<option /g) ?? []).length > 200)
      // Nothing is left to be filled in.
      assert.doesNotMatch(page, /[{}]|undefined/)
    }
  })

  test('has a provider that can be switched to refuse, and back.', async () => {
    const status = async (id: unknown) => {
      const answer = await fetch(`${demo.url}/sms/${id}`)
      return (await answer.json()) as Record<string, unknown>
    }
    assert.deepEqual(await demo.provider('refuses'), [200, { mode: 'refuses' }])
    const refused = (await demo.post('/sms/send', { phone: '+8613800138003' })).body
    await until('the refusal', async () => (await status(refused.id)).status === 'failed')
    assert.equal((await status(refused.id)).reason, 'recipient')
    assert.deepEqual(await (await fetch(`${demo.url}/demo/phone?id=${refused.id}`)).json(), [])
    assert.equal((await demo.provider('broken'))[0], 400)
    assert.deepEqual(await demo.provider('works'), [200, { mode: 'works' }])
    const sent = (await demo.post('/sms/send', { phone: '+8613800138004' })).body
    await demo.sms(String(sent.id))
  })

  const urls = { REDIS_URL: 'redis://127.0.0.1:1', AMQP_URL: 'amqp://127.0.0.1:1' }
  const mistakes: [what: string, env: () => Record<string, string>, error: RegExp][] = [
    [
      'one URL without the other',
      () => ({ REDIS_URL: urls.REDIS_URL }),
      /expected REDIS_URL and AMQP_URL or neither, got REDIS_URL without AMQP_URL$/,
    ],
    [
      'a missing secret',
      () => urls,
      /SMS_VERIFY_SECRET: expected .+, got none; make one: openssl rand -hex 32$/,
    ],
    [
      'to show the SMS of people in production',
      () => ({ NODE_ENV: 'production' }),
      /expected redis and amqp in production, .+, got neither$/,
    ],
    ['a port that is none', () => ({ PORT: 'http' }), /PORT: expected .+, got http$/],
    [
      'a port in use',
      () => ({ PORT: new URL(demo.url).port }),
      /port \d+ of 127.0.0.1 is in use; try another one: PORT=3001 npm start$/,
    ],
  ]
  for (const [what, env, error] of mistakes) {
    test(`refuses ${what} in one clear line.`, async () => {
      await using failing = launch(env())
      assert.deepEqual(await failing.ended, [1, null])
      assert.match(failing.errors(), /^demo: .+\n$/)
      assert.match(failing.errors().trimEnd(), error)
    })
  }

  test('ends with 0 on Ctrl-C, also while its provider does not answer.', async () => {
    await using other = await start()
    await other.provider('silent')
    const { id } = (await other.post('/sms/send', { phone: '+8613800138000' })).body
    await until('the provider is asked', async () => {
      const answer = (await (await fetch(`${other.url}/sms/${id}`)).json()) as { status: string }
      return answer.status === 'sending'
    })
    const signalledAt = performance.now()
    other.kill('SIGINT')
    assert.deepEqual(await other.ended, [0, null])
    const ms = performance.now() - signalledAt
    assert.ok(ms < 3000, `${ms} ms`)
  })

  test('ends with 0 on SIGTERM, whatever connections are open.', async () => {
    // As browsers do: one connection is kept alive, another is opened ahead of use.
    await fetch(demo.url)
    const silent = connect(Number(new URL(demo.url).port), '127.0.0.1').on('error', () => {})
    await once(silent, 'connect')
    const signalledAt = performance.now()
    demo.kill('SIGTERM')
    assert.deepEqual(await demo.ended, [0, null])
    const ms = performance.now() - signalledAt
    assert.ok(ms < 3000, `${ms} ms`)
  })
})

type Demo = Awaited<ReturnType<typeof start>>

/** The demo by itself, listening on a free port. */
async function start() {
  const demo = launch({ PORT: '0' })
  const url = await until('the demo listens', () => {
    assert.equal(demo.errors(), '')
    return /^Open (http:\/\/127\.0\.0\.1:\d+)\/ /m.exec(demo.output())?.[1]
  })
  return {
    ...demo,
    url,
    async post(path: string, body: object) {
      const askedAt = performance.now()
      const answer = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const ms = performance.now() - askedAt
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, ms }
    },
    /** Status and answer of switching it. */
    async provider(mode: string): Promise<[number, unknown]> {
      const answer = await fetch(`${url}/demo/provider`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ mode }),
      })
      return [answer.status, await answer.json()]
    },
    /** The SMS of a verification, once the phone on the page has it. */
    sms: (id: string) =>
      until('the SMS is there', async () => {
        const messages = (await (await fetch(`${url}/demo/phone?id=${id}`)).json()) as Message[]
        return messages[0]
      }),
  }
}

function launch(env: Record<string, string>) {
  // Not with what the tests were given themselves: the demo would use it.
  const without = { REDIS_URL: '', AMQP_URL: '', SMS_VERIFY_SECRET: '', HOST: '', NODE_ENV: '' }
  const child = spawn(process.execPath, programArgs('demo/server.ts'), {
    env: { ...process.env, ...without, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // 'close' comes after the last of the output.
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const watchdog = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
  const collect = (stream: NodeJS.ReadableStream) => {
    let text = ''
    stream.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
    })
    return () => text
  }
  return {
    ended,
    output: collect(child.stdout),
    errors: collect(child.stderr),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      clearTimeout(watchdog)
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function until<T>(what: string, ask: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; ) {
    const answer = await ask()
    if (answer) return answer
    await sleep(10)
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`)
}
