import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { createRedisStore } from '../src/store/redis.ts'
import {
  AMQP_URL,
  build,
  codeOf,
  consume,
  newPhone,
  newQueuePrefix,
  post,
  recordingProvider,
  SECRET,
  UNLIMITED,
  until,
} from './helper.ts'
import { freePorts } from './services/ports.ts'
import { type Service, startRedis } from './services.ts'
import { freePolicy, newRequest, testStore } from './store-contract.ts'

/** Of the cluster: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
const SLOTS = 16_384
const MASTERS = 3

const masters: Service[] = []
const clients: (Redis | Cluster)[] = []
let cluster: Cluster

/** Three masters that know each other and share the slots; a lost one takes only its own slots along. */
async function startCluster(): Promise<void> {
  const busPorts = await freePorts(MASTERS)
  for (const busPort of busPorts) {
    const args = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)]
    masters.push(await startRedis({ args: [...args, '--cluster-require-full-coverage', 'no'] }))
  }
  const [first] = masters as [Service]
  for (const [i, { url }] of masters.entries()) {
    const redis = new Redis(url, { retryStrategy: () => null })
    const [from, to] = [i, i + 1].map((each) => Math.ceil((each * SLOTS) / MASTERS)) as [
      number,
      number,
    ]
    await redis.cluster('ADDSLOTSRANGE', from, to - 1)
    await redis.call('CLUSTER', 'MEET', '127.0.0.1', first.port, busPorts[0] as number)
    const isWhole = async () => {
      const info = String(await redis.cluster('INFO'))
      return ['state:ok', 'known_nodes:3', 'size:3'].every((each) =>
        info.includes(`cluster_${each}`),
      )
    }
    if (i === MASTERS - 1) await until('the cluster is whole', isWhole)
    redis.disconnect()
  }
}

async function connect(): Promise<Cluster> {
  const nodes = masters.map(({ port }) => ({ host: '127.0.0.1', port }))
  const client = new Cluster(nodes, {
    redisOptions: { maxRetriesPerRequest: 0 },
    retryDelayOnFailover: 0,
  })
  client.on('error', () => {})
  clients.push(client)
  await once(client, 'ready')
  return client
}

before(async () => {
  await startCluster()
  cluster = await connect()
})

after(async () => {
  for (const client of clients) client.disconnect()
  await Promise.all(masters.map((master) => master.stop()))
})

async function now(): Promise<number> {
  const [node] = cluster.nodes('master') as [Redis]
  const [seconds, micros] = await node.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

async function advance(ms: number): Promise<void> {
  const until = (await now()) + ms
  for (let left = ms; left > 0; left = until - (await now())) await sleep(left)
}

testStore('cluster', async () => ({ store: createRedisStore(cluster), now, advance }))

test('cluster: Verifications are spread over all masters.', async () => {
  const store = createRedisStore(cluster)
  await Promise.all(Array.from({ length: 100 }, () => store.issue(newRequest(), freePolicy)))
  const sizes = await Promise.all(cluster.nodes('master').map((node) => node.dbsize()))
  assert.equal(sizes.length, MASTERS)
  assert.ok(Math.min(...sizes) > 30, `${sizes}`)
})

test('cluster: What an outer budget gave for sends that are refused comes back to the unit.', async (t) => {
  const app = await build(t, {
    redis: cluster,
    amqp: AMQP_URL,
    queuePrefix: newQueuePrefix(),
    secret: SECRET,
    countries: ['CN'],
    limits: { ...UNLIMITED, cooldown: [60], ip: [{ max: 40, window: 3600 }] },
  })
  const phones = Array.from({ length: 20 }, newPhone)
  const send = async (phone: string) => (await post(app, '/sms/send', { phone })).status
  // Of each number's many sends one goes through; 20 units are spent, and not one more.
  const answers = await Promise.all(
    phones.flatMap((phone) => Array.from({ length: 10 }, () => send(phone))),
  )
  assert.deepEqual([...new Set(answers)].toSorted(), [202, 429])
  for (const phone of phones) await send(phone)
  await sleep(200)
  const further = await Promise.all(Array.from({ length: 25 }, () => send(newPhone())))
  assert.equal(further.filter((status) => status === 202).length, 20)
})

test('cluster: A code goes all the way, and the loss of a master is 503 for its numbers alone.', async (t) => {
  const queuePrefix = newQueuePrefix()
  const provider = recordingProvider()
  await consume(t, { queuePrefix, provider, redis: cluster })
  const app = await build(t, {
    redis: await connect(),
    amqp: AMQP_URL,
    queuePrefix,
    secret: SECRET,
    countries: ['CN'],
    limits: UNLIMITED,
  })
  const send = () => post(app, '/sms/send', { phone: newPhone() })
  const { body } = await send()
  const code = await codeOf(provider, body.id)
  assert.equal((await post(app, '/sms/verify', { id: body.id, code })).status, 200)

  await masters[2]?.kill()
  const during = await Promise.all(Array.from({ length: 60 }, send))
  const statuses = during.map(({ status }) => status)
  assert.deepEqual([...new Set(statuses)].toSorted(), [202, 503])
  await masters[2]?.restart()
  await until('all numbers get codes again', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, send))
    return answers.every(({ status }) => status === 202)
  })
})
