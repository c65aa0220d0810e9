/** What a start costs: of the import, and of the plugin until it is ready, connections included. */
import Fastify from 'fastify'
import { machineTime } from '../clock.ts'
import { ready, settings } from './program.ts'

ready('', {
  async start() {
    const { redis, amqp, queuePrefix } = settings
    // There before us: it loads its own compilers of schemas.
    const app = Fastify()
    const begun = machineTime()
    const { smsVerify } = await import('../../src/plugin.ts')
    const imported = machineTime()
    const { OPTIONS } = await import('./options.ts')
    const registered = machineTime()
    await app.register(smsVerify, { ...OPTIONS, redis, amqp, queuePrefix })
    await app.ready()
    return { imported: imported - begun, ready: machineTime() - registered }
  },
})
