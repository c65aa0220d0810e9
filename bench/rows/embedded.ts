/** The embedded mode: what our own rules cost, without Redis and RabbitMQ. */
import type { Request } from 'autocannon'
import { type Load, load, RIGHT, send, WRONG } from '../load.ts'
import { type Row, row } from '../row.ts'

/** Each connection sends, then checks a wrong code for what it was answered. */
const PAIR: Request[] = [
  {
    ...send,
    onResponse(_status, body, context) {
      Object.assign(context, JSON.parse(body) as { id: string })
    },
  },
  {
    path: '/sms/verify',
    setupRequest: (request, context) => ({
      ...request,
      body: JSON.stringify({ id: (context as { id?: string }).id, code: '000000' }),
    }),
  },
]

export const loadPairs = (url: string, seconds: number): Promise<Load> =>
  load(url, PAIR, { duration: seconds }, [202, WRONG], RIGHT)

export const embeddedRow: Row = row({
  name: 'embedded',
  table: 'targets',
  lines: {
    rate: {
      title: 'embedded mode, `POST /sms/send` and `POST /sms/verify` in turn',
      unit: 'requests/s',
      against: 'bare routes that answer JSON',
      target: { share: { least: 0.4 } },
    },
  },
  async prepare(world) {
    const ours = await world.start('embedded')
    const floor = await world.start('floor-json')
    const run = (url: string) => loadPairs(url, world.seconds)
    await run(ours.url)
    await run(floor.url)
    return async () => {
      const other = await run(floor.url)
      const { rate } = await run(ours.url)
      return { rate: { ours: rate, other: other.rate } }
    }
  },
})
