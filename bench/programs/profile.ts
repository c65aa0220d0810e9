/** Whose time it is: the samples of V8's profiler, each counted for whoever is nearest to it on the stack. */
import { type Profiler, Session } from 'node:inspector'
import { promisify } from 'node:util'

/** What time is spent on. */
export const OWNERS = [
  'http',
  'redis',
  'rabbitmq',
  'crypto',
  'number',
  'log',
  'rules',
  'node',
] as const
export type Owner = (typeof OWNERS)[number]

/** Microseconds of each. */
export type Times = Record<Owner, number>

/** The first that is found in the address of a function. What is in none of them is Node's own, and V8's. */
const PLACES: [owner: Owner, address: RegExp][] = [
  ['crypto', /\/src\/(secrets|sealed|hmac)\.|^node:internal\/crypto/],
  ['number', /\/libphonenumber-js\/|\/src\/phone\./],
  ['redis', /\/(ioredis|redis-parser)\/|\/src\/store\/(?!memory|table)/],
  ['rabbitmq', /\/amqplib\/|\/src\/queue\/(?!memory)/],
  ['http', /^node:_?http|\/src\/providers\/(pool|http)\.|\/programs\/post\./],
  ['http', /\/(undici|fastify|@fastify|find-my-way|secure-json-parse|fast-json-stringify)\//],
  ['log', /\/(pino|sonic-boom)\//],
  ['rules', /\/src\/|\/programs\//],
]

/** Microseconds between two samples. */
const INTERVAL = 500

/** Starts to look; what it answers ends it, and tells. */
export async function startProfile(): Promise<() => Promise<Times>> {
  const session = new Session()
  session.connect()
  const post = promisify(session.post.bind(session)) as (
    method: string,
    params?: object,
  ) => Promise<unknown>
  await post('Profiler.enable')
  await post('Profiler.setSamplingInterval', { interval: INTERVAL })
  await post('Profiler.start')
  return async () => {
    const { profile } = (await post('Profiler.stop')) as { profile: Profiler.Profile }
    session.disconnect()
    return timesOf(profile)
  }
}

function timesOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Times {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(
    nodes.flatMap(({ id, children }) => children?.map((child) => [child, id]) ?? []) as [
      number,
      number,
    ][],
  )
  const times = Object.fromEntries(OWNERS.map((owner) => [owner, 0])) as Times
  for (const [i, id] of samples.entries()) {
    if (byId.get(id)?.callFrame.functionName === '(idle)') continue
    times[ownerOf(id)] += timeDeltas[i] ?? 0
  }
  return times

  function ownerOf(id: number): Owner {
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { url = '' } = byId.get(at)?.callFrame ?? {}
      const place = PLACES.find(([, address]) => address.test(url))
      if (place) return place[0]
    }
    return 'node'
  }
}
