/** Rows in which our own processes suffer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { logged } from './judge.ts'
import { every, killOne } from './nemesis.ts'
import { type Row, RUNS, type Scene } from './row.ts'

const WITH_KEYS = [...RUNS, { vendor: 'ronglian' } as const]

const REFUSED_AND_KILLED = {
  sends: 3000,
  runs: [{ delivery: 'at-least-once' }],
  mayRepeat: true,
  plan: refusedAndKilled,
} satisfies Partial<Row>

export const PROCESS_ROWS: Row[] = [
  {
    name: 'none',
    title: 'none',
    sends: 10_000,
    rounds: 3,
    small: 400,
    load: { rate: 350 },
    check({ ends, sends }, { complain }) {
      if (ends.sent !== sends) complain(`${sends - ends.sent} not sent without any fault`)
    },
  },
  {
    name: 'consumer-sigkill',
    title: 'consumer SIGKILL every 0.5 s',
    sends: 3000,
    rounds: 3,
    small: 300,
    runs: WITH_KEYS,
    mayRepeat: true,
    plan: (scene) => every(scene, 500, () => killOne(scene, scene.world.consumers)),
    check({ dup }, { world, complain }) {
      const most = world.faults.length * world.setting.concurrency
      if (dup > most) complain(`${dup} sent twice, more than ${most}, kills × jobs in hand`)
    },
  },
  {
    ...REFUSED_AND_KILLED,
    name: 'refused-sigkill',
    title: 'consumer SIGKILL every 0.5 s, a third refused once',
  },
  {
    ...REFUSED_AND_KILLED,
    name: 'early-sigkill',
    title: 'the same with early acknowledgement and retries in memory, for comparison',
    setting: { consumer: 'early' },
    mayLose: true,
  },
  {
    name: 'consumer-sigstop',
    title: 'consumer SIGSTOP 30 s',
    sends: 3000,
    mayRepeat: true,
    async plan({ world, chance }) {
      const victim = chance.pick(world.consumers)
      await sleep(2000)
      await world.fault(`SIGSTOP of ${victim.name}`, async () => {
        await victim.kill('SIGSTOP')
        await sleep(30_000)
        await victim.kill('SIGCONT')
      })
    },
    check({ dup, slowest }, { world, complain }) {
      if (dup > world.setting.concurrency) complain(`${dup} sent twice, more than were in hand`)
      // Three heartbeats of 5 s until the broker gives up on it, then one retry step at most.
      if (slowest > 20_000) complain(`an SMS took ${slowest} ms`)
    },
  },
  {
    name: 'consumer-sigterm',
    title: 'consumer SIGTERM rolling, 50 restarts',
    sends: 6000,
    small: 150,
    load: { rate: 60 },
    async plan({ world, small, complain }) {
      for (let i = 0; i < (small ? 3 : 50); i++) {
        const victim = world.consumers[i % 2]
        if (!victim) return
        let end: unknown
        await world.fault(`SIGTERM of ${victim.name}`, async () => {
          end = await victim.kill('SIGTERM')
        })
        if (end !== 0) complain(`${victim.name} ended with ${end} on SIGTERM`)
        await victim.start()
      }
    },
  },
  {
    name: 'server-sigkill',
    title: 'API SIGKILL every 1 s',
    sends: 3000,
    setting: { servers: 2 },
    // On a busy machine there are seconds in which both are just starting.
    load: { tries: 1000 },
    plan: (scene) => every(scene, 1000, () => killOne(scene, scene.world.servers)),
  },
  {
    name: 'start-order',
    title: 'Redis, RabbitMQ, API and consumers stopped and started in each of the 24 orders',
    sends: 600,
    runs: RUNS.slice(0, 1),
    broker: 'own',
    load: { rate: 4, tries: 1000 },
    async plan(scene) {
      for (const order of permutations(['redis', 'rabbitmq', 'servers', 'consumers'] as const)) {
        await startIn(order, scene)
      }
    },
  },
  {
    name: 'clock',
    title: 'clock +10 min on API, −10 min on consumers, queue held for 20 s',
    sends: 1000,
    load: { rate: 50 },
    setting: { ttl: 45, serverClock: 600_000, consumerClock: -600_000 },
    plan: holdQueue,
    check: checkRemaining,
  },
  {
    name: 'clock-reverse',
    title: 'clock −10 min on API, +10 min on consumers, queue held for 20 s',
    sends: 1000,
    load: { rate: 50 },
    setting: { ttl: 45, serverClock: -600_000, consumerClock: 600_000 },
    plan: holdQueue,
    check: checkRemaining,
  },
]

/** A third is refused once, so that there is always something to be tried again when a consumer dies. */
async function refusedAndKilled(scene: Scene): Promise<void> {
  scene.world.vendor.treat = ({ phone, nth }) => ({
    accept: nth > 0 || Number(phone) % 3 !== 0,
    after: 30,
  })
  await every(scene, 500, () => killOne(scene, scene.world.consumers))
}

type Part = 'redis' | 'rabbitmq' | 'servers' | 'consumers'

async function startIn(order: Part[], { world, nodes }: Scene): Promise<void> {
  const { redis, servers, consumers } = world
  const programs = [...servers, ...consumers]
  const start: Record<Part, () => Promise<unknown>> = {
    redis: () => redis.restart(),
    rabbitmq: async () => nodes[0]?.restart(),
    servers: () => Promise.all(servers.map((server) => server.start())),
    consumers: () => Promise.all(consumers.map((consumer) => consumer.start())),
  }
  await world.fault(`started in the order ${order}`, async () => {
    await Promise.all(programs.map((program) => program.kill('SIGTERM')))
    await Promise.all([redis.kill(), nodes[0]?.kill()])
    const starts: Promise<unknown>[] = []
    for (const part of order) {
      starts.push(start[part]())
      await sleep(500)
    }
    await Promise.all(starts)
  })
}

const permutations = <Item>(items: readonly Item[]): Item[][] =>
  items.length === 0
    ? [[]]
    : items.flatMap((item, i) =>
        permutations(items.toSpliced(i, 1)).map((others) => [item, ...others]),
      )

/** Nobody consumes until the first codes have less than the 30 s left that a send needs, and the last have more. */
async function holdQueue({ world }: Scene): Promise<void> {
  await Promise.all(world.consumers.map((consumer) => consumer.kill('SIGTERM')))
  await sleep(19_000)
  await world.fault('queue held', () => {})
  await Promise.all(world.consumers.map((consumer) => consumer.start()))
}

function checkRemaining(...[{ ends }, scene]: Parameters<NonNullable<Row['check']>>): void {
  const { world, load, complain } = scene
  const accepted = new Map(load.sends.map((send) => [send.phone, send.accepted]))
  if (ends.expired === 0 || ends.sent === 0) complain('expected some to be expired and some sent')
  if (logged(world, 'sms.expired') !== ends.expired) complain('expired more than once')
  for (const { phone, at, validity = 0 } of world.vendor.received) {
    const { at: acceptedAt = 0, expiresIn = 0 } = accepted.get(phone) ?? {}
    const left = expiresIn - (at - acceptedAt) / 1000
    // What Redis' clock said at the claim. The request comes a moment later, on a busy machine some seconds; a clock that
    // was trusted instead would be minutes off.
    if (validity < 30 || Math.abs(left - validity) > 10) {
      complain(`sent with ${left.toFixed(1)} s left, ValidityPeriod ${validity}`)
      return
    }
  }
}
