/** The package as its users get it: packed, installed into an empty project, imported, required, type-checked, run. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOT = resolve('.')

let project: string

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'sms-verify-package-'))
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const build = join(project, 'build')
  // Built beside the checkout, not in it: another test run must not find it half done.
  await run(process.execPath, [tsc, '-p', ROOT, '--outDir', join(build, 'dist')])
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

test('the types are there', async () => {
  await writeFile(
    join(project, 'use.mts'),
    `import Fastify from 'fastify'
     import { smsVerify, type SmsVerifyErrorCode } from 'fastify-sms-verify'
     import { startConsumer, type Consumer } from 'fastify-sms-verify/consumer'
     import { ronglianProvider, type SmsProvider } from 'fastify-sms-verify/providers'
     const app = Fastify()
     await app.register(smsVerify, { secret: 's', countries: ['CN'] })
     // @ts-expect-error: countries are required
     await app.register(smsVerify, { secret: 's' })
     const proof: string = (await app.smsVerify.verify({ id: '', code: '' })).proof
     const provider: SmsProvider = ronglianProvider({ accountSid: '', authToken: '', appId: '', templateId: '' })
     const consumer: Consumer = await startConsumer({ amqp: '', redis: '', secret: '', provider })
     export const code: SmsVerifyErrorCode = 'SMS_VERIFY_GONE'
     export { consumer, proof }`,
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
