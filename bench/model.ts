/** What many sends a second would take, worked out from what one costs: the table of docs/scaling.md. */
import type { Result } from './row.ts'

const SENDS = 10_000

/** How busy a core may be on average, so that a burst does not queue up. */
const LOAD = 0.5

/** Each person sends once, enters one code, and gets one SMS. */
const PARTS = [
  {
    part: 'web processes, one core each',
    costs: ['one send: web process', 'one check: web process'],
  },
  {
    part: 'Redis, shards of one core each',
    costs: ['one send: Redis', 'one check: Redis', 'one SMS: Redis'],
  },
  { part: 'RabbitMQ, cores over all nodes', costs: ['one send: RabbitMQ', 'one SMS: RabbitMQ'] },
  { part: 'consumers, one core each', costs: ['one SMS: consumer, no-op provider'] },
]

/** '' where not all of the costs were measured. */
export function modelOf(results: Result[]): string {
  const costs = new Map(results.map(({ line, ours }) => [line.title, ours]))
  if (!PARTS.every(({ costs: names }) => names.every((name) => costs.has(name)))) return ''
  const lines = PARTS.map(({ part, costs: names }) => {
    const cost = names.reduce((sum, name) => sum + (costs.get(name) ?? Number.NaN), 0)
    const busy = (cost * SENDS) / 1e6
    return { part, cost, busy, needed: Math.ceil(busy / LOAD) }
  })
  const shown = (figure: number, digits: number) =>
    Number.isNaN(figure) ? '–' : figure.toFixed(digits)
  return [
    `| For ${SENDS.toLocaleString('en')} sends/s | µs of CPU for one person | cores busy | needed at ${LOAD * 100} % load |`,
    '| --- | --- | --- | --- |',
    ...lines.map(
      ({ part, cost, busy, needed }) =>
        `| ${part} | ${shown(cost, 0)} | ${shown(busy, 1)} | ${shown(needed, 0)} |`,
    ),
  ].join('\n')
}
