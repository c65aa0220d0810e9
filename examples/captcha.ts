/**
 * A CAPTCHA in front of every SMS: Cloudflare Turnstile or hCaptcha, whose servers are asked in the same way. The page sends
 * the token of the widget along in the header `captcha-token`. While the vendor cannot be reached, the built-in proof of
 * work stands in, so that nobody is locked out by another's outage.
 */
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { type BeforeSendContext, type BeforeSendVerdict, smsVerify } from '../src/plugin.ts' // in your project: 'fastify-sms-verify'

// https://developers.cloudflare.com/turnstile/get-started/server-side-validation/ and https://docs.hcaptcha.com/#verify-the-user-response-server-side
export const TURNSTILE = 'https://challenges.cloudflare.com/turnstile/v0/siteverify'
export const HCAPTCHA = 'https://api.hcaptcha.com/siteverify'

/** A `beforeSend` that asks the vendor's server. Less than the 5 s that the plugin gives it. */
export function captcha(siteverify: string, secret: string, timeout = 3000) {
  return async ({ request, ip = '' }: BeforeSendContext): Promise<BeforeSendVerdict> => {
    const token = request?.headers['captcha-token']
    if (typeof token !== 'string' || token === '') return 'refuse'
    try {
      const answer = await fetch(siteverify, {
        method: 'POST',
        body: new URLSearchParams({ secret, response: token, remoteip: ip }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeout),
      })
      // A token is good for one try: a page that asks for another code needs another one.
      const { success } = (await answer.json()) as { success?: unknown }
      return success === true ? 'allow' : 'refuse'
    } catch {
      return 'challenge'
    }
  }
}

// Run by itself, with Turnstile's own secret for tests, under which any token passes.
if (import.meta.filename === process.argv[1]) {
  const { CAPTCHA_URL = TURNSTILE, CAPTCHA_SECRET = '1x0000000000000000000000000000000AA' } =
    process.env
  const app = Fastify({ logger: true })
  await app.register(smsVerify, {
    secret: process.env.SMS_VERIFY_SECRET ?? randomBytes(32).toString('hex'),
    countries: ['CN'],
    beforeSend: captcha(CAPTCHA_URL, CAPTCHA_SECRET),
  })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
}
