/** Each state for everybody: axe, the keyboard, both directions of writing, both languages; and pictures of it for people. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { look } from './look.ts'
import { until, type Visit, type Visitor, visit, wrong } from './visit.ts'

type State = { visitor?: Visitor; reach(visit: Visit): Promise<unknown> }

/** An answer that does not come before the test is over. */
const holding = (url: string): Visitor => ({
  prepare: (app) =>
    app.addHook('preHandler', (request, _reply, done) => {
      if (request.url !== url) done()
    }),
})

const STATES: Record<string, State> = {
  idle: { reach: async () => {} },
  sending: {
    visitor: holding('/sms/send'),
    reach: async ({ send, reads }) => {
      await send()
      await reads('send', /Sending/)
    },
  },
  waiting: {
    reach: async ({ send, reads }) => {
      await send()
      await reads('resend', /0:5/)
    },
  },
  checking: {
    visitor: holding('/sms/verify'),
    reach: async ({ page, send, code, reads }) => {
      await send()
      await page.locator('#code').fill(await code())
      await reads('check', /Checking/)
    },
  },
  wrong: {
    reach: async ({ page, send, code, reads }) => {
      await send()
      await page.locator('#code').fill(wrong(await code()))
      await reads('problem', /Tries left/)
    },
  },
  'too-many': {
    reach: async ({ app, send, reads }) => {
      await app.inject({ method: 'POST', url: '/sms/send', payload: { phone: '+8613800138000' } })
      await send()
      await reads('problem', /too often/)
    },
  },
  undeliverable: {
    visitor: { answer: () => ({ class: 'permanent_recipient', code: '1' }) },
    reach: async ({ send, reads }) => {
      await send()
      await reads('problem', /./)
    },
  },
  failed: {
    reach: async ({ page, reads }) => {
      await page.locator('#phone').fill('+86 1')
      await page.locator('[part~=send]').click()
      await reads('problem', /not a phone number/)
    },
  },
  verified: {
    reach: async ({ page, send, code, reads }) => {
      await send()
      await page.locator('#code').fill(await code())
      await reads('status', /verified/)
    },
  },
}

for (const [name, { visitor, reach }] of Object.entries(STATES)) {
  test(`${name}: axe finds nothing, by day and by night, small and large.`, async (t) => {
    const visit_ = await visit(t, visitor)
    await reach(visit_)
    await look(visit_.page, name)
  })
}

test('right to left, and in Chinese: axe finds nothing, and nothing sticks out.', async (t) => {
  const rtl = await visit(t, { lang: 'ar', dir: 'rtl' })
  await rtl.send()
  await rtl.reads('resend', /0:5/)
  await look(rtl.page, 'rtl')
  // A text in English is still read from the left, and begins where its field does.
  const [first, last, edge] = await rtl.page.locator('[part~=status]').evaluate((line) => {
    const text = line.firstChild as Text
    const side = (from: number, to: number) => {
      const range = new Range()
      range.setStart(text, from)
      range.setEnd(text, to)
      return range.getBoundingClientRect()
    }
    const { length } = text
    return [side(0, 1).left, side(length - 1, length).right, line.getBoundingClientRect().right]
  })
  assert.ok(Number(first) < Number(last), `from ${first} to ${last}`)
  assert.ok(Math.abs(Number(last) - Number(edge)) < 1, `to ${last} of ${edge}`)
  const zh = await visit(t, { lang: 'zh-CN' })
  await zh.send()
  await zh.reads('resend', /重新发送 · .?0:5/)
  assert.match(await zh.text('status'), /正在发送至 .?\+86 138 0013 8000/)
  assert.match(zh.messages[0]?.text ?? '', /验证码/)
  await look(zh.page, 'zh')
})

const focused = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const host = document.activeElement
    const inner = host?.shadowRoot?.activeElement
    return inner?.id || inner?.getAttribute('part') || host?.tagName || ''
  })

