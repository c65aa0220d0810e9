/**
 * The web half's rules: from a request to send a code to the proof that it arrived. No HTTP, no Redis, no AMQP here.
 */
import type { FastifyRequest } from 'fastify'
import * as errors from './errors.ts'
import type { Budgets, NamedBudget } from './limits.ts'
import type { Logger } from './log.ts'
import {
  canonicalPhone,
  countryOf,
  maskPhone,
  type Phone,
  type PhonePolicy,
  parsePhone,
} from './phone.ts'
import type { Job, Publisher } from './queue/queue.ts'
import type { Schemas } from './schemas.ts'
import { openPhone, sealCode, sealPhone } from './sealed.ts'
import { ID_PATTERN, newCode, newNonce, type Secrets, shardOf, tokenHash } from './secrets.ts'
import type {
  IssueVerdict,
  Policy,
  SpendVerdict,
  Status,
  VerificationStore,
} from './store/store.ts'

export interface SendRequest {
  /** In E.164, or as written in `defaultCountry` if that is set. */
  phone: string
  /** One of `purposes`. @default the first of them; in a resend, that of the verification */
  purpose?: string | undefined
  /** BCP 47 tag of the person's language. */
  locale?: string | undefined
  /** Resend inside this verification: new code, the old one is dead at once, the checks are kept. */
  id?: string | undefined
  /** Address of the person, for the limits by IP. Without it they do not apply. */
  ip?: string | undefined
  /** Repeats of a request with the same key get the answer of the first one, and send nothing more. */
  idempotencyKey?: string | undefined
  /** You know who asks: lifts the slow-down of numbers with many failed checks, as the verdict `'trusted'` does. */
  trusted?: boolean | undefined
}

export interface SendResult {
  /** Unguessable; needed to verify, to resend and to ask for the status. */
  id: string
  /** Seconds that the code lives. */
  expiresIn: number
  /** Seconds until another code can be sent to the number. */
  resendIn: number
  codeLength: number
}

export interface VerifyRequest {
  id: string
  code: string
  /** Address of the person, for the limit on wrong codes by IP. Without it that does not apply. */
  ip?: string | undefined
}

export interface VerifyResult {
  /** The number that is proved, in E.164. */
  phone: string
  purpose: string
  /** Single-use receipt: `redeem` gives the number back for it. */
  proof: string
}

export interface Redeemed {
  phone: string
  purpose: string
  verifiedAt: Date
}

export interface StatusResult {
  status: Status
  /** Seconds that the code lives; 0 when it is dead. */
  expiresIn: number
  /** Seconds until another code can be sent to the number. */
  resendIn: number
  checksLeft: number
}

export interface BeforeSendContext {
  /** The number in E.164. */
  phone: string
  country: string
  purpose: string
  locale: string | undefined
  ip: string | undefined
  /** The request, when the code was asked for over HTTP: a CAPTCHA answer can travel in a header of it. */
  request: FastifyRequest | undefined
}

/** `true` is `'allow'`, `false` is `'refuse'`; `'trusted'` allows and lifts the slow-down of suspicious numbers. */
export type BeforeSendVerdict = 'allow' | 'refuse' | 'trusted' | boolean

export interface Alert {
  kind: 'budget'
  budget: NamedBudget['name']
  /** The country, or a pseudonym of the address or the prefix. */
  subject: string
  used: number
  max: number
  /** Seconds. */
  window: number
  /** 0.8 or 1 of `max` has been reached. */
  share: number
}

export interface Hooks {
  beforeSend?:
    | ((context: BeforeSendContext) => BeforeSendVerdict | Promise<BeforeSendVerdict>)
    | undefined
  onVerified?:
    | ((verified: { id: string; phone: string; purpose: string }) => void | Promise<void>)
    | undefined
  onDisabled?: ((disabled: { phone: string }) => void | Promise<void>) | undefined
  onAlert?: ((alert: Alert) => void | Promise<void>) | undefined
}

