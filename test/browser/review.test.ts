/** The element in pages that are not as tidy as the others here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import type { Outcome } from '../../src/providers/provider.ts'
import { UNLIMITED } from '../unlimited.ts'
import { until, visit } from './visit.ts'

/** The part that has the focus; the name of what has it outside. */
const focused = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const host = document.activeElement
    return host?.shadowRoot?.activeElement?.getAttribute('part') ?? host?.tagName ?? ''
  })

/** What the plugin is asked, by `field`. */
function recorder() {
  const sent: Record<string, unknown>[] = []
  const prepare = (app: FastifyInstance) => {
    app.addHook<{ Body: Record<string, unknown> }>('preHandler', async ({ url, body }) => {
      if (url === '/sms/send') sent.push(body)
    })
  }
  return { sent, prepare }
}

for (const [lang, attributes, locale] of [
  ['fr', '', 'fr'],
  ['zh-TW', '', 'zh-TW'],
  ['fr', 'locale="de-AT"', 'de-AT'],
  ['fr', 'lang="zh-Hant"', 'zh-Hant'],
  ['fr', 'locale="de_AT"', undefined],
] as const) {
  test(`In a page in ${lang} with ${attributes || 'nothing'} the server is told: ${locale}.`, async (t) => {
    const { sent, prepare } = recorder()
    const { send, code } = await visit(t, { prepare, lang, attributes })
    await send()
    await code()
    assert.deepEqual(
      sent.map((body) => body.locale),
      [locale],
    )
  })
}

test('The focus stays in the element when a code is verified, or over, without a press.', async (t) => {
  const { app, page, send, code, messages, reads } = await visit(t)
  const verify = (code: string) =>
    page.evaluate((code) => document.querySelector('sms-verify')?.verification?.verify(code), code)
  const change = page.locator('[part~=change]')
  await send()
  await reads('status', /on its way/)
  assert.equal(await focused(page), 'input code')
  // As what the browser reads from the SMS.
  await verify(await code())
  await reads('status', /verified/)
  assert.match(await focused(page), /^status/)
  await change.click()
  await page.locator('#phone').fill('+86 138 0013 8001')
  await page.locator('#phone').press('Enter')
  await reads('status', /8001/)
  await until('the second SMS', () => messages.length === 2)
  await app.smsVerify.cancel(messages[1]?.id as string)
  await page.evaluate(() =>
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true })),
  )
  await reads('problem', /is over/)
  assert.match(await focused(page), /^status/)
})

test('The focus that somebody has taken elsewhere is left there.', async (t) => {
  const { page, send, code, reads } = await visit(t)
  await send()
  await reads('status', /on its way/)
  await page.getByRole('button', { name: 'Sign up' }).focus()
  const right = await code()
  await page.evaluate(
    (code) => document.querySelector('sms-verify')?.verification?.verify(code),
    right,
  )
  await reads('status', /verified/)
  assert.equal(await focused(page), 'BUTTON')
})

test('A label of the page, and focus(), lead to the field that is there.', async (t) => {
  const { page, send, reads } = await visit(t)
  await page.evaluate(() => {
    const element = document.querySelector('sms-verify') as HTMLElement
    element.id = 'verify'
    const label = document.createElement('label')
    label.htmlFor = 'verify'
    label.textContent = 'Your phone'
    element.before(label)
  })
  await page.locator('label', { hasText: 'Your phone' }).click()
  assert.equal(await focused(page), 'input phone')
  await send()
  await reads('status', /on its way/)
  await page.getByRole('button', { name: 'Sign up' }).focus()
  await page.evaluate(() => document.querySelector('sms-verify')?.focus())
  assert.equal(await focused(page), 'input code')
})

test('fetch and texts count, whether they are set before the upgrade or after.', async (t) => {
  const { page, reads, send, url } = await visit(t)
  await send()
  await reads('expires', /\d:\d\d/)
  // Of a page that has the element before it has its class, after a reload in the middle.
  await page.addInitScript(() => {
    const { fetch } = globalThis
    const asked: string[] = []
    Object.assign(globalThis, { asked })
    const own = (name: string) => (input: RequestInfo | URL, init?: RequestInit) => {
      asked.push(`${name} ${init?.method}`)
      return fetch(input, init)
    }
    Object.assign(globalThis, { own })
    document.addEventListener('readystatechange', () => {
      if (document.readyState !== 'interactive') return
      const element = document.querySelector('sms-verify')
      Object.assign(element as object, { fetch: own('before'), texts: { change: 'Mine' } })
    })
  })
  await page.goto(url)
  await reads('change', /^Mine$/)
  await reads('expires', /\d:\d\d/)
  await page.evaluate(() => {
    const { own } = globalThis as unknown as { own(name: string): typeof fetch }
    const element = document.querySelector('sms-verify') as HTMLElementTagNameMap['sms-verify']
    element.texts = { change: 'Other' }
    element.fetch = own('after')
    // And one that is made in a script, whose properties come after it is in the page.
    const other = document.createElement('sms-verify')
    other.setAttribute('purpose', 'signup')
    document.body.append(other)
    other.fetch = own('script')
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
  })
  await page.locator('main [part~=change]', { hasText: 'Other' }).waitFor()
  const asked = () => page.evaluate(() => Reflect.get(globalThis, 'asked') as string[])
  await until('all three', async () => new Set(await asked()).size === 3)
  for (const name of ['before', 'after', 'script']) {
    assert.ok((await asked()).includes(`${name} GET`), name)
  }
})

