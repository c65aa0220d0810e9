/** Many sends through a chain of which both providers fail in every way: each has to end as its outcomes demand. */
import { setTimeout as sleep } from 'node:timers/promises'
import { providerChain } from '../../src/providers/chain.ts'
import { type FakeCall, type FakeProvider, fakeProvider } from '../../src/testing/fake-provider.ts'
import { until } from '../until.ts'
import { openWorld, type Services } from './world.ts'

export interface MixedResult {
  sends: number
  /** Calls that failed. */
  failures: number
  calls: number
  /** By what the end is called in the log. */
  ends: Record<string, number>
  duplicates: number
  seconds: number
  problems: string[]
}

type Answer = FakeCall['answer']

/** One call of a provider, as the provider saw it. */
interface Call {
  by: 'one' | 'two'
  attempt: number
  answer: Answer
}

const RETRIES = 3

const PASSED_ON = new Set<Answer>([
  ...(['retry', 'account', 'permanent_request', 'rate_recipient'] as const),
])

const DOUBTFUL = new Set<Answer>(['ambiguous', 'throws'])

/** What is to be said of a job after these calls, or what is wrong with them. */
function endOf(calls: Call[]): string {
  let doubted: Call['by'] | undefined
  for (let attempt = 1; ; attempt++) {
    const made = calls.filter((call) => call.attempt === attempt)
    const last = made.at(-1)
    if (!last) return `no attempt ${attempt}`
    const asked = made.map(({ by }) => by).join(' ')
    const gaveUp = made.slice(0, -1).every(({ answer }) => PASSED_ON.has(answer))
    const whole = !PASSED_ON.has(last.answer) || doubted || last.by === 'two'
    if (!gaveUp || !whole || !(doubted ? [doubted] : ['one', 'one two']).includes(asked)) {
      return `attempt ${attempt} asked ${asked}`
    }
    if (last.answer === 'ok' || last.answer === 'duplicate') return 'sms.sent'
    if (DOUBTFUL.has(last.answer)) doubted = last.by
    const again = DOUBTFUL.has(last.answer) || made.some(({ answer }) => answer === 'retry')
    const isFinal = !PASSED_ON.has(last.answer) && !DOUBTFUL.has(last.answer)
    if (isFinal || !again || attempt > RETRIES) {
      return calls.some((call) => call.attempt > attempt) ? 'a call after the end' : 'sms.dead'
    }
  }
}

export async function playMixed(services: Services, sends: number): Promise<MixedResult> {
  const started = performance.now()
  const fake = (name: string, seed: number): FakeProvider =>
    fakeProvider({ name, idempotent: true, failures: { share: 0.3, seed } })
  const providers = { one: fake('one', 1), two: fake('two', 2) }
  await using world = await openWorld(services, {
    // Each call by itself is looked at here, so that nobody is put behind.
    provider: providerChain({ routes: { CN: [providers.one, providers.two] }, breaker: false }),
    retry: { backoff: 0.5, max: RETRIES },
    concurrency: 128,
  })
  const ids = new Set<string>()
  await inParallel(sends, 64, async () => {
    ids.add((await world.app.smsVerify.send({ phone: world.newPhone() })).id)
  })
  await until('all have ended', () => world.ends().length >= sends, 120_000).catch(() => {})
  // Whatever would be one too many has the time to come.
  await sleep(2000)

  const problems: string[] = []
  const byId = new Map<string, string[]>()
  for (const { id, event } of world.ends()) byId.set(id, [...(byId.get(id) ?? []), event])
  const calls = new Map<string, Call[]>()
  for (const [by, { calls: made }] of Object.entries(providers)) {
    for (const { message, answer } of made) {
      const { id, attempt } = message
      calls.set(id, [...(calls.get(id) ?? []), { by: by as Call['by'], attempt, answer }])
    }
  }
  const ends: Record<string, number> = {}
  for (const id of ids) {
    const made = calls.get(id) ?? []
    const [end = 'none', ...more] = byId.get(id) ?? []
    ends[end] = (ends[end] ?? 0) + 1
    if (more.length > 0) problems.push(`a job with ${more.length + 1} ends`)
    if (end === endOf(made)) continue
    problems.push(`${end}, expected ${endOf(made)}: ${made.map((call) => Object.values(call))}`)
  }
  const arrived = new Map<string, number>()
  const sms = Object.values(providers).flatMap(({ sent }) => sent)
  for (const { phone } of sms) arrived.set(phone, (arrived.get(phone) ?? 0) + 1)
  const duplicates = [...arrived.values()].reduce((sum, count) => sum + count - 1, 0)
  if (duplicates > 0) problems.push(`${duplicates} SMS too many`)
  const all = [...calls.values()].flat()
  const failures = all.filter(({ answer }) => answer !== 'ok' && answer !== 'duplicate')
  return {
    sends: ids.size,
    failures: failures.length,
    calls: all.length,
    ...{ ends, duplicates, problems },
    seconds: (performance.now() - started) / 1000,
  }
}

async function inParallel(count: number, atOnce: number, run: () => Promise<void>): Promise<void> {
  let left = count
  const worker = async () => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
