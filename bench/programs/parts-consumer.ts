/** The parts of a consumer: a script before and one after the call of the vendor, a seal opened, a line of the log. */
import { connect } from 'amqplib'
import { pino } from 'pino'
import { stdoutLines } from '../../src/log.ts'
import { pooledFetch } from '../../src/providers/pool.ts'
import { acknowledger } from '../../src/queue/acknowledger.ts'
import { gatherWrites } from '../../src/queue/gather-writes.ts'
import { asker, CLAIM, COMPLETE, open, SEALED, socketOf } from './parts.ts'
import { requestFor } from './post.ts'
import { countTo, ready, settings } from './program.ts'

const { redis, amqp, queuePrefix, vendor } = settings
const ask = await asker(redis)
const logger = pino({}, stdoutLines())

/** To be used again, as ours are: one takes as long to make as a message to open. */
const signals: AbortSignal[] = []

async function send(id: string, to: string): Promise<void> {
  const { sealedCode, sealedPhone } = SEALED
  await ask(CLAIM, { id, holder: 'holder', sealedCode })
  const { phone } = open(SEALED)
  if (vendor) {
    const signal = signals.pop() ?? new AbortController().signal
    const { body } = await pooledFetch(vendor, { signal, redirect: 'error', ...requestFor(to) })
    for await (const _ of body ?? []);
    signals.push(signal)
  }
  await ask(COMPLETE, { id, sealedPhone })
  logger.info({ event: 'sms.sent', id, phone }, 'the provider took the SMS')
}

ready('', {
  async drain({ jobs }) {
    const counter = countTo(jobs)
    const connection = await connect(amqp, { noDelay: true })
    gatherWrites(socketOf(connection))
    const channel = await connection.createChannel()
    await channel.prefetch(64)
    let over = false
    const acknowledgements = acknowledger(channel, () => over)
    let count = 0
    const { consumerTag } = await channel.consume(`${queuePrefix}.floor`, async (message) => {
      if (!message) return
      const { deliveryTag } = message.fields
      acknowledgements.taken(deliveryTag)
      const { id } = JSON.parse(message.content.toString()) as { id: string }
      await send(String(count++), id.replace('+86', ''))
      await acknowledgements.settled(deliveryTag)
      counter.add(1)
    })
    const drained = await counter.reached
    // Else the last acknowledgements may be lost, and come again.
    await channel.cancel(consumerTag)
    over = true
    await connection.close()
    return drained
  },
})
