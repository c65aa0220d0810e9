/** The web half's rules for one send: who may have a code, the code, and the job that sends it. */
import type { FastifyRequest } from 'fastify'
import * as errors from './errors.ts'
import type { SafeHooks } from './hooks.ts'
import { secondsLeft, secondsToWait } from './limits.ts'
import type { Logger } from './log.ts'
import { maskPhone } from './mask.ts'
import { type Phone, parsePhone } from './phone.ts'
import { sealCode, sealPhone } from './sealed.ts'
import { ID_PATTERN, newCode } from './secrets.ts'
import type { IssueVerdict, SendPurse } from './store/store.ts'
import type { SendRequest, SendResult, SmsVerify, VerificationParts } from './verification.ts'

/** What was issued, with what it takes to take it back. */
type Issued = Extract<IssueVerdict, { version: number }> & {
  id: string
  /** Pseudonym of the number. */
  phone: string
  /** Whether a request can repeat this one. */
  repeatable: boolean
  /** What it took from. */
  purse?: SendPurse | undefined
}

type HostVerdict = Awaited<ReturnType<SafeHooks['beforeSend']>>

export function createSend(parts: VerificationParts): SmsVerify['send'] {
  const {
    challenge,
    store,
    publisher,
    backlog,
    secrets,
    budgets,
    hooks,
    policy,
    phonePolicy,
    schemas,
    turn,
    logger,
  } = parts
  const [defaultPurpose = ''] = parts.purposes
  const testPolicy = { ...policy, live: TEST_LIVE }

  return async function send(given, http) {
    // As it is now: whoever has asked may go on to use the object for the next one.
    const request = { ...given }
    await turn()
    const log = http?.log ?? logger
    const about: { phone?: string } = {}
    try {
      return await attempt(request, http, log, about)
    } catch (error) {
      errors.tellFailure('send', error, about, log)
      throw error
    }
  }

  /** Notes in `about` what the log may say if it fails. */
  async function attempt(
    request: SendRequest,
    http: FastifyRequest | undefined,
    log: Logger,
    about: { phone?: string },
  ): Promise<SendResult> {
    if (!schemas.isSendRequest(request)) throw errors.invalidRequest()
    if (request.id !== undefined && !ID_PATTERN.test(request.id)) throw errors.gone()
    const phone = parsePhone(request.phone, phonePolicy)
    about.phone = maskPhone(phone.e164)
    // Before anything is spent or stored: a send that cannot be queued now must leave no trace.
    if (!publisher.ready()) throw errors.unavailable('RabbitMQ takes no jobs')
    if (backlog.tooLong()) throw errors.unavailable('the consumers are too far behind')

    const verdict = await ask(request, phone, http)
    const issued = await issue(request, phone, verdict, log)
    await enqueue(issued, log)
    const { id, version, expiresIn, resendIn } = issued
    const repeated = issued.verdict === 'repeated' || undefined
    log.info({ event: 'send.accepted', id, version, repeated, ...about }, 'a code is on its way')
    return {
      id,
      expiresIn: secondsLeft(expiresIn),
      resendIn: secondsToWait(resendIn),
      codeLength: parts.codeLength,
    }
  }

  function ask(request: SendRequest, phone: Phone, http?: FastifyRequest): Promise<HostVerdict> {
    const { id, purpose = id ? undefined : defaultPurpose, ip } = request
    const [locale] = localesOf(request)
    const { e164, country } = phone
    return hooks.beforeSend({ phone: e164, country, purpose, id, locale, ip, request: http })
  }

  /** Issues the code, and takes from the outer budgets in the same step: what is refused holds a unit for no moment. */
  async function issue(
    request: SendRequest,
    phone: Phone,
    host: HostVerdict,
    log: Logger,
  ): Promise<Issued> {
    const identity = identify(request, phone)
    const { id } = identity
    const testCode = parts.testCode(phone.e164)
    const code = testCode ?? newCode(parts.codeLength)
    const { e164, country } = phone
    const about = { phone: e164, country, ttl: policy.ttl / 1000, locales: localesOf(request) }
    const wanted = {
      resend: request.id !== undefined,
      mac: secrets.codeMac(id, code),
      code: sealCode(secrets, id, { code, ...about }),
      sealedPhone: sealPhone(secrets, id, e164),
      trusted: host === 'trusted' || request.trusted === true,
      dryRun: false,
      spent: null,
      soft: false,
      // Last: to go on from a spread, V8 11 (Node 20) makes a hidden class for each object, and all that reads it is slow.
      ...identity,
    }
    if (testCode !== undefined) {
      const exempt = { ...wanted, trusted: true, soft: true, unsent: true }
      return accept(await store.issue(exempt, testPolicy))
    }
    const { ip, solution } = request
    const demanded = host === 'challenge'
    const mayBePosed = challenge.isPossible({ demanded })
    let soft = false
    if (mayBePosed || parts.shadow) {
      const outlook = await store.issue({ ...wanted, dryRun: true }, policy)
      soft = parts.shadow && outlook.verdict === 'wait'
      if (soft) log.info({ event: 'limit.shadow', limit: 'phone', id }, 'would be refused')
      else if (outlook.verdict !== 'free') return accept(outlook)
    }
    const puzzle = mayBePosed ? await challenge.ask({ phone, ip, solution, demanded }) : undefined
    if (puzzle) throw errors.challengeRequired({ challenge: puzzle })
    const purse = budgets.ofSend(phone, ip)
    const verdict = await store.issue({ ...wanted, soft }, policy, purse)
    if (verdict.verdict === 'exhausted') {
      throw waiting(verdict.wait, budgets.nameOf(purse, verdict.budget))
    }
    if (verdict.verdict === 'issued' && verdict.taken) budgets.tell(purse, verdict.taken)
    return accept(verdict, purse)

    function accept(verdict: IssueVerdict, purse?: SendPurse): Issued {
      switch (verdict.verdict) {
        case 'issued':
        case 'repeated':
          return { id, phone: identity.phone, repeatable: identity.key !== '', purse, ...verdict }
        case 'gone':
          throw errors.gone()
        case 'disabled':
          throw errors.refused({ cause: 'disabled' })
        default:
          throw waiting(verdict.verdict === 'wait' ? verdict.wait : 0, 'phone')
      }
    }
  }

  /** Which verification it is about. With an idempotency key the id follows from the key, so a repeat finds it. */
  function identify(request: SendRequest, phone: Phone) {
    const mac = secrets.phoneMac(phone.e164)
    const { id, idempotencyKey, purpose = id ? '' : defaultPurpose } = request
    if (idempotencyKey === undefined)
      return { phone: mac, purpose, key: '', id: id ?? secrets.newId(mac) }
    const from = [purpose, id ?? '', idempotencyKey]
    const key = secrets.subjectMac(from.join('\n'))
    return { phone: mac, purpose, key, id: id ?? secrets.newId(mac, from) }
  }

  /** Queues the job. What certainly was not queued is taken back; what may have been stays, and can be repeated. */
  async function enqueue(
    { verdict, status, published, id, version, phone, repeatable, purse, taken }: Issued,
    log: Logger,
  ): Promise<void> {
    // Nothing to send, a job that a consumer has already begun, or one that is queued for certain.
    if (status !== 'queued' || (verdict === 'repeated' && published)) return
    const result = await publisher.publish({ id, version })
    if (result !== 'failed') backlog.add()
    if (result === 'done') {
      // Without the note a further repeat queues a copy, which sends nothing; so the first request does not wait for it. A
      // repeat does: the first request, still on its way, must not take back what this one has queued.
      const noted = repeatable ? store.published({ id, version }).catch(() => {}) : undefined
      if (verdict === 'repeated') await noted
      return
    }
    log.error({ event: `publish.${result}`, id, version }, 'the job was not confirmed')
    if (result === 'failed' && verdict === 'issued') {
      if (purse && taken) budgets.giveBack(purse, taken.at)
      await store.retract({ id, version, phone })
    }
    throw errors.unavailable(`publish: ${result}`)
  }
}

/** Verifications of a test number that may be live at once: enough for tests side by side, and no way to fill Redis. */
const TEST_LIVE = 20

const localesOf = ({ locale = [] }: SendRequest): string[] => [locale].flat()

const waiting = (ms: number, cause: string) =>
  errors.tooManyRequests({ retryAfter: secondsToWait(ms, 1), cause })
