/** What a consumer costs without ours: amqplib, a prefetch of 64, and an acknowledgement after the call of the vendor. */
import { connect } from 'amqplib'
import { post } from './post.ts'
import { countTo, ready, settings } from './program.ts'

const { amqp, queuePrefix, vendor } = settings

ready('', {
  async drain(jobs) {
    const counter = countTo(jobs)
    const connection = await connect(amqp, { noDelay: true })
    const channel = await connection.createChannel()
    await channel.prefetch(64)
    let over = false
    const { consumerTag } = await channel.consume(`${queuePrefix}.floor`, async (message) => {
      if (!message) return
      const { id } = JSON.parse(message.content.toString()) as { id: string }
      // The bare route's jobs have the number itself.
      if (vendor) await post(vendor, id.replace('+86', ''))
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
