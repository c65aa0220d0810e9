/** `npm start` as a person meets it: the sign-up page, the phone at its side, and a provider that makes trouble. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, type TestContext, test } from 'node:test'
import type { BrowserContextOptions, Page, Route } from 'playwright-core'
import { look } from './look.ts'
import { newPage, secondsIn, until, untilReads, wrong } from './visit.ts'

/** Presses whose median counts: one alone may fall into a moment in which the machine does something else. */
const PRESSES = 5

/** All that the element shows. */
const ELEMENT = 'sms-verify div >> nth=0'

let demo: Awaited<ReturnType<typeof start>>
before(async () => {
  demo = await start()
})
after(() => demo?.stop())

/** Each send has a number of its own: the server counts by number. */
let numbers = 0
const newNumber = () => `+86 138 0013 ${8000 + numbers++}`

for (const [provider, name] of [
  ['slow', 'takes 5 s'],
  ['silent', 'never answers'],
] as const) {
  test(`The countdown runs within 100 ms of the press while the provider ${name}.`, async (t) => {
    const { page, reads } = await open(t, provider)
    const times: number[] = []
    for (let i = 0; i < PRESSES; i++) {
      if (i > 0) await page.getByRole('button', { name: 'Use another number' }).click()
      times.push(await page.evaluate(press, newNumber()))
    }
    const median = times.sort((a, b) => a - b)[Math.floor(PRESSES / 2)] as number
    t.diagnostic(`${times.map((ms) => ms.toFixed(0)).join(', ')} ms`)
    assert.ok(median < 100, `${median} ms`)
    await reads(ELEMENT, /Valid for .?(5:00|4:59)/)
    await reads(ELEMENT, /Valid for .?4:58/)
    await reads('#delivery', /Being sent/)
    assert.equal(await page.locator('#messages li').count(), 0)
  })
}

test('The provider takes 5 s: the SMS then arrives on the phone, and a tap fills in its code.', async (t) => {
  const { page, send, reads } = await open(t, 'slow')
  const pressedAt = performance.now()
  await send()
  await reads('#messages', /^Demo: \d{6} is your code/, 8000)
  const took = performance.now() - pressedAt
  assert.ok(took > 4900 && took < 6500, `${took} ms`)
  await reads('#delivery', /Sent\s+5\.\d s/)
  await reads('#delivery', /Delivered\s+[6-9]\.\d s/)
  await page.getByRole('button', { name: /Fill in/ }).click()
  await reads(ELEMENT, /Your number is verified/)
  await until('the focus', async () => (await focused(page)) === 'create')
  assert.equal(await page.getByRole('button', { name: /Fill in/ }).count(), 0)
})

test('The provider refuses: the page says so within a second of the consumer’s result.', async (t) => {
  const { page, send } = await open(t, 'refuses')
  await page.evaluate(() => {
    const shadow = document.querySelector('sms-verify')?.shadowRoot as ShadowRoot
    new MutationObserver((_, observer) => {
      if (!/cannot receive/.test(shadow.textContent ?? '')) return
      Object.assign(globalThis, { saidAt: Date.now() })
      observer.disconnect()
    }).observe(shadow, { subtree: true, childList: true, characterData: true })
  })
  const refusals = () =>
    demo.events('sms.dead').filter((line) => line.outcome === 'permanent_recipient')
  const known = refusals().length
  await send()
  const saidAt = () => page.evaluate(() => Number(Reflect.get(globalThis, 'saidAt')))
  await until('it is said', async () => (await saidAt()) > 0)
  await until('it is logged', () => refusals().length > known)
  const took = (await saidAt()) - Number(refusals().at(-1)?.time)
  t.diagnostic(`${took} ms`)
  // The line is written once Redis has answered that it has the result: the page may have been told before.
  assert.ok(Math.abs(took) < 1000, `${took} ms`)
  await page.getByText('Not sent').waitFor()
})

test('A wrong code tells the checks that are left.', async (t) => {
  const { page, send, code, reads } = await open(t)
  await send()
  const field = page.getByLabel('Code from the SMS')
  const bad = wrong(await code())
  for (const left of [4, 3]) {
    await field.pressSequentially(bad)
    await field.press('Enter')
    await reads(ELEMENT, new RegExp(`Tries left: .?${left}`))
  }
})

test('Too many sends: the seconds that are left are counted down.', async (t) => {
  const { page, send, reads } = await open(t)
  await sendElsewhere(page)
  await send()
  await reads(ELEMENT, /too often/)
  const button = page.getByRole('button', { name: /Send code/ })
  const told = secondsIn(await button.innerText())
  assert.ok(told >= 57 && told <= 60, `${told} s`)
  await until('two seconds', async () => secondsIn(await button.innerText()) <= told - 2)
})