test('Disabled, it looks so and does nothing; reset, it has the number it began with.', async (t) => {
  const { page, send, reads, requests } = await visit(t, {
    attributes: 'phone="+86 138 0013 8009"',
  })
  const disable = (disabled: boolean) =>
    page.evaluate((disabled) => {
      document.querySelector('sms-verify')?.toggleAttribute('disabled', disabled)
    }, disabled)
  const disabled = (name: string) => page.locator(`[part~=${name}]`).getAttribute('aria-disabled')
  await disable(true)
  assert.equal(await disabled('send'), 'true')
  await page.locator('[part~=send]').click({ force: true })
  await disable(false)
  assert.equal(await disabled('send'), 'false')
  assert.deepEqual(requests, [])
  await send()
  await reads('status', /8000/)
  await disable(true)
  for (const name of ['check', 'resend', 'change']) assert.equal(await disabled(name), 'true', name)
  await page.evaluate(() => document.querySelector('form')?.reset())
  assert.equal(await page.locator('#phone').inputValue(), '+86 138 0013 8009')
})

test('The same complaint is said again, and leads to its field.', async (t) => {
  const { page, send, reads } = await visit(t)
  await page.evaluate(() => {
    const said: string[] = []
    Object.assign(globalThis, { said })
    const problem = document.querySelector('sms-verify')?.shadowRoot?.querySelector('#problem')
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const { textContent } of addedNodes) said.push(textContent ?? '')
      }
    }).observe(problem as Node, { childList: true })
  })
  const said = () => page.evaluate(() => Reflect.get(globalThis, 'said') as string[])
  await page.locator('[part~=send]').click()
  assert.equal(await focused(page), 'input phone')
  await page.keyboard.press('Enter')
  assert.deepEqual(await said(), Array(2).fill('Enter your mobile number.'))
  await send()
  await reads('status', /on its way/)
  await page.keyboard.type('12')
  await page.keyboard.press('Enter')
  await page.locator('[part~=check]').click()
  assert.equal((await said()).length, 4)
  assert.equal(await focused(page), 'input code')
})

test('The language is that of the words: the page’s own where they are its own, and it may change.', async (t) => {
  const { page, reads } = await visit(t, { lang: 'fr' })
  const lang = () =>
    page.evaluate(
      () => document.querySelector('sms-verify')?.shadowRoot?.querySelector('div')?.lang,
    )
  const set = (lang: string) =>
    page.evaluate((lang) => {
      document.documentElement.lang = lang
    }, lang)
  assert.equal(await lang(), 'en')
  await set('zh-Hans')
  await reads('send', /获取验证码/)
  assert.equal(await lang(), 'zh-CN')
  await page.evaluate(() => {
    const element = document.querySelector('sms-verify') as HTMLElementTagNameMap['sms-verify']
    element.texts = { send: 'Envoyer le code' }
  })
  await set('fr-CA')
  await until('the language', async () => (await lang()) === 'fr-CA')
})

test('A page can tell what is queued from what is sent; a failed SMS has no time that it is valid for.', async (t) => {
  let answer: (outcome: Outcome) => void = () => {}
  const { page, send, reads, text, messages } = await visit(t, {
    options: { limits: { ...UNLIMITED, cooldown: false } },
    answer: () =>
      new Promise<Outcome>((resolve) => {
        answer = resolve
      }),
  })
  await page.evaluate(() => {
    const element = document.querySelector('sms-verify') as HTMLElementTagNameMap['sms-verify']
    element.texts = { queued: 'Being sent to {phone}', sent: 'Sent to {phone}' }
  })
  await send()
  await reads('status', /^Being sent to .?\+86/)
  await reads('expires', /\d:\d\d/)
  await until('the provider', () => messages.length === 1)
  answer({ class: 'ok' })
  await reads('status', /^Sent to .?\+86/)
  await page.locator('[part~=resend]').click()
  await reads('status', /^Being sent to/)
  await until('the provider again', () => messages.length === 2)
  answer({ class: 'permanent_recipient', code: '1' })
  await reads('problem', /cannot receive/)
  assert.deepEqual([await text('status'), await text('expires')], ['', ''])
})
