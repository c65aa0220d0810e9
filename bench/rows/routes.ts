/** The routes on Redis and RabbitMQ, against a bare route that does only what the parts cost. */
import { costFigures, costLines, withCost } from '../cpu.ts'
import { loadChecks, sendMany, sendToCheck } from '../load.ts'
import type { Program } from '../programs/program.ts'
import { emptyQueues } from '../queue.ts'
import { createSideBySide, inTurn, type Row, row, warmed } from '../row.ts'
import type { Running, World } from '../world.ts'

const BARE_SEND = 'bare route: one Lua script, one confirmed persistent publish to a quorum queue'
const BARE_CHECK = 'bare route: one Lua script'

export const sendRow: Row = row({
  name: 'send',
  lines: {
    rate: {
      title: '`POST /sms/send`, all protections on, distinct numbers, 50 connections',
      unit: 'requests/s',
      against: BARE_SEND,
      target: { share: { least: 0.6 } },
    },
    p99: {
      title: '`POST /sms/send`, the slowest 1 %',
      unit: 'ms',
      against: 'the same',
      target: { share: { most: 2 } },
    },
    parts: {
      table: 'parts',
      title:
        '`send`: a number parsed, two seals made, four MACs, six commands in the script and eight for all that go together',
      unit: 'requests/s',
      against: BARE_SEND,
    },
    ...costLines('send', 'web process', 'bare route'),
  },
  times: 3,
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const { ours, parts, bare } = await startAll(world, queuePrefix)
    const load = (program: Running) =>
      withCost(world, { program }, () => sendMany(program.url, world.sends))
    const sideBySide = createSideBySide()
    const round = async () => {
      const done = await sideBySide({ bare, parts, ours }, load)
      // Nobody consumes, and where nobody does sends are refused after a while.
      await emptyQueues(world.rabbitmq.url, `${queuePrefix}.send`, `${queuePrefix}.floor`)
      return {
        rate: { ours: done.ours.rate, other: done.bare.rate },
        p99: { ours: done.ours.p99, other: done.bare.p99 },
        parts: { ours: done.parts.rate, other: done.bare.rate },
        ...costFigures(done.ours.cost, done.bare.cost),
      }
    }
    return warmed(round, world.rounds)
  },
})

/** Of each program. */
const PROCESSES = 4

const checkCosts = costLines('check', 'web process', 'bare route')

export const verifyRow: Row = row({
  name: 'verify',
  lines: {
    rate: {
      title: '`POST /sms/verify`, wrong codes, 50 connections',
      unit: 'requests/s',
      against: BARE_CHECK,
      target: { share: { least: 0.75 } },
    },
    parts: {
      table: 'parts',
      title:
        '`verify`: three hashes and MACs, four commands in the script and two for all that go together',
      unit: 'requests/s',
      against: BARE_CHECK,
    },
    // RabbitMQ has nothing to do with it.
    program: checkCosts.program,
    redis: checkCosts.redis,
  },
  times: 5,
  async prepare(world) {
    const load = (program: Running, ids: string[]) =>
      withCost(world, { program }, () => loadChecks(program.url, ids))
    // By another process, so that ours does nothing that the others do not.
    const queuePrefix = world.newPrefix()
    const sender = await world.start('web', { queuePrefix })
    const start = async () => {
      const { ours, parts, bare } = await startAll(world, world.newPrefix())
      const sideBySide = createSideBySide()
      return async () => {
        const { ids } = await sendToCheck(sender.url, world.checks)
        const done = await sideBySide({ bare, parts, ours }, (program) => load(program, ids))
        await emptyQueues(world.rabbitmq.url, `${queuePrefix}.send`)
        const { program, redis } = costFigures(done.ours.cost, done.bare.cost)
        return {
          rate: { ours: done.ours.rate, other: done.bare.rate },
          parts: { ours: done.parts.rate, other: done.bare.rate },
          program,
          redis,
        }
      }
    }
    return warmed(await inTurn(PROCESSES, start), world.rounds)
  },
})

async function startAll(world: World, queuePrefix: string) {
  const start = (program: Program) => world.start(program, { queuePrefix })
  return {
    ours: await start('web'),
    parts: await start('parts-web'),
    bare: await start('floor-web'),
  }
}