test('The keyboard is enough, and the focus is where one goes on.', async (t) => {
  const { page, code, reads, url } = await visit(t)
  const { keyboard } = page
  await keyboard.press('Tab')
  assert.equal(await focused(page), 'phone')
  await keyboard.type('+86 1')
  await keyboard.press('Enter')
  await reads('problem', /not a phone number/)
  assert.equal(await focused(page), 'phone')
  await keyboard.press('ControlOrMeta+a')
  await keyboard.type('+86 138 0013 8000')
  await keyboard.press('Enter')
  await reads('status', /on its way/)
  assert.equal(await focused(page), 'code')
  await keyboard.type(wrong(await code()))
  await keyboard.press('Tab')
  assert.equal(await focused(page), 'button check')
  await keyboard.press('Space')
  await reads('problem', /Tries left/)
  assert.equal(await focused(page), 'code')
  // What cannot be pressed yet can be reached, and says when.
  await keyboard.press('Tab')
  await keyboard.press('Tab')
  assert.equal(await focused(page), 'button resend')
  await keyboard.press('Tab')
  assert.equal(await focused(page), 'button change')
  await keyboard.press('Enter')
  assert.equal(await focused(page), 'phone')
  await page.goto(url)
})

test('Live regions say each thing once, and do not count along.', async (t) => {
  const { page, send, code, reads } = await visit(t)
  await page.evaluate(() => {
    const said: string[] = []
    Object.assign(globalThis, { said })
    const shadow = document.querySelector('sms-verify')?.shadowRoot as ShadowRoot
    for (const region of shadow.querySelectorAll('[role=status], [role=alert]')) {
      new MutationObserver(() => {
        if (region.textContent) said.push(`${region.role}: ${region.textContent}`)
      }).observe(region, { childList: true, characterData: true, subtree: true })
    }
  })
  await send()
  await reads('resend', /0:58/)
  await page.locator('#code').fill(wrong(await code()))
  await reads('problem', /Tries left/)
  await reads('resend', /0:56/)
  await page.locator('#code').fill(await code())
  await reads('status', /verified/)
  const said = await page.evaluate(() => Reflect.get(globalThis, 'said') as string[])
  assert.deepEqual(
    said.map((each) => each.replace(/[\u2068\u2069]/g, '')),
    [
      'status: The code is on its way to +86 138 0013 8000.',
      'alert: That is not the code. Tries left: 4.',
      'status: Your number is verified.',
    ],
  )
})

test('Fields have the names, modes and hints that keyboards, screen readers and autofill go by.', async (t) => {
  const { page, send, reads } = await visit(t)
  const attributes = (name: string, ...names: string[]) =>
    page.getByLabel(name).evaluate((it, names) => names.map((each) => it.getAttribute(each)), names)
  const phone = await attributes('Mobile number', 'type', 'autocomplete', 'dir')
  assert.deepEqual(phone, ['tel', 'tel', 'ltr'])
  await send()
  await reads('status', /on its way/)
  const code = await attributes(
    'Code from the SMS',
    'inputmode',
    'autocomplete',
    'aria-describedby',
  )
  assert.deepEqual(code, ['numeric', 'one-time-code', 'problem expires'])
})

test('Texts, colours and parts can be one’s own; what is not replaced stays.', async (t) => {
  const { page, reads } = await visit(t)
  await page.evaluate(() => {
    const element = document.querySelector('sms-verify') as HTMLElementTagNameMap['sms-verify']
    element.texts = { send: 'Text me' }
    element.style.setProperty('--sms-verify-accent', 'rgb(1, 2, 3)')
    const sheet = new CSSStyleSheet()
    sheet.replaceSync('sms-verify::part(send) { border-radius: 7px }')
    document.adoptedStyleSheets = [sheet]
  })
  await reads('send', /^Text me$/)
  const style = await page.locator('[part~=send]').evaluate((button) => {
    const { backgroundColor, borderRadius } = getComputedStyle(button)
    return [backgroundColor, borderRadius]
  })
  assert.deepEqual(style, ['rgb(1, 2, 3)', '7px'])
  await page.getByLabel('Mobile number').waitFor()
})

test('It is reset with its form, disabled with its fieldset, and goes on when it is moved.', async (t) => {
  const { page, send, code, reads } = await visit(t)
  await send()
  await reads('status', /on its way/)
  const move = () => {
    const fieldset = document.createElement('fieldset')
    const element = document.querySelector('sms-verify') as Element
    document.querySelector('form')?.append(fieldset)
    fieldset.append(element)
  }
  await page.evaluate(move)
  await page.getByLabel('Code from the SMS').fill(await code())
  await reads('status', /verified/)
  const proof = () => page.evaluate(() => document.querySelector('sms-verify')?.value)
  assert.match((await proof()) ?? '', /^[\w-]{24}$/)
  await page.evaluate(() => document.querySelector('form')?.reset())
  assert.equal(await proof(), '')
  await page.evaluate(() => document.querySelector('fieldset')?.setAttribute('disabled', ''))
  const field = page.getByLabel('Mobile number')
  await until('disabled', () => field.isDisabled())
})
