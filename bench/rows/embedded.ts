/** The embedded mode: what our own rules cost, without Redis and RabbitMQ. */
import type { Request } from 'autocannon'
import { type Load, load, RIGHT, send, WRONG } from '../load.ts'
import { createSideBySide, inTurn, type Row, row, warmed } from '../row.ts'
import type { Running } from '../world.ts'

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

export const loadPairs = (url: string, sends: number): Promise<Load> =>
  load(url, PAIR, sends * PAIR.length, [202, WRONG], RIGHT)

/** Of each program. */
const PROCESSES = 2

export const embeddedRow: Row = row({
  name: 'embedded',
  lines: {
    rate: {
      title: 'embedded mode, `POST /sms/send` and `POST /sms/verify` in turn',
      unit: 'requests/s',
      against: 'bare routes that answer JSON',
      target: { share: { least: 0.4 } },
    },
    parts: {
      table: 'parts',
      title:
        '`embedded`: a number parsed, two seals made and one opened, seven hashes and MACs for two requests',
      unit: 'requests/s',
      against: 'bare routes that answer JSON',
    },
  },
  times: PROCESSES,
  async prepare(world) {
    const rateOf = async ({ url }: Running) => (await loadPairs(url, world.sends)).rate
    const start = async () => {
      const ours = await world.start('embedded')
      const parts = await world.start('parts-web', { redis: '' })
      const bare = await world.start('floor-json')
      const sideBySide = createSideBySide()
      return async () => {
        const rates = await sideBySide({ bare, parts, ours }, rateOf)
        return {
          rate: { ours: rates.ours, other: rates.bare },
          parts: { ours: rates.parts, other: rates.bare },
        }
      }
    }
    return warmed(await inTurn(PROCESSES, start), world.rounds)
  },
})