/** What `app.smsVerify` is. Each method rejects with a `SmsVerifyError`. */
export interface SmsVerify {
  /** Issues a code and queues its sending. Resolved means durable: the job was confirmed by the broker. */
  send(request: SendRequest, http?: FastifyRequest): Promise<SendResult>
  /** Checks a code. The one check that is right gives the proof. */
  verify(request: VerifyRequest): Promise<VerifyResult>
  /** What a proof stands for, once. With a purpose, only a proof for that purpose. */
  redeem(proof: string, options?: { purpose?: string | undefined }): Promise<Redeemed>
  status(id: string): Promise<StatusResult>
  /** Ends a live verification; its code is dead and its SMS is not sent any more. False if there was none. */
  cancel(id: string): Promise<boolean>
  /** Enables a number again that was disabled after too many failed checks, and clears its cooldown. */
  unlock(phone: string): Promise<void>
  /** Forgets everything about a number: verifications, proofs, limits, failure count. */
  erase(phone: string): Promise<void>
  /** Queues a job. Resolved means that the broker confirmed it as stored and routed. */
  publish(job: Job): Promise<void>
}

export interface VerificationOptions extends Hooks {
  store: VerificationStore
  publisher: Publisher
  secrets: Secrets
  budgets: Budgets
  policy: Policy
  phonePolicy: PhonePolicy
  schemas: Schemas
  purposes: readonly string[]
  codeLength: number
  logger: Logger
}

/** Seconds to wait that an answer names when a part is down. */
const RETRY_AFTER_OUTAGE = 5

/** Milliseconds that the `beforeSend` hook may take before the send is refused. */
const BEFORE_SEND_TIMEOUT = 5000

