/** A page with the element, served by an app with the plugin, in a browser. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { type SmsVerifyOptions, smsVerify } from '../../src/plugin.ts'
import type { Outcome, SmsMessage } from '../../src/providers/provider.ts'
import { UNLIMITED } from '../unlimited.ts'

const { CHROMIUM_PATH, CLIENT_FOLDER } = process.env as Record<string, string>

/** As strict as a policy can be: the element must get along with it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "form-action 'self'",
  "require-trusted-types-for 'script'",
].join('; ')

const STYLE = `
  :root { color-scheme: light dark; background: light-dark(#fff, #16181d); color: light-dark(#16181d, #eceef2);
    font: 16px/1.5 system-ui, 'Noto Sans CJK SC', sans-serif }
  body { margin: 0 auto; padding: 1rem; max-width: 32rem }
  form > button { margin-block-start: 1rem }
`

const html = (lang: string, dir: string, attributes: string) => `<!doctype html>
  <html lang="${lang}" dir="${dir}"><head><title>Sign up</title><link rel="icon" href="data:,">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="/page.css"><script type="module" src="/client/element.js"></script></head>
  <body><main><h1>Sign up</h1><form method="post" action="/accounts">
  <sms-verify name="proof" purpose="signup" ${attributes}></sms-verify>
  <button>Sign up</button></form></main></body></html>`

let browser: Browser
before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM_PATH as string,
    // Chromium has no sandbox for root, and loads nothing here but our own pages.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  })
})
after(() => browser?.close())

type Answer = (message: SmsMessage) => Outcome | Promise<Outcome>

/** What providers do to people who wait. */
export const PROVIDERS = {
  good: () => ({ class: 'ok' }),
  slow: () => sleep(5000, { class: 'ok' } as const, { ref: false }),
  silent: () => new Promise(() => {}),
  refusing: () => ({ class: 'permanent_recipient', code: '21211' }),
} satisfies Record<string, Answer>

export interface Visit {
  app: FastifyInstance
  page: Page
  url: string
  messages: SmsMessage[]
  /** Method and path of each request to the plugin, in order. */
  requests: string[]
  /** The code of the newest SMS. */
  code(): Promise<string>
  /** Enters the number and presses. */
  send(): Promise<void>
  /** What is visible of a part. */
  text(part: string): Promise<string>
  /** Waits until what is visible of a part is so. */
  reads(part: string, expected: RegExp, ms?: number): Promise<string>
}

export const PHONE = '+86 138 0013 8000'

export interface Visitor {
  options?: Partial<SmsVerifyOptions>
  answer?: Answer
  /** Before the app gets the plugin. */
  prepare?: (app: FastifyInstance) => void
  context?: BrowserContextOptions
  /** Runs in the page before anything of its own. */
  script?: () => void
  lang?: string
  dir?: string
  attributes?: string
}

/** Opens the page; everything is closed after the test. */
export async function visit(t: TestContext, visitor: Visitor = {}): Promise<Visit> {
  const { answer = PROVIDERS.good, lang = 'en', dir = 'ltr', attributes = 'required' } = visitor
  const messages: SmsMessage[] = []
  const requests: string[] = []
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  app.addHook('onRequest', async ({ method, url }) => {
    if (url.startsWith('/sms/')) requests.push(`${method} ${url}`)
  })
  visitor.prepare?.(app)
  await app.register(smsVerify, {
    secret: 'a test secret of more than thirty-two bytes',
    countries: ['CN'],
    purposes: ['signup'],
    embedded: true,
    limits: { ...UNLIMITED, cooldown: [60] },
    provider: {
      name: 'test',
      async send(message, { signal }) {
        messages.push(message)
        // The app does not close before its provider has answered.
        const aborted = new Promise<never>((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        })
        return Promise.race([answer(message), aborted])
      },
    },
    ...visitor.options,
  })
  serve(app, html(lang, dir, attributes))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  // The first request is the slowest by far, and nobody waits for that one here.
  await app.inject('/sms/unknown')
  requests.length = 0

  const page = await newPage(t, visitor.context)
  if (visitor.script) await page.addInitScript(visitor.script)
  await page.goto(url)
  await page.locator('[part~=send]').waitFor()

  const text = (part: string) => page.locator(`[part~=${part}]`).innerText()
  const reads = (part: string, expected: RegExp, ms?: number) =>
    untilReads(part, () => text(part), expected, ms)
  const code = async () => {
    await until('an SMS', () => messages.length > 0)
    return messages.at(-1)?.code as string
  }
  const send = async () => {
    await page.getByRole('textbox').first().fill(PHONE)
    await page.locator('[part~=send]').click()
  }
  return { app, page, url, messages, requests, code, send, text, reads }
}

/** A page of its own, in which nothing may fail that nobody catches. */
export async function newPage(t: TestContext, options?: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext(options)
  t.after(() => context.close())
  const page = await context.newPage()
  const errors: Error[] = []
  page.on('pageerror', (error) => errors.push(error))
  t.after(() => assert.deepEqual(errors, []))
  // tsx wraps functions in it, also those that are handed to the page.
  await page.addInitScript('globalThis.__name = (it) => it')
  return page
}

/** Another code than this one. */
export const wrong = (code: string): string => (code === '000000' ? '000001' : '000000')

export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  ms = 5000,
): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(20)
  }
}

/** Waits until a place reads so, and answers its text; the failure says what it read instead. */
export async function untilReads(
  place: string,
  text: () => Promise<string>,
  expected: RegExp,
  ms = 5000,
): Promise<string> {
  const deadline = Date.now() + ms
  for (;;) {
    const is = await text()
    if (expected.test(is)) return is
    assert.ok(Date.now() <= deadline, `not within ${ms} ms: ${place} reads ${expected}, but: ${is}`)
    await sleep(20)
  }
}

/** Seconds in a text such as "Valid for 4:59." */
export function secondsIn(text: string): number {
  const [, minutes, seconds] = /(\d+):(\d\d)/.exec(text) ?? []
  assert.ok(seconds, `no time in "${text}"`)
  return Number(minutes) * 60 + Number(seconds)
}

function serve(app: FastifyInstance, page: string): void {
  const file = (name: string) => readFileSync(join(CLIENT_FOLDER as string, name), 'utf8')
  const files = [
    ['/', 'text/html', page],
    ['/page.css', 'text/css', STYLE],
    ['/client/index.js', 'text/javascript', file('index.js')],
    ['/client/element.js', 'text/javascript', file('element.js')],
  ] as const
  for (const [url, type, content] of files) {
    app.get(url, (_request, reply) =>
      reply.type(`${type}; charset=utf-8`).header('content-security-policy', POLICY).send(content),
    )
  }
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  )
  app.post<{ Body: { proof: string } }>('/accounts', async (request, reply) => {
    const { phone } = await app.smsVerify.redeem(request.body.proof, { purpose: 'signup' })
    return reply.type('text/plain').send(`welcome ${phone}`)
  })
}
