/** What a start takes, in a new process each time. */
import type { Program } from '../programs/program.ts'
import { createSideBySide, type Row, row } from '../row.ts'

export const startRow: Row = row({
  name: 'start',
  lines: {
    imported: {
      title: '`import()` of the plugin',
      unit: 'ms',
      against: 'of the libraries that it has, alone',
      target: { value: { most: 250 } },
    },
    ready: {
      title: 'plugin from `register` until ready, connections and queues included',
      unit: 'ms',
      against: 'an app without routes, two connections and one queue',
      target: { value: { most: 150 } },
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const start = async (name: Program) => {
      const program = await world.start(name, { queuePrefix })
      const times = await program.ask('start')
      await program.stop()
      return times
    }
    const sideBySide = createSideBySide()
    return async () => {
      const { bare, ours } = await sideBySide({ bare: 'floor-start', ours: 'start' }, start)
      return {
        imported: { ours: ours.imported, other: bare.imported },
        ready: { ours: ours.ready, other: bare.ready },
      }
    }
  },
})
