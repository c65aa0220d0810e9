/** What becomes of the SMS, told by the server where it has such a route and asked for where it has not. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { until, visit } from './visit.ts'

const EVENTS = /^\/sms\/[\w-]+\/events$/

/** `GET /sms/:id/events` by hand, in front of the plugin's own: the test says what it tells. */
function eventStream() {
  const streams: ServerResponse[] = []
  let opened = 0
  const prepare = (app: FastifyInstance) => {
    app.addHook('onRequest', async (request, reply) => {
      if (!EVENTS.test(request.url)) return
      opened++
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
      reply.raw.flushHeaders()
      streams.push(reply.raw)
      reply.raw.on('close', () => streams.splice(streams.indexOf(reply.raw), 1))
    })
  }
  const times = { expiresIn: 290, resendIn: 50, checksLeft: 5 }
  const tell = (status: object) => {
    for (const stream of streams) {
      stream.write(`event: status\ndata: ${JSON.stringify({ ...times, ...status })}\n\n`)
    }
  }
  return { prepare, tell, open: () => streams.length, opened: () => opened }
}

test('Events are shown as they come, and nothing is asked for meanwhile.', async (t) => {
  const events = eventStream()
  const { send, reads, page, requests } = await visit(t, { prepare: events.prepare })
  await send()
  await until('the stream', () => events.open() === 1)
  const delivery = () =>
    page.evaluate(() => document.querySelector('sms-verify')?.verification?.state.delivery)
  for (const status of ['sending', 'sent', 'delivered']) {
    events.tell({ status })
    await until(status, async () => (await delivery()) === status)
  }
  await reads('status', /has arrived/)
  // Over for the server and the page: it is not opened again.
  await until('the end of the stream', () => events.open() === 0)
  await sleep(4000)
  assert.equal(events.opened(), 1)
  assert.deepEqual(
    requests.filter((each) => each.startsWith('GET')),
    [requests.find((each) => each.endsWith('/events'))],
  )
})

const REASONS = {
  recipient: /cannot receive/,
  rate: /too many SMS/,
  blocked: /was blocked/,
  provider: /could not be sent\. /,
  late: /in time/,
}
for (const [reason, sentence] of Object.entries(REASONS)) {
  test(`A failure because of "${reason}" is told in words, and the code can still be entered.`, async (t) => {
    const events = eventStream()
    const { send, code, reads, page } = await visit(t, { prepare: events.prepare })
    await send()
    await until('the stream', () => events.open() === 1)
    events.tell({ status: 'failed', reason })
    await reads('problem', sentence)
    await page.getByLabel('Code from the SMS').fill(await code())
    await reads('status', /verified/)
  })
}

test('A resend is followed by events of its own.', async (t) => {
  const events = eventStream()
  const { prepare } = events
  const limits = { cooldown: false } as const
  const { send, reads, page } = await visit(t, { prepare, options: { limits } })
  await send()
  await until('the stream', () => events.open() === 1)
  events.tell({ status: 'failed', reason: 'late', resendIn: 0 })
  await reads('problem', /in time/)
  await page.getByRole('button', { name: 'Send again' }).click()
  await until('the second stream', () => events.opened() === 2)
  assert.equal(await page.locator('[part~=problem]').innerText(), '')
  events.tell({ status: 'delivered' })
  await reads('status', /has arrived/)
})

test('An expired event ends it.', async (t) => {
  const events = eventStream()
  const { send, reads } = await visit(t, { prepare: events.prepare })
  await send()
  await until('the stream', () => events.open() === 1)
  events.tell({ status: 'expired', expiresIn: 0, checksLeft: 0 })
  await reads('problem', /is over/)
})

test('What the provider says is on the page within a second, by the events of the plugin.', async (t) => {
  let refusedAt = 0
  const { send, reads, requests } = await visit(t, {
    answer: async () => {
      await sleep(500)
      refusedAt = Date.now()
      return { class: 'permanent_recipient', code: '21211' }
    },
  })
  await send()
  await reads('problem', /cannot receive/)
  const took = Date.now() - refusedAt
  assert.ok(took < 1000, `${took} ms`)
  assert.ok(requests.some((each) => each.endsWith('/events')))
})

test('Without such a route the status is asked for every 2 s, until it is known.', async (t) => {
  let answer: (outcome: { class: 'ok' }) => void = () => {}
  const { send, page, requests } = await visit(t, {
    // What a server answers that does not have it, or a proxy that does not let it through.
    prepare: (app) =>
      app.addHook('onRequest', async (request, reply) => {
        if (EVENTS.test(request.url)) return reply.code(404).send()
      }),
    answer: () =>
      new Promise((resolve) => {
        answer = resolve
      }),
  })
  await send()
  const asked = () => requests.filter((each) => /^GET \/sms\/[\w-]+$/.test(each)).length
  await until('three questions', () => asked() >= 3, 8000)
  const state = () =>
    page.evaluate(() => document.querySelector('sms-verify')?.verification?.state.delivery)
  assert.equal(await state(), 'sending')
  answer({ class: 'ok' })
  await until('sent', async () => (await state()) === 'sent')
})

test('Where a proxy holds the events back, the status is asked for until they are heard.', async (t) => {
  const events = eventStream()
  const { send, requests } = await visit(t, { prepare: events.prepare })
  await send()
  await until('the stream', () => events.open() === 1)
  const asked = () => requests.filter((each) => /^GET \/sms\/[\w-]+$/.test(each)).length
  await until('a question', () => asked() >= 1)
  events.tell({ status: 'sending' })
  await sleep(100)
  const before = asked()
  await sleep(2500)
  assert.equal(asked(), before)
})
