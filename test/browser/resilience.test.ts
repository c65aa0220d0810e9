/** Reloads, wrong clocks, sleep, and connections that come and go. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import { UNLIMITED } from '../unlimited.ts'
import { PHONE, PROVIDERS, secondsIn, until, visit, wrong } from './visit.ts'

const stored = (page: Page): Promise<string[]> => page.evaluate(() => Object.values(sessionStorage))

/** Lets the server do what it is asked, and loses its first answer to a send. */
function loseFirstAnswer(app: FastifyInstance, lost: () => void | Promise<void>): void {
  let isLost = false
  app.addHook('onSend', async (request) => {
    if (isLost || request.url !== '/sms/send') return
    isLost = true
    await lost()
    request.raw.socket.destroy()
  })
}

test('A reload in the middle: number, countdowns and checks left are the server’s again.', async (t) => {
  const { page, send, code, reads, text } = await visit(t, { answer: PROVIDERS.silent })
  await send()
  const right = await code()
  const field = page.getByLabel('Code from the SMS')
  await field.fill(wrong(right))
  await reads('problem', /Tries left/)
  await reads('expires', /4:57/)
  const [expires, resend] = [await text('expires'), await text('resend')].map(secondsIn)
  await page.reload()
  await reads('expires', /\d:\d\d/)
  assert.ok(Math.abs(secondsIn(await text('expires')) - Number(expires)) <= 2)
  assert.ok(Math.abs(secondsIn(await text('resend')) - Number(resend)) <= 2)
  assert.match(await text('status'), /\+86 138 0013 8000/)
  const left = await page.evaluate(() => document.querySelector('sms-verify')?.verification?.state)
  assert.deepEqual([left?.status, left?.checksLeft], ['waiting', 4])
  // Nobody has pressed anything in this page.
  assert.equal(
    await page.evaluate(() => document.activeElement),
    await page.evaluate(() => document.body),
  )
  await field.fill(right)
  await reads('status', /verified/)
  assert.deepEqual(await stored(page), [])
})

test('The tab stores the verification, its number and length, and nothing else.', async (t) => {
  const { page, send, code, messages, reads } = await visit(t)
  await send()
  const right = await code()
  await page.getByLabel('Code from the SMS').fill(wrong(right))
  await reads('problem', /Tries left/)
  const [text = '', ...others] = await stored(page)
  assert.deepEqual(others, [])
  assert.deepEqual(JSON.parse(text), { id: messages[0]?.id, phone: PHONE, codeLength: 6 })
  await page.getByRole('button', { name: 'Use another number' }).click()
  assert.deepEqual(await stored(page), [])
})

test('A reload in the middle of a send repeats it with its key: one SMS, and the same verification.', async (t) => {
  let release = () => {}
  const { page, send, messages, requests, reads, code } = await visit(t, {
    prepare: (app) =>
      loseFirstAnswer(
        app,
        () =>
          new Promise((resolve) => {
            release = resolve
          }),
      ),
  })
  await send()
  await until('the SMS', () => messages.length === 1)
  await reads('send', /Sending/)
  await page.reload()
  release()
  await reads('status', /on its way/)
  assert.deepEqual(
    requests.filter((each) => each.startsWith('POST')),
    Array(2).fill('POST /sms/send'),
  )
  await page.getByLabel('Code from the SMS').fill(await code())
  await reads('status', /verified/)
  assert.equal(messages.length, 1)
})

test('Offline for 3 s in the middle of a send: one SMS, and it goes on by itself.', async (t) => {
  let isCut = false
  const tries: number[] = []
  const { page, send, messages, reads, text, code } = await visit(t, {
    prepare: (app) => {
      // At the server, too: Chromium repeats some requests by itself, past its own offline mode.
      app.addHook('onRequest', async ({ raw, url }) => {
        if (url === '/sms/send') tries.push(performance.now())
        if (isCut) raw.socket.destroy()
      })
      loseFirstAnswer(app, () => {
        isCut = true
      })
    },
  })
  await send()
  await until('the SMS', () => messages.length === 1)
  await page.context().setOffline(true)
  await sleep(3000)
  assert.equal(await text('send'), 'Sending …')
  assert.match(await text('status'), /Trying again/)
  assert.equal(await text('problem'), '')
  assert.ok(await page.getByRole('button', { name: 'Use another number' }).isVisible())
  isCut = false
  await page.context().setOffline(false)
  await reads('status', /on its way/)
  await page.getByLabel('Code from the SMS').fill(await code())
  await reads('status', /verified/)
  assert.ok(tries.length >= 2, `${tries.length} tries`)
  assert.equal(messages.length, 1)
})

