/** RabbitMQ for the rows: one that is shared by those that do it no harm, one of its own, or a cluster. */
import { randomBytes } from 'node:crypto'
import { type RabbitMQ, rabbitMQVersion, startEpmd, startRabbitMQ } from '../services/rabbitmq.ts'
import type { Row } from './row.ts'

export interface Brokers {
  /** What the row runs on; call `done` after it. */
  forRow(
    row: Pick<Row, 'broker'>,
  ): Promise<{ rabbitmq: { url: string }[]; nodes: RabbitMQ[]; done(): Promise<void> }>
  version(): string
  stop(): Promise<void>
}

export function createBrokers(): Brokers {
  let shared: Promise<RabbitMQ> | undefined
  let version = 'of unknown version'

  async function found(url: string) {
    version = await rabbitMQVersion(url)
    return { rabbitmq: [{ url }], nodes: [], done: async () => {} }
  }

  return {
    version: () => version,
    async forRow({ broker = 'shared' }) {
      if (broker === 'shared' && process.env.AMQP_URL) return found(process.env.AMQP_URL)
      if (broker === 'cluster') {
        const { nodes, stop } = await startCluster(['one', 'two', 'three'])
        version = nodes[0]?.version ?? version
        return { rabbitmq: nodes, nodes, done: stop }
      }
      if (broker === 'shared') shared ??= startRabbitMQ()
      const node = await (broker === 'shared' ? (shared as Promise<RabbitMQ>) : startRabbitMQ())
      version = node.version
      const done = async () => {
        if (broker === 'own') await node.stop()
      }
      return { rabbitmq: [node], nodes: [node], done }
    },
    async stop() {
      await (await shared)?.stop()
    },
  }
}

/** One after the other: each finds those before it. */
async function startCluster(
  names: string[],
): Promise<{ nodes: RabbitMQ[]; stop(): Promise<void> }> {
  const epmd = await startEpmd()
  const cookie = randomBytes(10).toString('hex')
  const nodes: RabbitMQ[] = []
  const stop = async () => {
    for (const node of nodes) await node.stop()
    await epmd.stop()
  }
  try {
    for (const [i, name] of names.entries()) {
      // Not those to come: RabbitMQ 4 would wait for them.
      const known = names.slice(0, i + 1)
      const cluster = { name, names: known, epmd: epmd.port, cookie }
      nodes.push(await startRabbitMQ({ cluster }))
    }
    return { nodes, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