test('By the keyboard alone: the country, the number, the code from the phone, the account; and its proof is good once.', async (t) => {
  const { page, reads } = await open(t)
  const { keyboard } = page
  const tab = async (to: string) => {
    await keyboard.press('Tab')
    assert.equal(await focused(page), to)
    // Whatever has the focus shows it.
    const outline = await page.evaluate(() => {
      const host = document.activeElement
      return getComputedStyle(host?.shadowRoot?.activeElement ?? (host as Element)).outlineStyle
    })
    assert.equal(outline, 'solid', to)
  }
  await tab('name')
  await keyboard.type('Ada')
  await tab('country')
  assert.equal(await page.locator('#country').inputValue(), '+1')
  await keyboard.type('Germany')
  assert.equal(await page.locator('#country').inputValue(), '+49')
  await tab('phone')
  // As Germans write it: the server knows what to do with the 0.
  await keyboard.type('01512 3456789')
  await keyboard.press('Enter')
  await reads(ELEMENT, /on its way to .?\+49 01512 3456789/)
  assert.equal(await focused(page), 'code')
  const fillIn = page.getByRole('button', { name: /Fill in/ })
  await fillIn.waitFor()
  for (const to of ['button check', 'button resend', 'button change', 'create']) await tab(to)
  await keyboard.press('Tab')
  assert.ok(await fillIn.evaluate((button) => button === document.activeElement))
  await keyboard.press('Enter')
  await reads(ELEMENT, /Your number is verified/)
  await until('the focus', async () => (await focused(page)) === 'create')
  await keyboard.press('Enter')
  await reads('main', /Welcome, .?Ada.?\s+Your account is there\. .+ .?\+49•+89/)
  await until('the focus', async () => (await focused(page)) === 'welcome')
  await tab('again')
  await keyboard.press('Enter')
  await reads('main', /This proof was used already/)
})

test('A proof that was used elsewhere meanwhile is an honest error, and the number can be verified again.', async (t) => {
  const { page, send, code, reads } = await open(t)
  await page.getByLabel('Your name').fill('Ada')
  await send()
  await page.getByLabel('Code from the SMS').fill(await code())
  await reads(ELEMENT, /Your number is verified/)
  const proof = await page.evaluate(() => document.querySelector('sms-verify')?.value)
  const stolen = await page.request.post('/accounts', { data: { name: 'Eve', proof } })
  assert.equal(stolen.status(), 201)
  await page.getByRole('button', { name: 'Create account' }).click()
  await reads('form > #problem', /used already/)
  assert.equal(await focused(page), 'phone')
})

test('An account that the server cannot be reached for is asked for again with the same proof.', async (t) => {
  const { page, send, code, reads } = await open(t)
  await page.getByLabel('Your name').fill('Ada')
  await send()
  await page.getByLabel('Code from the SMS').fill(await code())
  await reads(ELEMENT, /Your number is verified/)
  const signUp = page.getByRole('button', { name: 'Create account' })
  await page.route('**/accounts', (route) => route.abort())
  await signUp.click()
  await reads('form > #problem', /cannot be reached/)
  await page.unroute('**/accounts')
  await signUp.click()
  await reads('main', /Welcome/)
})

test('The switch shows what the provider does, also after a reload.', async (t) => {
  const { page } = await open(t, 'silent')
  await page.reload()
  await until('the switch', () => page.getByLabel('Never answers').isChecked())
  await page.route('**/demo/provider', (route) => route.abort())
  await page.getByLabel('Works').check()
  await page.getByText('could not be switched').waitFor()
})

test('After a reload the SMS is on the phone again, and its code still works.', async (t) => {
  const { page, send, code, reads } = await open(t)
  await send()
  const right = await code()
  await page.reload()
  await reads('#messages', new RegExp(right))
  await page.getByRole('button', { name: /Fill in/ }).click()
  await reads(ELEMENT, /Your number is verified/)
})

const hold = (_route: Route) => {}

/** What a person can come upon. */
const STATES: Record<string, (visit: Opened) => Promise<unknown>> = {
  idle: async () => {},
  sending: async ({ page, send, reads }) => {
    await page.route('**/sms/send', hold)
    await send()
    await reads(ELEMENT, /Sending/)
  },
  slow: async ({ provider, send, reads }) => {
    await provider('slow')
    await send()
    await reads(ELEMENT, /on its way/)
  },
  arrived: async ({ send, code }) => {
    await send()
    await code()
  },
  wrong: async ({ page, send, code, reads }) => {
    await send()
    await page.getByLabel('Code from the SMS').fill(wrong(await code()))
    await reads(ELEMENT, /Tries left/)
  },
  'too-many': async ({ page, send, reads }) => {
    await sendElsewhere(page)
    await send()
    await reads(ELEMENT, /too often/)
  },
  refused: async ({ provider, send, reads }) => {
    await provider('refuses')
    await send()
    await reads(ELEMENT, /cannot receive/)
  },
  verified: async ({ page, send, code, reads }) => {
    await page.getByLabel('Your name').fill('Ada Lovelace')
    await send()
    await page.getByLabel('Code from the SMS').fill(await code())
    await reads(ELEMENT, /Your number is verified/)
  },
  registered: async (visit) => {
    await STATES.verified?.(visit)
    await visit.page.getByRole('button', { name: 'Create account' }).click()
    await visit.reads('main', /Welcome/)
    await visit.page.getByRole('button', { name: 'Try it for a second one' }).click()
    await visit.reads('main', /used already/)
  },
}

