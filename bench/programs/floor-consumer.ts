/** What a consumer costs without ours: amqplib, a prefetch, and an acknowledgement after the call of the vendor, or after as long as one takes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { post } from './post.ts'
import { countTo, ready, settings } from './program.ts'

const { amqp, queuePrefix, vendor, latency, concurrency = 64 } = settings

ready('', {
  async drain({ jobs }) {
    const counter = countTo(jobs)
    const connection = await connect(amqp, { noDelay: true })
    const channel = await connection.createChannel()
    await channel.prefetch(concurrency)
    let over = false
    const { consumerTag } = await channel.consume(`${queuePrefix}.floor`, async (message) => {
      if (!message) return
      const { id } = JSON.parse(message.content.toString()) as { id: string }
      // The bare route's jobs have the number itself.
      if (vendor) await post(vendor, id.replace('+86', ''))
      if (latency) await sleep(latency)
      if (over) return
      channel.ack(message)
      counter.add(1)
    })
    const drained = await counter.reached
    over = true
    // Else the last acknowledgements may be lost, and come again.
    await channel.cancel(consumerTag)
    await connection.close()
    return drained
  },
})
