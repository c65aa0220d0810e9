/** What a start costs without ours: the import of the libraries that the plugin has, and an app with the two connections. */
import Fastify from 'fastify'
import { machineTime } from '../clock.ts'
import { ready, settings } from './program.ts'

ready('', {
  async start() {
    const { redis: url, amqp, queuePrefix } = settings
    const app = Fastify()
    const begun = machineTime()
    const { Redis } = await import('ioredis')
    const { connect } = await import('amqplib')
    await import('@fastify/redis')
    await import('@fastify/error')
    await import('fastify-plugin')
    await import('ipaddr.js')
    await import('libphonenumber-js/max')
    await import('@sinclair/typebox')
    await import('@sinclair/typebox/compiler')
    const imported = machineTime()
    const redis = new Redis(url, { lazyConnect: true })
    const connecting = connect(amqp, { noDelay: true })
    await redis.connect()
    const channel = await (await connecting).createConfirmChannel()
    const queue = `${queuePrefix}.floor`
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await app.ready()
    return { imported: imported - begun, ready: machineTime() - imported }
  },
})
