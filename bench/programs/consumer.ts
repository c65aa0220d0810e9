/** Our consumer: its provider asks the vendor there is, or takes some time, or does nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startConsumer } from '../../src/consumer.ts'
import { ronglianProvider, type SmsProvider } from '../../src/providers/index.ts'
import { SECRET } from './options.ts'
import { countTo, ready, settings } from './program.ts'

const { redis, amqp, vendor, latency, concurrency = 64 } = settings

/** Milliseconds between two looks at how many are done: each wakes the process. */
const INTERVAL = 5

function provider(): SmsProvider {
  if (vendor) {
    return ronglianProvider({
      ...{ accountSid: 'account', authToken: 'token', appId: 'app', templateId: '1' },
      baseUrl: vendor,
    })
  }
  return {
    name: 'nobody',
    async send() {
      if (latency) await sleep(latency)
      return { class: 'ok' }
    },
  }
}

const start = (queuePrefix: string) =>
  startConsumer({
    ...{ redis, amqp, queuePrefix, concurrency, secret: SECRET, brand: 'Bench' },
    provider: provider(),
  })

ready('', {
  async drain({ jobs, queuePrefix }) {
    const counter = countTo(jobs)
    const consumer = await start(queuePrefix)
    let seen = 0
    const timer = setInterval(() => {
      const { sent } = consumer.counts()
      counter.add(sent - seen)
      seen = sent
    }, INTERVAL)
    const drained = await counter.reached
    clearInterval(timer)
    await consumer.close()
    return drained
  },
})
