/** A long run with one fault after the other, to see whether memory, listeners or sockets grow. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  cutOne,
  deleteQueues,
  dropConfirms,
  every,
  freezeOne,
  killBroker,
  killRedis,
  vendorDown,
} from './nemesis.ts'
import type { Openings } from './preload.ts'
import type { Row, Scene } from './row.ts'
import { ACK_UNKNOWN, DECLARE_MISSING } from './script.ts'

/** Milliseconds. */
const BETWEEN_FAULTS = 30_000
const BETWEEN_SAMPLES = 10_000
const WARM_UP = 600_000

/** Sends a second. */
const RATE = 15

/** Bytes per ten minutes. */
const SLOPE = 1e6

/** Minutes below which a slope says nothing. */
const LONG = 30

/** All of them leave the programs alive: a new process has no past that could have leaked. */
const FAULTS: ((scene: Scene) => Promise<void>)[] = [
  (scene) => cutOne(scene, scene.world.servers),
  (scene) => cutOne(scene, scene.world.consumers),
  (scene) => freezeOne(scene, [...scene.world.servers, ...scene.world.consumers], 5000),
  // Longer than it takes to miss a silent peer.
  (scene) => freezeOne(scene, scene.world.consumers, 16_000),
  (scene) => dropConfirms(scene, 3000),
  (scene) => vendorDown(scene, 10_000),
  vendorSlow,
  channelsClosed,
  deleteQueues,
  killRedis,
  killBroker,
  ({ world, nodes }) => world.fault('RabbitMQ restarts', () => nodes[0]?.restart()),
]

async function vendorSlow({ world }: Scene): Promise<void> {
  const { treat } = world.vendor
  await world.fault('vendor slow', async () => {
    world.vendor.treat = () => ({ accept: true, after: 5000 })
    await sleep(10_000)
    world.vendor.treat = treat
  })
}

async function channelsClosed({ world, chance }: Scene): Promise<void> {
  await world.fault('channels closed', () => {
    for (const { links } of [...world.servers, ...world.consumers]) {
      links?.amqp.say(chance.pick([ACK_UNKNOWN, DECLARE_MISSING]))
    }
  })
}

export function soakRow(minutes: number): Row {
  return {
    name: 'soak',
    title: 'soak, one of these every 30 s',
    sends: Math.round(minutes * 60 * RATE),
    broker: 'own',
    mayRepeat: true,
    runs: [{ delivery: 'at-least-once' }],
    setting: { proxied: true },
    load: { rate: RATE, pause: 1000 },
    async plan(scene) {
      scene.note(`${minutes} min`)
      const samples = takeSamples(scene, Math.min(WARM_UP, minutes * 10_000))
      await every(scene, BETWEEN_FAULTS, () =>
        scene.chance
          .pick(FAULTS)(scene)
          .catch((error) => scene.complain(`no fault: ${error}`)),
      )
      scene.note(`${scene.world.faults.length} faults`)
      for (const [name, taken] of await samples) judgeMemory(scene, name, taken, minutes >= LONG)
    },
  }
}

type Sample = Openings & { at: number }

/** Of each program, after the first minutes, as long as the load goes on. */
async function takeSamples(scene: Scene, warmUp: number): Promise<Map<string, Sample[]>> {
  const programs = [...scene.world.servers, ...scene.world.consumers]
  const samples = new Map<string, Sample[]>(programs.map(({ name }) => [name, []]))
  await every(scene, BETWEEN_SAMPLES, async () => {
    const at = scene.world.elapsed()
    for (const program of programs) {
      const openings = await program.openings()
      if (openings && at > warmUp) samples.get(program.name)?.push({ ...openings, at })
    }
  })
  return samples
}

function judgeMemory(scene: Scene, name: string, samples: Sample[], long: boolean): void {
  const slope = (field: 'rss' | 'heap') => slopeOf(samples.map((one) => [one.at, one[field]]))
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`
  const half = Math.floor(samples.length / 2)
  const median = (field: 'listeners' | 'sockets', part: Sample[]) =>
    part.map((one) => one[field]).sort((one, other) => one - other)[Math.floor(part.length / 2)] ??
    0
  const [before, after] = [samples.slice(0, half), samples.slice(half)]
  const listeners = [median('listeners', before), median('listeners', after)] as const
  const sockets = [median('sockets', before), median('sockets', after)]
  const rss = slope('rss') * 600_000
  scene.note(
    `${name}: ${megabytes(rss)} of memory (${megabytes(slope('heap') * 600_000)} of heap) per 10 min, ` +
      `listeners ${listeners.join(' → ')}, sockets ${sockets.join(' → ')}`,
  )
  if (!long) return
  if (!(rss < SLOPE)) scene.complain(`${name} grows by ${megabytes(rss)} in 10 min`)
  if (listeners[1] > listeners[0] * 1.1 + 2) scene.complain(`${name} gathers listeners`)
}

/** By least squares. */
function slopeOf(points: [x: number, y: number][]): number {
  const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length
  const x = mean(points.map(([x]) => x))
  const y = mean(points.map(([, y]) => y))
  const covariance = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  return covariance / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
}