test('Without a network at all it says so, and the next press is the same send.', async (t) => {
  const { page, send, messages, requests, reads } = await visit(t)
  await page.evaluate(() => {
    const later = globalThis.setTimeout
    Object.assign(globalThis, { setTimeout: (run: () => void, ms = 0) => later(run, ms / 50) })
  })
  await page.context().setOffline(true)
  await send()
  await reads('problem', /cannot be reached/)
  assert.deepEqual([requests, await stored(page)], [[], []])
  await page.context().setOffline(false)
  await page.locator('[part~=send]').click()
  await reads('status', /on its way/)
  assert.equal(messages.length, 1)
})

for (const hours of [-1, 1]) {
  test(`A clock that is ${hours} h wrong, and one that is set meanwhile, change nothing.`, async (t) => {
    const { page, send, code, reads } = await visit(t, {
      script: () => {
        const { now } = Date
        Object.assign(globalThis, { wrongBy: 0 })
        Date.now = () => now() + Number(Reflect.get(globalThis, 'wrongBy'))
      },
    })
    const set = (hours: number) =>
      page.evaluate((ms) => Object.assign(globalThis, { wrongBy: ms }), hours * 3_600_000)
    await set(hours)
    await send()
    assert.ok(secondsIn(await reads('expires', /\d:\d\d/)) >= 298)
    await set(-hours)
    await sleep(1000)
    assert.ok(secondsIn(await reads('expires', /\d:\d\d/)) >= 296)
    await page.reload()
    await set(hours)
    assert.ok(secondsIn(await reads('expires', /\d:\d\d/)) >= 294)
    assert.ok(secondsIn(await reads('resend', /\d:\d\d/)) >= 54)
    await page.getByLabel('Code from the SMS').fill(await code())
    await reads('status', /verified/)
  })
}

test('After a sleep in which the clock of the page stood still and the other went on, the server is asked.', async (t) => {
  const { page, send, reads, requests } = await visit(t, {
    script: () => {
      const { now } = Date
      Object.assign(globalThis, { slept: 0 })
      Date.now = () => now() + Number(Reflect.get(globalThis, 'slept'))
    },
    // A provider that is done: nothing else asks for the status then.
    answer: PROVIDERS.refusing,
  })
  await send()
  await reads('problem', /./)
  await sleep(2500)
  const before = requests.length
  await page.evaluate(() => Object.assign(globalThis, { slept: 120_000 }))
  await until('a question', () => requests.length > before)
  assert.match(requests.at(-1) ?? '', /^GET \/sms\/[\w-]+$/)
})

test('A code that has died while nobody looked is said to be over.', async (t) => {
  const { app, page, send, messages, reads } = await visit(t)
  await send()
  await until('the SMS', () => messages.length === 1)
  await app.smsVerify.cancel(messages[0]?.id as string)
  await page.evaluate(() =>
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true })),
  )
  await reads('problem', /is over/)
  await page.getByLabel('Mobile number').waitFor()
  assert.equal(await page.getByLabel('Mobile number').inputValue(), PHONE)
})

test('A code that expires before one’s eyes is over at zero, and the next press is a new one.', async (t) => {
  const limits = { ...UNLIMITED, cooldown: [2] }
  const { page, send, messages, reads } = await visit(t, { options: { limits, code: { ttl: 4 } } })
  await send()
  await reads('expires', /0:0[34]/)
  await reads('expires', /0:01/)
  await reads('problem', /is over/)
  await page.locator('[part~=send]').click()
  await reads('expires', /0:0[34]/)
  await until('another SMS', () => messages.length === 2)
  assert.notEqual(messages[0]?.id, messages[1]?.id)
})

test('After a sleep nobody is held back by a wait of before: the server says it again.', async (t) => {
  const limits = { ...UNLIMITED, cooldown: [60], failedChecksPerIp: { max: 1, window: 60 } }
  const { app, page, send, code, reads } = await visit(t, {
    script: () => {
      const { now } = Date
      Object.assign(globalThis, { slept: 0 })
      Date.now = () => now() + Number(Reflect.get(globalThis, 'slept'))
    },
    options: { limits },
  })
  const oversleep = (ms: number) =>
    page.evaluate((ms) => Object.assign(globalThis, { slept: ms }), ms)
  await app.inject({ method: 'POST', url: '/sms/send', payload: { phone: '+8613800138000' } })
  await send()
  await reads('send', /0:5\d/)
  await oversleep(120_000)
  await reads('send', /^Send code$/)
  await page.locator('[part~=send]').click()
  await reads('send', /0:5\d/)
  await page.getByLabel('Mobile number').fill('+86 138 0013 8001')
  await page.locator('[part~=send]').click()
  await reads('status', /8001/)
  const field = page.getByLabel('Code from the SMS')
  const bad = wrong(await code())
  for (const problem of [/Tries left/, /too often/]) {
    await field.fill('')
    await field.pressSequentially(bad)
    await field.press('Enter')
    await reads('problem', problem)
  }
  await reads('check', /0:\d\d/)
  await oversleep(240_000)
  await reads('check', /^Verify$/)
})
