/**
 * The web half's rules: from a request to send a code to the proof that it arrived. No HTTP, no Redis, no AMQP here.
 */
import type { FastifyRequest } from 'fastify'
import type { Backlog } from './backlog.ts'
import type { Budgets, Conversion } from './budgets.ts'
import type { Challenge } from './challenge.ts'
import * as errors from './errors.ts'
import type { SafeHooks } from './hooks.ts'
import { secondsLeft, secondsToWait } from './limits.ts'
import type { Logger } from './log.ts'
import { maskPhone } from './mask.ts'
import { canonicalPhone, countryOf, type PhonePolicy } from './phone.ts'
import { COUNTRIES } from './providers/countries.ts'
import type { Job, Publisher } from './queue/queue.ts'
import type { ReceiptDesk } from './receipts/desk.ts'
import type { Schemas } from './schemas.ts'
import { openPhone } from './sealed.ts'
import { ID_PATTERN, newNonce, type Secrets, shardOf, tokenHash } from './secrets.ts'
import { createSend } from './send.ts'
import type { FailureReason, Policy, Status, VerificationStore } from './store/store.ts'
import type { TestCode } from './test-numbers.ts'
import type { Turn } from './turns.ts'
import { PURPOSE_PATTERN } from './validate.ts'

export interface SendRequest {
  /** In E.164, or as written in `defaultCountry` if that is set. */
  phone: string
  /** One of `purposes`. @default the first of them; in a resend, that of the verification */
  purpose?: string | undefined
  /** BCP 47 tag of the person's language, or of several, best first. */
  locale?: string | string[] | undefined
  /** Resend inside this verification: new code, the old one is dead at once, the checks are kept. */
  id?: string | undefined
  /** Address of the person, for the limits by IP. Without it they do not apply. */
  ip?: string | undefined
  /** Repeats of a request with the same key get the answer of the first one, and send nothing more. */
  idempotencyKey?: string | undefined
  /** Of the challenge that an earlier answer has asked for: `PUZZLE.COUNTER`. */
  solution?: string | undefined
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
  /** Why it was not sent: with `failed`, and with `expired` where it is known. */
  reason?: FailureReason
}

/**
 * What `app.smsVerify` is. Each method rejects with a `SmsVerifyError`. Where there is a request, hand it on as `http`:
 * log lines then carry its id, and `beforeSend` can look at it.
 */
export interface SmsVerify {
  /** Issues a code and queues its sending. Resolved means durable: the job was confirmed by the broker. */
  send(request: SendRequest, http?: FastifyRequest): Promise<SendResult>
  /** Checks a code. The one check that is right gives the proof. */
  verify(request: VerifyRequest, http?: FastifyRequest): Promise<VerifyResult>
  /** What a proof stands for, once. With a purpose, only a proof for that purpose. */
  redeem(proof: string, options?: { purpose?: string | undefined }): Promise<Redeemed>
  status(id: string): Promise<StatusResult>
  /** Ends a live verification; its code is dead and its SMS is not sent any more. False if there was none. */
  cancel(id: string): Promise<boolean>
  /** Enables a number again that was disabled after too many failed checks, and clears its cooldown. */
  unlock(phone: string): Promise<void>
  /** Forgets everything about a number: verifications, proofs, limits, failure count. */
  erase(phone: string): Promise<void>
  /**
   * How many codes were sent and how many of them entered in the last 24 hours: to a country, or to the numbers that differ
   * from the given one in the last four digits only.
   */
  conversion(countryOrPhone: string): Promise<Conversion>
  /** Queues a job. Resolved means that the broker confirmed it as stored and routed. */
  publish(job: Job): Promise<void>
}

export interface VerificationParts {
  store: VerificationStore
  publisher: Publisher
  secrets: Secrets
  budgets: Budgets
  backlog: Backlog
  challenge: Challenge
  hooks: SafeHooks
  /** Told who had sent a code that was entered. */
  receipts: Pick<ReceiptDesk, 'entered'>
  policy: Policy
  phonePolicy: PhonePolicy
  testCode: TestCode
  schemas: Schemas
  /** Sends and checks wait for theirs. */
  turn: Turn
  /** What numbers may be proved for; the first is the default. */
  purposes: readonly string[]
  codeLength: number
  /** Limits only tell what they would have refused. */
  shadow: boolean
  logger: Logger
}

const FOREIGN = 'sealed with a secret that is not in the list of this process'

const isPurpose = (name: unknown): boolean => typeof name === 'string' && PURPOSE_PATTERN.test(name)

