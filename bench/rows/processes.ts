/** What a second web process and a second consumer bring, on the cores that there are. */
import { sendMany } from '../load.ts'
import { emptyQueues, fill } from '../queue.ts'
import { createSideBySide, type Line, type Row, row, SHORT_WARM_UP } from '../row.ts'
import { rate } from './consumer.ts'

const total = (rates: number[]) => rates.reduce((sum, rate) => sum + rate, 0)

const line = (about: Line): Line => ({ table: 'processes', ...about })

export const processesRow: Row = row({
  name: 'processes',
  lines: {
    web1: line({ title: '1 web process', unit: 'sends/s' }),
    web2: line({ title: '2 web processes', unit: 'sends/s', against: '1 web process' }),
    consumer1: line({ title: '1 consumer, no-op provider', unit: 'messages/s' }),
    consumer2: line({
      ...{ title: '2 consumers, no-op provider', unit: 'messages/s', against: '1 consumer' },
    }),
  },
  async prepare(world) {
    const jobs = world.jobs / 2
    const queuePrefix = world.newPrefix()
    const web = await world.start('web', { queuePrefix })
    const webs = [web, await world.start('web', { queuePrefix })]
    const consumers = [
      await world.start('consumer', { queuePrefix }),
      await world.start('consumer', { queuePrefix }),
    ]
    const run = async (count: number) => {
      const used = webs.slice(0, count)
      const loads = await Promise.all(used.map(({ url }) => sendMany(url, world.sends)))
      // More than are asked for: one of two may take more than its part.
      await fill(web, count * jobs)
      const drained = await Promise.all(
        consumers.slice(0, count).map((consumer) => consumer.ask('drain', { jobs })),
      )
      await emptyQueues(world.rabbitmq.url, `${queuePrefix}.send`)
      return { sends: total(loads.map(({ rate }) => rate)), messages: total(drained.map(rate)) }
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
