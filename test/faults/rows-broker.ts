/** Rows in which RabbitMQ suffers, or the way to it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { hasRecovered, memoryAlarm } from './alarm.ts'
import { cutOne, deleteQueues, dropConfirms, every, killBroker, killOne } from './nemesis.ts'
import { poison, poisonIsDead } from './poison.ts'
import type { Row } from './row.ts'

export const BROKER_ROWS: Row[] = [
  {
    name: 'broker-sigkill',
    title: 'broker SIGKILL ×5',
    sends: 3000,
    rounds: 3,
    broker: 'own',
    load: { rate: 60 },
    async plan(scene) {
      for (let i = 0; i < (scene.small ? 1 : 5); i++) {
        await sleep(scene.chance.between(500, 4000))
        await killBroker(scene)
      }
    },
  },
  {
    name: 'broker-restart',
    title: 'broker graceful restart ×2',
    sends: 3000,
    broker: 'own',
    load: { rate: 100 },
    async plan({ world, nodes, chance }) {
      for (let i = 0; i < 2; i++) {
        await sleep(chance.between(1000, 3000))
        await world.fault('RabbitMQ restarts', () => nodes[0]?.restart())
      }
    },
  },
  {
    name: 'both',
    title: '12 consumer SIGKILLs + 1 broker SIGKILL, a third refused twice',
    sends: 300,
    broker: 'own',
    mayRepeat: true,
    load: { rate: 20 },
    async plan(scene) {
      const { world, chance } = scene
      world.vendor.treat = ({ phone, nth }) => ({
        accept: Number(phone) % 3 !== 0 || nth >= 2,
        after: 30,
      })
      for (let i = 0; i < 12; i++) {
        await sleep(chance.between(400, 1200))
        await killOne(scene, world.consumers)
        if (i === 5) await killBroker(scene)
      }
    },
  },
  {
    name: 'ttl-hop',
    title: 'broker SIGKILL in the TTL hop (all refused once)',
    sends: 3000,
    rounds: 3,
    broker: 'own',
    load: { rate: 300 },
    async plan(scene) {
      scene.world.vendor.treat = ({ nth }) => ({ accept: nth > 0, after: 10 })
      // The first jobs come out of the 3 s queue, the last are on their way into it.
      await sleep(scene.chance.between(4000, 8000))
      await killBroker(scene)
    },
  },
  {
    name: 'cluster',
    title: 'cluster of three, SIGKILL of one node after the other',
    sends: 3000,
    broker: 'cluster',
    load: { rate: 60 },
    async plan({ world, nodes, chance }) {
      for (const node of nodes) {
        await sleep(chance.between(1000, 4000))
        await world.fault(`SIGKILL of ${node.url}`, async () => {
          await node.kill()
          await sleep(2000)
          await node.restart()
        })
      }
    },
  },
  {
    name: 'memory-alarm',
    title: 'memory alarm 30 s',
    sends: 5000,
    broker: 'own',
    // Still going on when the alarm is over, to see how soon a new send gets through.
    load: { rate: 110, pause: 8000 },
    plan: memoryAlarm,
    check: hasRecovered,
  },
  {
    name: 'tcp-cut-server',
    title: 'TCP cut every 2 s, API side',
    sends: 3000,
    small: 300,
    setting: { proxied: true },
    load: { rate: 100 },
    plan: (scene) => every(scene, 2000, () => cutOne(scene, scene.world.servers)),
  },
  {
    name: 'tcp-cut-consumer',
    title: 'TCP cut every 2 s, consumer side',
    sends: 3000,
    mayRepeat: true,
    setting: { proxied: true },
    load: { rate: 100 },
    plan: (scene) => every(scene, 2000, () => cutOne(scene, scene.world.consumers)),
  },
  {
    name: 'confirms-dropped',
    title: 'confirms dropped then cut ×5',
    sends: 1000,
    small: 200,
    setting: { proxied: true },
    load: { rate: 80 },
    async plan(scene) {
      for (let i = 0; i < (scene.small ? 1 : 5); i++) {
        await sleep(scene.chance.between(200, 1000))
        // Sometimes shorter than the 2 s that the publisher waits, sometimes longer.
        await dropConfirms(scene, scene.chance.between(500, 3000))
      }
    },
  },
  {
    name: 'black-hole',
    title: 'black-hole 60 s around one of two APIs and one of two consumers',
    sends: 1000,
    mayRepeat: true,
    setting: { proxied: true, servers: 2 },
    load: { rate: 15 },
    async plan({ world }) {
      const victims = [world.servers[0], world.consumers[0]]
      const freeze = (frozen: boolean) => {
        for (const victim of victims) {
          victim?.links?.redis.freeze(frozen)
          victim?.links?.amqp.freeze(frozen)
        }
      }
      await sleep(2000)
      await world.fault('black-hole', async () => {
        freeze(true)
        await sleep(60_000)
        freeze(false)
      })
    },
    check({ slowest }, { complain }) {
      if (slowest > 20_000) complain(`an SMS took ${slowest} ms`)
    },
  },
  {
    name: 'queue-deleted',
    title: 'queues deleted and re-declared ×3',
    sends: 500,
    broker: 'own',
    load: { rate: 40 },
    async plan(scene) {
      for (let i = 0; i < 3; i++) {
        await sleep(scene.chance.between(1000, 3000))
        await deleteQueues(scene)
      }
    },
  },
  {
    name: 'poison',
    title: 'poison 50 %',
    sends: 1000,
    small: 200,
    plan: poison,
    check: (_, scene) => poisonIsDead(scene),
  },
]