export function createVerification(options: VerificationOptions): SmsVerify {
  const { store, publisher, secrets, budgets, policy, phonePolicy, schemas, logger } = options

  return {
    async send(request, http) {
      if (!schemas.isSendRequest(request)) throw errors.invalidRequest()
      if (request.id !== undefined && !ID_PATTERN.test(request.id)) throw errors.gone()
      const phone = parsePhone(request.phone, phonePolicy)
      // Before anything is spent or stored: a send that cannot be queued now must leave no trace.
      if (!publisher.ready()) throw unavailable('RabbitMQ is not available')

      const trusted = (await allowed(request, phone, http)) || request.trusted === true
      const send = await issue(request, phone, trusted)
      await enqueue(send)
      logger.info(
        {
          event: 'send.accepted',
          id: send.id,
          version: send.version,
          phone: maskPhone(phone.e164),
        },
        'a code will be sent',
      )
      const { id, expiresIn, resendIn } = send
      return {
        id,
        expiresIn: secondsLeft(expiresIn),
        resendIn: secondsToWait(resendIn, 0),
        codeLength: options.codeLength,
      }
    },

    async verify(request) {
      if (!schemas.isVerifyRequest(request)) throw errors.invalidRequest()
      const { id, code } = request
      if (!ID_PATTERN.test(id)) throw errors.gone()

      // Taken before the code is looked at and given back if it was no wrong one: parallel guesses all count.
      const takes = budgets.ofCheck(budgets.ipMac(request.ip))
      const at = await spend(takes)
      const proof = secrets.newId(shardOf(id))
      const check = await ask(
        store.check(
          { id, macs: secrets.codeMacs(id, code), nonce: newNonce(), proof: tokenHash(proof) },
          policy,
        ),
      )
      if (check.verdict !== 'wrong') giveBack(takes, at)

      switch (check.verdict) {
        case 'verified': {
          const phone = openPhone(secrets, id, check.sealedPhone)
          const { purpose } = check
          const sentTo = { e164: phone, country: countryOf(phone) }
          for (const { at, ip } of check.spent) giveBack(budgets.ofSend(sentTo, ip), at)
          logger.info({ event: 'verify.ok', id, phone: maskPhone(phone) }, 'a number is verified')
          run('onVerified', options.onVerified, { id, phone, purpose })
          return { phone, purpose, proof }
        }
        case 'wrong': {
          const { checksLeft, disabledPhone } = check
          logger.info({ event: 'verify.wrong', id, checksLeft }, 'a wrong code')
          if (disabledPhone) {
            const phone = openPhone(secrets, id, disabledPhone)
            logger.warn(
              { event: 'number.disabled', id, phone: maskPhone(phone) },
              'too many wrong codes',
            )
            run('onDisabled', options.onDisabled, { phone })
          }
          throw errors.wrongCode({ checksLeft })
        }
        case 'gone':
          logger.info({ event: 'verify.gone', id }, 'a code for a verification that is over')
          throw errors.gone()
      }
    },

    async redeem(proof, { purpose = '' } = {}) {
      if (typeof proof !== 'string' || !ID_PATTERN.test(proof)) throw errors.gone()
      const redeemed = await ask(
        store.redeem({
          shard: shardOf(proof),
          proof: tokenHash(proof),
          purpose,
          nonce: newNonce(),
        }),
      )
      if (redeemed.verdict === 'gone') throw errors.gone()
      return {
        phone: openPhone(secrets, redeemed.id, redeemed.sealedPhone),
        purpose: redeemed.purpose,
        verifiedAt: new Date(redeemed.verifiedAt),
      }
    },

    async status(id) {
      if (typeof id !== 'string' || !ID_PATTERN.test(id)) throw errors.gone()
      const known = await ask(store.status(id, policy))
      if (known.verdict === 'gone') throw errors.gone()
      return {
        status: known.status,
        expiresIn: secondsLeft(known.expiresIn),
        resendIn: secondsToWait(known.resendIn, 0),
        checksLeft: known.checksLeft,
      }
    },

    async cancel(id) {
      if (typeof id !== 'string' || !ID_PATTERN.test(id)) return false
      return ask(store.cancel(id))
    },

    async unlock(phone) {
      await ask(store.unlock(pseudonym(phone)))
    },

    async erase(phone) {
      await ask(store.erase(pseudonym(phone)))
    },

    async publish(job) {
      if (!schemas.isJob(job)) throw errors.invalidRequest()
      if ((await publisher.publish(job)) !== 'done') throw unavailable('the job was not confirmed')
    },
  }

  /** Asks the host. True if it trusts the sender; throws if it refuses. */
  async function allowed(
    request: SendRequest,
    { e164, country }: Phone,
    http?: FastifyRequest,
  ): Promise<boolean> {
    if (!options.beforeSend) return false
    const { locale, ip, purpose = options.purposes[0] as string } = request
    const context = { phone: e164, country, purpose, locale, ip, request: http }
    let verdict: BeforeSendVerdict
    try {
      verdict = await inTime(options.beforeSend(context))
    } catch (error) {
      logger.error(
        { event: 'hook.failed', hook: 'beforeSend', err: error },
        'beforeSend failed, the send is refused',
      )
      throw errors.refused()
    }
    if (verdict === 'trusted') return true
    if (verdict === 'allow' || verdict === true) return false
    if (verdict !== 'refuse' && verdict !== false) {
      logger.error(
        { event: 'hook.failed', hook: 'beforeSend', verdict: typeof verdict },
        "beforeSend: expected 'allow', 'refuse', 'trusted' or a boolean, the send is refused",
      )
    }
    logger.info(
      { event: 'send.refused', reason: 'beforeSend', phone: maskPhone(e164) },
      'beforeSend refused',
    )
    throw errors.refused()
  }

  type Issued = Extract<IssueVerdict, { version: number }> & {
    id: string
    /** Pseudonym of the number. */
    phone: string
    takes: NamedBudget[]
    at: number
  }

  /** Spends the outer budgets, then issues the code. A refusal by either leaves both as they were. */
  async function issue(request: SendRequest, phone: Phone, trusted: boolean): Promise<Issued> {
    const phoneMac = secrets.phoneMac(phone.e164)
    const {
      idempotencyKey,
      locale,
      purpose = request.id ? '' : (options.purposes[0] as string),
    } = request
    const parts =
      idempotencyKey === undefined ? undefined : [purpose, request.id ?? '', idempotencyKey]
    const id = request.id ?? secrets.newId(phoneMac, parts)
    const code = newCode(options.codeLength)
    const ip = budgets.ipMac(request.ip)
    const takes = budgets.ofSend(phone, ip)
    const spent: SpendVerdict | undefined =
      takes.length > 0 ? await ask(store.spend(takes)) : undefined
    const at = spent?.verdict === 'spent' ? spent.at : 0
    if (spent?.verdict === 'spent') alert(takes, spent.reached)

    let issued: IssueVerdict
    try {
      issued = await ask(
        store.issue(
          {
            phone: phoneMac,
            id,
            resend: request.id !== undefined,
            key: parts ? secrets.subjectMac(parts.join('\n')) : '',
            // A budget that has run out does not keep a lost answer from being repeated.
            repeatOnly: spent?.verdict === 'wait',
            purpose,
            mac: secrets.codeMac(id, code),
            code: sealCode(secrets, id, {
              code,
              country: phone.country,
              ttl: policy.ttl / 1000,
              locale,
            }),
            sealedPhone: sealPhone(secrets, id, phone.e164),
            trusted,
            spent: at > 0 ? { at, ip } : null,
          },
          policy,
        ),
      )
    } catch (error) {
      giveBack(takes, at)
      throw error
    }
    if (issued.verdict !== 'issued') giveBack(takes, at)
    if (issued.verdict === 'issued' || issued.verdict === 'repeated') {
      return { ...issued, id, phone: phoneMac, takes, at }
    }

    const masked = maskPhone(phone.e164)
    const reason = spent?.verdict === 'wait' ? takes[spent.budget]?.name : issued.verdict
    logger.info({ event: 'send.refused', reason, phone: masked }, 'no code is sent')
    if (issued.verdict === 'gone') throw errors.gone()
    if (issued.verdict === 'disabled') throw errors.refused()
    const { wait } = spent?.verdict === 'wait' ? spent : issued
    throw errors.tooManyRequests({ retryAfter: secondsToWait(wait, 1) })
  }

  /** Queues the job of what was issued. What certainly was not queued is taken back; what may have been is kept. */
  async function enqueue({
    verdict,
    status,
    id,
    version,
    phone,
    takes,
    at,
  }: Issued): Promise<void> {
    // A repeated request whose job a consumer has already begun needs no second message.
    if (verdict === 'repeated' && status !== 'queued') return
    const result = await publisher.publish({ id, version })
    if (result === 'done') return
    logger.error({ event: `publish.${result}`, id, version }, 'the job was not confirmed')
    if (result === 'failed' && verdict === 'issued') {
      giveBack(takes, at)
      await ask(store.retract({ id, version, phone }))
    }
    throw unavailable(`publish ${result}`)
  }

  /** Spends, or throws when there is nothing left. Answers when, to give it back by. */
  async function spend(takes: NamedBudget[]): Promise<number> {
    if (takes.length === 0) return 0
    const spent = await ask(store.spend(takes))
    if (spent.verdict === 'spent') return spent.at
    logger.info({ event: 'limit.hit', limit: takes[spent.budget]?.name }, 'too many requests')
    throw errors.tooManyRequests({ retryAfter: secondsToWait(spent.wait, 1) })
  }

  /** Not waited for: the answer does not depend on it. */
  function giveBack(takes: NamedBudget[], at: number): void {
    if (takes.length === 0 || at === 0) return
    store.refund(takes, at).catch((error) => {
      logger.error({ event: 'store.failed', err: error }, 'a budget was not given back')
    })
  }

  function alert(
    takes: NamedBudget[],
    reached: { budget: number; used: number; share: number }[],
  ): void {
    for (const { budget, used, share } of reached) {
      const { name, subject, max, window } = takes[budget] as NamedBudget
      // Single addresses come and go; an operator acts on a prefix, a country or the whole.
      if (name === 'ip') continue
      const what: Alert = {
        kind: 'budget',
        budget: name,
        subject,
        used,
        max,
        window: window / 1000,
        share,
      }
      logger.warn({ event: 'budget.reached', ...what }, 'a budget is running out')
      run('onAlert', options.onAlert, what)
    }
  }

  /** Runs a hook on the side: it can neither delay nor change the answer. */
  function run<T>(
    name: string,
    hook: ((argument: T) => void | Promise<void>) | undefined,
    argument: T,
  ): void {
    if (!hook) return
    Promise.resolve(argument)
      .then(hook)
      .catch((error) =>
        logger.error({ event: 'hook.failed', hook: name, err: error }, `${name} failed`),
      )
  }

  /** The store's answer, or 503: when it cannot be asked, nothing is allowed and nothing is verified. */
  async function ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer
    } catch (error) {
      logger.error({ event: 'store.failed', err: error }, 'the store cannot be asked')
      throw unavailable(error)
    }
  }

  function pseudonym(phone: string): string {
    if (typeof phone !== 'string') throw errors.invalidPhone()
    return secrets.phoneMac(canonicalPhone(phone, phonePolicy.defaultCountry))
  }
}

const unavailable = (cause: unknown) =>
  errors.unavailable({ retryAfter: RETRY_AFTER_OUTAGE, cause })

const secondsLeft = (ms: number): number => Math.max(0, Math.floor(ms / 1000))

/** Rounded up: who waits that long is let in. */
const secondsToWait = (ms: number, least: number): number => Math.max(least, Math.ceil(ms / 1000))

async function inTime<T>(answer: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no verdict within ${BEFORE_SEND_TIMEOUT} ms`)),
      BEFORE_SEND_TIMEOUT,
    )
  })
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer))
}
