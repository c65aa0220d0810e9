/** The routes on Redis and RabbitMQ, against a bare route that does only what the parts cost. */
import { loadChecks, loadSends, sendMany } from '../load.ts'
import { type Row, row } from '../row.ts'
import type { World } from '../world.ts'

/** More checks than this nobody makes in a second, four for each id. */
const CHECKS_PER_SECOND = 30_000

export const sendRow: Row = row({
  name: 'send',
  table: 'targets',
  lines: {
    rate: {
      title: '`POST /sms/send`, all protections on, distinct numbers, 50 connections',
      unit: 'requests/s',
      against: 'bare route: one Lua script, one confirmed persistent publish to a quorum queue',
      target: { share: { least: 0.6 } },
    },
    p99: {
      title: '`POST /sms/send`, the slowest 1 %',
      unit: 'ms',
      against: 'the same',
      target: { share: { most: 2 } },
    },
  },
  async prepare(world) {
    const { ours, floor } = await startBoth(world)
    await loadSends(ours.url, world.seconds)
    await loadSends(floor.url, world.seconds)
    return async () => {
      const other = await loadSends(floor.url, world.seconds)
      const load = await loadSends(ours.url, world.seconds)
      return {
        rate: { ours: load.rate, other: other.rate },
        p99: { ours: load.p99, other: other.p99 },
      }
    }
  },
})

export const verifyRow: Row = row({
  name: 'verify',
  table: 'targets',
  lines: {
    rate: {
      title: '`POST /sms/verify`, wrong codes, 50 connections',
      unit: 'requests/s',
      against: 'bare route: one Lua script',
      target: { share: { least: 0.75 } },
    },
  },
  async prepare(world) {
    const { ours, floor } = await startBoth(world)
    const ids = () => sendMany(ours.url, Math.ceil((CHECKS_PER_SECOND / 4) * world.seconds))
    await loadChecks(floor.url, await ids(), world.seconds)
    return async () => {
      const used = await ids()
      const other = await loadChecks(floor.url, used, world.seconds)
      const load = await loadChecks(ours.url, used, world.seconds)
      return { rate: { ours: load.rate, other: other.rate } }
    }
  },
})

async function startBoth(world: World) {
  const queuePrefix = world.newPrefix()
  return {
    ours: await world.start('web', { queuePrefix }),
    floor: await world.start('floor-web', { queuePrefix }),
  }
}
