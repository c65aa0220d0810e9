/** The web half's rules for one send: who may have a code, the code, and the job that sends it. */
import type { FastifyRequest } from 'fastify'
import { isExhausted, type Spending, UNSPENT } from './budgets.ts'
import * as errors from './errors.ts'
import type { SafeHooks } from './hooks.ts'
import { secondsLeft, secondsToWait } from './limits.ts'
import type { Logger } from './log.ts'
import { maskPhone, type Phone, parsePhone } from './phone.ts'
import { sealCode, sealPhone } from './sealed.ts'
import { ID_PATTERN, newCode } from './secrets.ts'
import type { IssueVerdict } from './store/store.ts'
import type { SendRequest, SmsVerify, VerificationParts } from './verification.ts'

/** What was issued, with what it takes to take it back. */
type Issued = Extract<IssueVerdict, { version: number }> & {
  id: string
  /** Pseudonym of the number. */
  phone: string
  /** Whether a request can repeat this one. */
  repeatable: boolean
  spent: Spending
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
    logger,
  } = parts
  const [defaultPurpose = ''] = parts.purposes

  return async function send(request, http) {
    const log = http?.log ?? logger
    if (!schemas.isSendRequest(request)) throw errors.invalidRequest()
    if (request.id !== undefined && !ID_PATTERN.test(request.id)) throw errors.gone()
    const phone = parsePhone(request.phone, phonePolicy)
    // Before anything is spent or stored: a send that cannot be queued now must leave no trace.
    if (!publisher.ready()) throw errors.unavailable('RabbitMQ takes no jobs')
    if (backlog.tooLong()) throw errors.unavailable('the consumers are too far behind')

    const verdict = await ask(request, phone, http)
    const issued = await issue(request, phone, verdict, log)
    await enqueue(issued, log)
    const { id, version, expiresIn, resendIn } = issued
    const about = { event: 'send.accepted', id, version, phone: maskPhone(phone.e164) }
    log.info(about, 'a code is on its way')
    return {
      id,
      expiresIn: secondsLeft(expiresIn),
      resendIn: secondsToWait(resendIn),
      codeLength: parts.codeLength,
    }
  }

  function ask(request: SendRequest, phone: Phone, http?: FastifyRequest): Promise<HostVerdict> {
    const { id, purpose = id ? undefined : defaultPurpose, locale, ip } = request
    const { e164, country } = phone
    return hooks.beforeSend({ phone: e164, country, purpose, id, locale, ip, request: http })
  }

  /**
   * Asks what the number's own limits say, spends the outer budgets, then issues the code. Asked first, since a send that
   * is refused anyway must not hold a unit of a budget for even a moment: a flood of them would keep others out.
   */
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
    const sealed = { code, country: phone.country, ttl: policy.ttl / 1000, locale: request.locale }
    const wanted = {
      ...identity,
      resend: request.id !== undefined,
      mac: secrets.codeMac(id, code),
      code: sealCode(secrets, id, sealed),
      sealedPhone: sealPhone(secrets, id, phone.e164),
      trusted: host === 'trusted' || request.trusted === true,
    }
    if (testCode !== undefined) {
      const exempt = { trusted: true, soft: true, unsent: true, dryRun: false, spent: null }
      return accept(await store.issue({ ...wanted, ...exempt }, { ...policy, live: ANY }), UNSPENT)
    }
    const outlook = await store.issue({ ...wanted, dryRun: true, spent: null }, policy)
    const soft = parts.shadow && outlook.verdict === 'wait'
    if (soft) log.info({ event: 'limit.shadow', limit: 'phone', id }, 'would be refused')
    else if (outlook.verdict !== 'free') return accept(outlook, UNSPENT)

    const { ip: address, solution } = request
    const demanded = host === 'challenge'
    const puzzle = await challenge({ phone, ip: address, solution, demanded })
    if (puzzle) throw refuse('challenge', errors.challengeRequired({ challenge: puzzle }))
    const spent = await budgets.spendSend(phone, address)
    if (isExhausted(spent)) throw refuse(spent.budget, waiting(spent.wait))
    const { at, ip } = spent
    const verdict = await store
      .issue({ ...wanted, dryRun: false, soft, spent: at === 0 ? null : { at, ip } }, policy)
      .catch((error) => {
        spent.giveBack()
        throw error
      })
    if (verdict.verdict !== 'issued') spent.giveBack()
    return accept(verdict, spent)

    function accept(verdict: IssueVerdict, spent: Spending): Issued {
      switch (verdict.verdict) {
        case 'issued':
        case 'repeated':
          return { ...verdict, id, phone: identity.phone, repeatable: identity.key !== '', spent }
        case 'gone':
          throw refuse('gone', errors.gone())
        case 'disabled':
          throw refuse('disabled', errors.refused())
        default:
          throw refuse('wait', waiting(verdict.verdict === 'wait' ? verdict.wait : 0))
      }
    }

    function refuse(reason: string, error: errors.SmsVerifyError): errors.SmsVerifyError {
      const about = { event: 'send.refused', reason, phone: maskPhone(phone.e164) }
      log.info(about, 'no code is sent')
      return error
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
    { verdict, status, published, id, version, phone, repeatable, spent }: Issued,
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
      spent.giveBack()
      await store.retract({ id, version, phone })
    }
    throw errors.unavailable(`publish: ${result}`)
  }
}

/** Verifications of a test number that may be live at once. */
const ANY = 1e6

const waiting = (ms: number) => errors.tooManyRequests({ retryAfter: secondsToWait(ms, 1) })
