/** What a second web process and a second consumer bring, on the cores that there are. */
import { loadSends } from '../load.ts'
import { createSideBySide, type Line, type Row, row, SHORT_WARM_UP } from '../row.ts'
import { rate } from './consumer.ts'

const line = (about: Line): Line => ({ table: 'processes', ...about })

export const processesRow: Row = row({
  name: 'processes',
  times: 2,
  lines: {
    web1: line({ title: '1 web process', unit: 'sends/s' }),
    web2: line({ title: '2 web processes', unit: 'sends/s', against: '1 web process' }),
    consumer1: line({ title: '1 consumer, no-op provider', unit: 'messages/s' }),
    consumer2: line({
      ...{ title: '2 consumers, no-op provider', unit: 'messages/s', against: '1 consumer' },
    }),
  },
  async prepare(world) {
    const queuePrefix = world.newPrefix()
    const webs = [
      await world.start('web', { queuePrefix }),
      await world.start('web', { queuePrefix }),
    ]
    const consumers = [
      await world.start('consumer', { queuePrefix }),
      await world.start('consumer', { queuePrefix }),
    ]
    const run = async (count: number) => {
      const used = webs.slice(0, count)
      const loads = await Promise.all(used.map(({ url }) => loadSends(url, world.seconds)))
      const sent = loads.reduce((sum, { count }) => sum + count, 0)
      // Not all: one of two may take more than its part.
      const each = Math.floor((0.9 * sent) / count)
      const drained = await Promise.all(
        consumers.slice(0, count).map((consumer) => consumer.ask('drain', { jobs: each })),
      )
      const jobs = drained.reduce((sum, { jobs }) => sum + jobs, 0)
      const from = Math.min(...drained.map(({ from }) => from))
      const to = Math.max(...drained.map(({ to }) => to))
      return {
        sends: loads.reduce((sum, { rate }) => sum + rate, 0),
        messages: rate({ jobs, from, to }),
      }
    }
    for (let i = 0; i < SHORT_WARM_UP; i++) await run(2)
    const sideBySide = createSideBySide()
    return async () => {
      const { one, two } = await sideBySide({ one: 1, two: 2 }, run)
      return {
        web1: { ours: one.sends },
        web2: { ours: two.sends, other: one.sends },
        consumer1: { ours: one.messages },
        consumer2: { ours: two.messages, other: one.messages },
      }
    }
  },
})