for (const [name, reach] of Object.entries(STATES)) {
  test(`${name}: axe finds nothing, by day and by night, small and large.`, async (t) => {
    const visit = await open(t)
    await reach(visit)
    await look(visit.page, `demo-${name}`)
  })
}

test('In Chinese, from China: axe finds nothing, and the SMS is in Chinese.', async (t) => {
  const { page, reads } = await open(t, 'works', { locale: 'zh-CN' })
  await page.getByLabel('手机号码').fill(newNumber().slice(4))
  await page.getByRole('button', { name: '获取验证码' }).click()
  await reads('#messages', /验证码/)
  await reads('#delivery', /已发送/)
  await look(page, 'demo-zh')
})

type Opened = Awaited<ReturnType<typeof open>>

/** The page, in English from the United States. Who wants less motion gets none: pictures are of things that stand still. */
async function open(t: TestContext, mode = 'works', options: BrowserContextOptions = {}) {
  const page = await newPage(t, {
    baseURL: demo.url,
    locale: 'en-US',
    reducedMotion: 'reduce',
    ...options,
  })
  await page.goto('/')
  /** As a person switches it. */
  const provider = async (mode: string) => {
    const answered = page.waitForResponse((answer) => answer.request().method() === 'PUT')
    await page.locator(`[name=provider][value=${mode}]`).check()
    assert.equal((await answered).status(), 200)
  }
  // Whatever it was before, the page has said so by now.
  await page.waitForLoadState('networkidle')
  if (!(await page.locator(`[name=provider][value=${mode}]`).isChecked())) await provider(mode)
  const reads = (place: string, expected: RegExp, ms?: number) =>
    untilReads(place, () => page.locator(place).innerText(), expected, ms)
  const send = async () => {
    await page.getByLabel('Mobile number').fill(newNumber())
    await page.getByRole('button', { name: 'Send code' }).click()
  }
  /** As a person reads it on the phone. */
  const code = async () => /\d{6}/.exec(await reads('#messages', /\d{6}/))?.[0] as string
  return { page, provider, reads, send, code }
}

/** From another tab, to the number that is sent to next. */
async function sendElsewhere(page: Page): Promise<void> {
  const phone = newNumber()
  numbers--
  const answer = await page.request.post('/sms/send', { data: { phone } })
  assert.equal(answer.status(), 202)
}

/** Milliseconds, in the page, from the press until a countdown can be seen. */
function press(phone: string): Promise<number> {
  const shadow = document.querySelector('sms-verify')?.shadowRoot as ShadowRoot
  const find = <T extends Element>(part: string) => shadow.querySelector<T>(part) as T
  return new Promise((resolve) => {
    find<HTMLInputElement>('#phone').value = phone
    const pressedAt = performance.now()
    new MutationObserver(() => {
      if (/\d:\d\d/.test(find('#expires').textContent ?? '')) resolve(performance.now() - pressedAt)
    }).observe(shadow, { subtree: true, childList: true, characterData: true })
    find<HTMLButtonElement>('[part~=send]').click()
  })
}

/** Name of what has the focus. */
const focused = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const host = document.activeElement
    const inner = host?.shadowRoot?.activeElement
    return inner?.id || inner?.getAttribute('part') || host?.id || host?.tagName || ''
  })

/** The demo by itself, with nothing given, on a free port. */
async function start() {
  const without = { REDIS_URL: '', AMQP_URL: '', SMS_VERIFY_SECRET: '', HOST: '', NODE_ENV: '' }
  const child = spawn(process.execPath, ['--import', 'tsx', 'demo/server.ts'], {
    env: { ...process.env, ...without, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  // Also where the tests end before they have begun.
  process.once('exit', () => child.kill())
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk
  })
  const address = /^Open (http:\S+?)\/ /m
  await until('the demo listens', () => address.test(output), 20_000)
  return {
    url: address.exec(output)?.[1] as string,
    /** Lines of its log. */
    events: (name: string): Record<string, unknown>[] =>
      output
        .split('\n')
        .filter((line) => line.includes(`"event":"${name}"`))
        .map((line) => JSON.parse(line)),
    async stop() {
      child.kill()
      await once(child, 'close')
    },
  }
}
