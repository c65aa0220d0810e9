/** What a start takes, in a new process each time. */
import { type Row, row } from '../row.ts'

export const startRow: Row = row({
  name: 'start',
  table: 'targets',
  lines: {
    imported: { title: '`import()` of the plugin', unit: 'ms', target: { value: { most: 250 } } },
    ready: {
      title: 'plugin from `register` until ready, connections and queues included',
      unit: 'ms',
      target: { value: { most: 150 } },
    },
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    return async () => {
      const program = await world.start('start', { queuePrefix })
      const { imported, ready } = await program.ask('start')
      await program.stop()
      return { imported: { ours: imported }, ready: { ours: ready } }
    }
  },
})
