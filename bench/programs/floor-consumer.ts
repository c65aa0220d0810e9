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
    await channel.consume(`${queuePrefix}.floor`, async (message) => {
      if (!message) return
      JSON.parse(message.content.toString())
      if (vendor) await post(vendor)
      if (over) return
      channel.ack(message)
      counter.add(1)
    })
    const drained = await counter.reached
    over = true
    await connection.close()
    return drained
  },
})
