/** An app that tells whether a request has reached Redis or RabbitMQ. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import fastifyRedis from '@fastify/redis'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Redis } from 'ioredis'
import { smsVerify } from '../src/plugin.ts'
import { progress } from '../src/store/budget-scripts.ts'
import { openBroker } from './broker.ts'
import { connected, newPhone, newQueuePrefix, REDIS_URL } from './helper.ts'

/**
 * An app on Redis and RabbitMQ that counts what is asked of Redis, and counts at the end what stands in the queues. Each
 * valid send would be refused: so a body that slips through is seen in the count and in the status.
 */
export async function countingApp(
  t: TestContext,
  server: FastifyServerOptions = {},
  routeOptions: object = {},
) {
  const queuePrefix = newQueuePrefix()
  const broker = await openBroker(t)
  const client = new Redis(REDIS_URL)
  const app = Fastify(server)
  t.after(async () => {
    await app.close()
    await client.quit()
  })
  let count = 0
  // Once a second the app looks by itself at how far the consumers are.
  const ofNoRequest = new Set<unknown>([progress.sha, progress.lua])
  for (const command of ['eval', 'evalsha'] as const) {
    const run = client[command].bind(client) as (...args: unknown[]) => Promise<unknown>
    Object.assign(client, {
      [command]: (...args: unknown[]) => {
        if (!ofNoRequest.has(args[0])) count++
        return run(...args)
      },
    })
  }
  await app.register(fastifyRedis, { client })
  const { redis: _, ...options } = connected({
    queuePrefix,
    purposes: ['login'],
    routeOptions,
  })
  await app.register(smsVerify, options)
  await app.ready()

  // The counter counts: else none of its zeros would mean anything.
  const sent = await app.inject({
    method: 'POST',
    url: '/sms/send',
    payload: { phone: newPhone() },
  })
  assert.equal(sent.statusCode, 202)
  assert.ok(count > 0)
  await broker.drain(`${queuePrefix}.send`)
  count = 0
  return {
    app,
    operations: () => count,
    ended: () => broker.depth(`${queuePrefix}.send`),
  }
}

/** A POST of a body of any form. */
export const postText = (app: FastifyInstance, url: string, payload: string, type: string) =>
  app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } })
