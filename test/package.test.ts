/** The package as its users get it: packed, installed into an empty project, imported, required, type-checked, run. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import {
  build,
  CONSUMER,
  connected,
  deleteQueues,
  newPhone,
  newQueuePrefix,
  SECRET,
  until,
} from './helper.ts'

const run = promisify(execFile)
const ROOT = resolve('.')

let project: string

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'sms-verify-package-'))
  const build = join(project, 'build')
  // Built beside the checkout, not in it: another test run must not find it half done.
  await run(process.execPath, ['--import', 'tsx', 'build.ts', join(build, 'dist')])
  const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  // The checks of publishing have nothing to do with what is in the package.
  await writeFile(join(build, 'package.json'), JSON.stringify({ ...manifest, scripts: {} }))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], {
    cwd: build,
  })
  const [{ filename }] = JSON.parse(stdout)

  const installed = join(project, 'node_modules', 'fastify-sms-verify')
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', join(project, filename), '-C', installed, '--strip-components=1'])
  // Its dependencies and nothing else, those of the checkout: a registry is no part of what is tested.
  const needed = { ...manifest.dependencies, ...manifest.peerDependencies, '@types/node': '' }
  for (const name of Object.keys(needed)) {
    await mkdir(join(project, 'node_modules', name, '..'), { recursive: true })
    await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name))
  }
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true }))
})

after(() => rm(project, { recursive: true }))

async function node(file: string, program: string): Promise<string> {
  await writeFile(join(project, file), program)
  const { stdout, stderr } = await run(process.execPath, [file], { cwd: project })
  assert.equal(stderr, '')
  return stdout
}

const USE = `
  const app = Fastify()
  await app.register(smsVerify, {
    secret: 'a secret of more than thirty-two bytes', countries: ['CN'], provider: consoleProvider(),
  })
  const payload = { phone: '+8613800138000' }
  const sent = await app.inject({ method: 'POST', url: '/sms/send', payload })
  console.log(sent.statusCode, typeof startConsumer)
  await app.close()`

test('import works', async () => {
  const output = await node(
    'use.mjs',
    `import Fastify from 'fastify'
     import standard, { smsVerify } from 'fastify-sms-verify'
     import { startConsumer } from 'fastify-sms-verify/consumer'
     import { consoleProvider } from 'fastify-sms-verify/providers'
     if (standard !== smsVerify) throw new Error('two functions')
     ${USE}`,
  )
  assert.match(output, /^202 function$/m)
})

test('require works, with the named export and with the whole', async () => {
  const output = await node(
    'use.cjs',
    `const Fastify = require('fastify')
     const { smsVerify } = require('fastify-sms-verify')
     const { startConsumer } = require('fastify-sms-verify/consumer')
     const { consoleProvider } = require('fastify-sms-verify/providers')
     ;(async () => {
       ${USE}
       const other = Fastify()
       await other.register(require('fastify-sms-verify'), { secret: 'x'.repeat(32), countries: 'all' })
       console.log(typeof other.smsVerify.send)
       await other.close()
     })()`,
  )
  assert.match(output, /^202 function$/m)
  assert.match(output, /^function$/m)
})

test('the client is two small files that can be imported where there is no browser', async () => {
  const output = await node(
    'client.mjs',
    `import { createVerification } from 'fastify-sms-verify/client'
     import { SmsVerifyElement } from 'fastify-sms-verify/client/element'
     console.log(createVerification().state.status, typeof SmsVerifyElement)`,
  )
  assert.equal(output, 'idle function\n')
  const folder = join(project, 'node_modules', 'fastify-sms-verify', 'dist', 'client')
  const size = async (file: string) => gzipSync(await readFile(join(folder, file))).length
  assert.ok((await size('index.js')) < 4096)
  assert.ok((await size('element.js')) < 6144)
})

test('what an app loads has no test runner in it', async () => {
  const load = (entries: string[]) =>
    node(
      'load.mjs',
      `${entries.map((entry) => `await import('fastify-sms-verify${entry}')`).join('\n')}
       console.log(process.moduleLoadList.some((name) => name.includes('test_runner')))`,
    )
  assert.equal(await load(['', '/consumer', '/providers']), 'false\n')
  assert.equal(await load(['/testing']), 'true\n')
})

test('a web server does not load what calls vendors', async () => {
  const load = (entry: string) =>
    node(
      'loaded.mjs',
      `import { createRequire } from 'node:module'
       await import('fastify-sms-verify${entry}')
       console.log(Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('/undici/')))`,
    )
  assert.equal(await load(''), 'false\n')
  assert.equal(await load('/consumer'), 'false\n')
  assert.equal(await load('/providers'), 'true\n')
})

test('the examples of docs/testing.md run', async () => {
  const text = await readFile(join(ROOT, 'docs/testing.md'), 'utf8')
  const examples = [...text.matchAll(/```js\n\/\/ (\S+\.mjs)\n(.*?)```/gs)]
  const names = examples.map(([, name = '']) => name)
  for (const [, name = '', program = ''] of examples) await writeFile(join(project, name), program)
  const tests = names.filter((name) => name.endsWith('.test.mjs'))
  assert.deepEqual(tests, [
    'app.test.mjs',
    'consumer.test.mjs',
    'receipts.test.mjs',
    'pigeon.test.mjs',
  ])
  const { NODE_TEST_CONTEXT: _outerRunner, ...env } = process.env
  for (const name of tests) {
    const args = ['--test-reporter=tap', name]
    const { stdout } = await run(process.execPath, args, { cwd: project, env })
    assert.match(stdout, /^# pass [1-9]/m)
  }
  await deleteQueues('test-docs')
})

test('the consumer that docs/testing.md starts from the command line writes down what it would send', async (t) => {
  const queuePrefix = newQueuePrefix()
  const binary = join(project, 'node_modules', 'fastify-sms-verify', 'dist', 'cli.js')
  const args = [binary, '--provider', './fake.mjs', '--queue-prefix', queuePrefix]
  const env = {
    ...process.env,
    REDIS_URL: CONSUMER.redis,
    AMQP_URL: CONSUMER.amqp,
    SMS_VERIFY_SECRET: SECRET,
  }
  const consumer = spawn(process.execPath, args, { cwd: project, env, stdio: 'ignore' })
  t.after(async () => {
    consumer.kill()
    await once(consumer, 'exit')
  })
  const app = await build(t, connected({ queuePrefix }))
  const phone = newPhone()
  const { id } = await app.smsVerify.send({ phone })
  const inbox = () => readFile(join(project, 'inbox.jsonl'), 'utf8').catch(() => '')
  await until('the SMS', async () => (await inbox()).endsWith('\n'), 60_000)
  const sms = JSON.parse(await inbox())
  assert.equal(sms.phone, phone)
  assert.equal((await app.smsVerify.verify({ id, code: sms.code })).phone, phone)
})

test('the types are there', async () => {
  await writeFile(
    join(project, 'use.mts'),
    `import Fastify from 'fastify'
     import { smsVerify, type SmsVerifyErrorCode } from 'fastify-sms-verify'
     import { startConsumer, type Consumer } from 'fastify-sms-verify/consumer'
     import { createVerification, type VerificationState } from 'fastify-sms-verify/client'
     import type { SmsVerifyElement } from 'fastify-sms-verify/client/element'
     import { ronglianProvider, type SmsProvider } from 'fastify-sms-verify/providers'
     import { fakeProvider, testHttpProvider, type Act } from 'fastify-sms-verify/testing'
     const app = Fastify()
     await app.register(smsVerify, { secret: 's', countries: ['CN'] })
     // @ts-expect-error: countries are required
     await app.register(smsVerify, { secret: 's' })
     const proof: string = (await app.smsVerify.verify({ id: '', code: '' })).proof
     const provider: SmsProvider = ronglianProvider({ accountSid: '', authToken: '', appId: '', templateId: '' })
     const consumer: Consumer = await startConsumer({ amqp: '', redis: '', secret: '', provider })
     export const code: SmsVerifyErrorCode = 'SMS_VERIFY_GONE'
     const state: VerificationState = await createVerification({ baseUrl: '/sms' }).send('')
     const element: SmsVerifyElement = document.createElement('sms-verify')
     // @ts-expect-error: a wrong code has no time to wait
     if (state.error?.code === 'SMS_VERIFY_WRONG_CODE') state.error.retryAfter
     const act: Act = { answer: 'retry', first: true }
     const fake: SmsProvider = fakeProvider({ failures: { share: 0.3, acts: [act, 'throws'] } })
     // @ts-expect-error: no such act
     fakeProvider().next('busy')
     export { consumer, proof, element, fake, testHttpProvider }`,
  )
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
  ]
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, ...options, 'use.mts'], { cwd: project })
})

test('the binary is there and says its version', async () => {
  const folder = join(project, 'node_modules', 'fastify-sms-verify')
  const { bin, version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const path = join(folder, bin['sms-verify-consumer'])
  const { stdout } = await run(process.execPath, [path, '--version'])
  assert.equal(stdout.trim(), version)
  assert.match(await readFile(path, 'utf8'), /^#!\/usr\/bin\/env node\n/)
})