export function createVerification(parts: VerificationParts): SmsVerify {
  const { store, publisher, secrets, budgets, hooks, receipts } = parts
  const { policy, phonePolicy, schemas, turn, logger } = parts

  return {
    send: createSend(parts),

    async verify(given, http) {
      // As it is now, as in a send.
      const request = { ...given }
      await turn()
      const log = http?.log ?? logger
      const about: { id?: string } = {}
      try {
        return await verify(request, log, about)
      } catch (error) {
        errors.tellFailure('verify', error, about, log)
        throw error
      }
    },

    async redeem(proof, { purpose } = {}) {
      if (typeof proof !== 'string' || !ID_PATTERN.test(proof)) throw errors.gone()
      // A host may hand on what it was sent. What cannot be the name of a purpose is none that was proved for, and not any of them.
      if (purpose !== undefined && !isPurpose(purpose)) throw errors.gone()
      const hash = tokenHash(proof)
      const redeemed = await store.redeem({
        shard: shardOf(proof),
        proof: hash,
        purpose: purpose ?? '',
        keyIds: secrets.keyIds,
        nonce: newNonce(),
      })
      if (redeemed.verdict === 'gone') throw errors.gone()
      if (redeemed.verdict === 'foreign') {
        logger.error({ event: 'redeem.foreign' }, FOREIGN)
        throw errors.unavailable(FOREIGN)
      }
      return {
        phone: openPhone(secrets, redeemed.id, redeemed.sealedPhone),
        purpose: redeemed.purpose,
        verifiedAt: new Date(redeemed.verifiedAt),
      }
    },

    async status(id) {
      if (typeof id !== 'string' || !ID_PATTERN.test(id)) throw errors.gone()
      const status = await askStatus(store, id, policy)
      if (status === 'gone') throw errors.gone()
      return status
    },

    async cancel(id) {
      return typeof id === 'string' && ID_PATTERN.test(id) && store.cancel(id)
    },
    unlock: async (phone) => store.unlock(pseudonym(phone)),
    erase: async (phone) => store.erase(pseudonym(phone)),

    async conversion(of) {
      if (typeof of === 'string' && COUNTRIES.includes(of)) return budgets.conversion(of)
      const e164 = canonical(of)
      return budgets.conversion({ e164, country: countryOf(e164) })
    },

    async publish(job) {
      if (!schemas.isJob(job)) throw errors.invalidRequest()
      const result = await publisher.publish(job)
      if (result !== 'done') throw errors.unavailable(`publish: ${result}`)
    },
  }

  /** Notes in `about` what the log may say if it fails. */
  async function verify(
    request: VerifyRequest,
    log: Logger,
    about: { id?: string },
  ): Promise<VerifyResult> {
    if (!schemas.isVerifyRequest(request)) throw errors.invalidRequest()
    const { id, code, ip } = request
    if (!ID_PATTERN.test(id)) throw errors.gone()
    about.id = id

    const proof = secrets.newId(shardOf(id))
    const attempt = {
      id,
      macs: secrets.codeMacs(id, code),
      keyIds: secrets.keyIds,
      nonce: newNonce(),
      proof: tokenHash(proof),
    }
    const purse = budgets.ofCheck(ip)
    const check = await store.check(attempt, policy, purse)
    if (check.over) budgets.tell(purse, { over: check.over })
    switch (check.verdict) {
      case 'exhausted': {
        const retryAfter = secondsToWait(check.wait, 1)
        throw errors.tooManyRequests({ retryAfter, cause: budgets.nameOf(purse, check.budget) })
      }
      case 'verified': {
        const phone = openPhone(secrets, id, check.sealedPhone)
        const { purpose, sentBy } = check
        const country = countryOf(phone)
        budgets.giveBackSends({ e164: phone, country }, check.spent)
        if (sentBy) receipts.entered(sentBy, country)
        log.info({ event: 'verify.ok', id, phone: maskPhone(phone) }, 'a number is verified')
        hooks.onVerified({ id, phone, purpose })
        return { phone, purpose, proof }
      }
      case 'wrong': {
        const { checksLeft, disabledPhone } = check
        if (disabledPhone) {
          const phone = openPhone(secrets, id, disabledPhone)
          const about = { event: 'number.disabled', id, phone: maskPhone(phone) }
          log.warn(about, 'too many wrong codes in a row')
          hooks.onDisabled({ phone })
        }
        throw errors.wrongCode({ checksLeft })
      }
      case 'gone':
        throw errors.gone()
      case 'foreign':
        throw errors.unavailable(FOREIGN)
    }
  }

  function pseudonym(phone: string): string {
    return secrets.phoneMac(canonical(phone))
  }

  function canonical(phone: string): string {
    if (typeof phone !== 'string') throw errors.invalidPhone()
    return canonicalPhone(phone, phonePolicy.defaultCountry)
  }
}

/** How a verification stands, in seconds, or that it is over or never was. Rejects when the store cannot be asked. */
export async function askStatus(
  store: Pick<VerificationStore, 'status'>,
  id: string,
  policy: Policy,
): Promise<StatusResult | 'gone'> {
  const known = await store.status(id, policy)
  if (known.verdict === 'gone') return 'gone'
  const { status, checksLeft, reason } = known
  return {
    status,
    expiresIn: secondsLeft(known.expiresIn),
    resendIn: secondsToWait(known.resendIn),
    checksLeft,
    ...(reason && { reason }),
  }
}
