/** `npm test`: runs the test files against a real Redis and a real RabbitMQ. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname } from 'node:path'
import { compile } from './compiled.ts'
import { startGuard } from './services/guard.ts'
import type { RabbitMQ } from './services/rabbitmq.ts'
import type { Endpoint } from './services/service.ts'
import { type Services, startServices } from './services.ts'
import { createUsers } from './users.ts'

const FOLDER = 'test'

/** Where a failure is, in the sources. */
const SOURCE_MAPS = '--enable-source-maps'

/** A test that hangs fails; and several files at once, since most of a test is waiting. */
const LIMITS = ['--test-timeout=180000', '--test-concurrency=3']

/** What failed is said once more at the end. */
const REPORTER = '--test-reporter=spec'

/** Of the queues, as each test has its own. */
const ANY_PREFIX = '[a-z0-9-]+'

/** Seconds the tests get to end once they have been interrupted. */
const GRACE = 10

type Interrupt = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

process.exitCode = await main(process.argv.slice(2))

/** `[file or pattern ...] [-- flag of node's test runner ...]` */
async function main(args: string[]): Promise<number> {
  const interruption = catchInterrupts()
  const split = args.includes('--') ? args.indexOf('--') : args.length
  try {
    const files = expand(args.slice(0, split))
    await using services = await startServices({ signal: interruption })
    report(services.redis)
    report(services.rabbitmq)
    await using program = await prepare(files)
    const variables = {
      REDIS_URL: services.redis.url,
      AMQP_URL: services.rabbitmq.url,
      ...(await users(services)),
    }
    const flags = args.slice(split + 1)
    const reporter = flags.some((flag) => flag.startsWith('--test-reporter')) ? [] : [REPORTER]
    const runner = [...program.flags, '--test', ...LIMITS, ...reporter, ...flags]
    return await runTests([...runner, ...program.files], variables, interruption)
  } catch (error) {
    if (interruption.aborted) return 128 + constants.signals[interruption.reason as Interrupt]
    process.stderr.write(`\n${error instanceof Error ? error.message : error}\n\n`)
    return 1
  }
}

/** Keeps the process alive on a signal, for it has services to stop first. */
function catchInterrupts(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] satisfies Interrupt[]) {
    process.on(name, () => controller.abort(name))
  }
  // npm passes a SIGTERM on to the shell between us only, which dies of it and leaves us alone.
  const parent = process.ppid
  const watchParent = () => process.ppid === parent || controller.abort('SIGTERM')
  if (process.env.npm_lifecycle_event) setInterval(watchParent, 200).unref()
  return controller.signal
}

/** Here and not by the runner, which knows no patterns before Node 21, nor by a shell. */
function expand(patterns: string[]): string[] {
  const all = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${FOLDER}/${name.replaceAll('\\', '/')}`)
    .sort()
  // What a folder sets apart, such as the tests in a browser, is run by its path only.
  const ours = all.filter((file) => dirname(file) === FOLDER)
  if (patterns.length === 0) return ours
  const chosen = patterns.flatMap((pattern) => {
    if (pattern.endsWith('.ts') && existsSync(pattern)) return [pattern]
    const matching = (pattern.includes('/') ? all : ours).filter((file) => matches(file, pattern))
    if (matching.length === 0) throw new Error(`No test file matches "${pattern}"`)
    return matching
  })
  return [...new Set(chosen)]
}

/** A pattern is a word of the file's name, or a path or name with `*` in it. */
function matches(file: string, pattern: string): boolean {
  if (!pattern.includes('*')) return file.includes(pattern)
  const parts = pattern.split(/\*+/).map((part) => part.replace(/[^\w/-]/g, '\\$&'))
  const whole = new RegExp(`^${parts.join('.*')}$`)
  return whole.test(file) || whole.test(basename(file))
}

interface Program extends AsyncDisposable {
  /** For node, to run the files. */
  flags: string[]
  files: string[]
}

/** The files as they are run: compiled, but for one from elsewhere, and where the coverage of the sources is asked for. */
async function prepare(files: string[]): Promise<Program> {
  const ours = files.every((file) => file.startsWith(`${FOLDER}/`))
  if (!ours || process.env.NODE_V8_COVERAGE) {
    return { flags: ['--import', 'tsx'], files, async [Symbol.asyncDispose]() {} }
  }
  const compiled = await compile()
  return {
    flags: [SOURCE_MAPS],
    files: files.map((file) => `${compiled.folder}/${file.replace(/ts$/, 'js')}`),
    [Symbol.asyncDispose]: () => compiled[Symbol.asyncDispose](),
  }
}

/** What the programs under test may do is what docs/least-privilege.md says, where the services are ours to change. */
async function users({ redis, rabbitmq }: Services): Promise<Record<string, string>> {
  if (!('stop' in redis) || !('control' in rabbitmq)) return {}
  const { web, consumer } = await createUsers({
    redis,
    rabbitmq: rabbitmq as RabbitMQ,
    queuePrefix: ANY_PREFIX,
  })
  return {
    WEB_REDIS_URL: web.redis,
    WEB_AMQP_URL: web.amqp,
    CONSUMER_REDIS_URL: consumer.redis,
    CONSUMER_AMQP_URL: consumer.amqp,
  }
}

function report({ name, version, url, origin }: Endpoint): void {
  process.stdout.write(`${name} ${version} at ${new URL(url).host}: ${origin}\n`)
}

async function runTests(
  args: string[],
  variables: Record<string, string>,
  interruption: AbortSignal,
): Promise<number> {
  interruption.throwIfAborted()
  const { NODE_TEST_CONTEXT: _outerRunner, ...env } = process.env
  const child = spawn(process.execPath, args, {
    env: { ...env, ...variables },
    stdio: 'inherit',
    // A group of its own, for a signal has to reach the runner's test files too, and only once.
    detached: true,
  })
  const exited = once(child, 'exit')
  const pid = child.pid
  if (pid === undefined) throw await exited.catch((error: unknown) => error)
  const guard = startGuard('kill -KILL "-$1"', String(pid))

  interruption.addEventListener('abort', () => {
    killGroup(pid, interruption.reason as Interrupt)
    setTimeout(() => killGroup(pid, 'SIGKILL'), GRACE * 1_000).unref()
  })
  const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null]
  killGroup(pid, 'SIGKILL')
  await guard.dismiss()
  interruption.throwIfAborted()
  return code ?? 128 + constants.signals[signal as NodeJS.Signals]
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // ESRCH: the group is empty.
  }
}
