/**
 * The contract of the store: where all state lives, and where everything that must be atomic happens.
 *
 * Two implementations, one contract suite (test/store-contract.ts). All times are milliseconds on the store's own
 * clock, never on that of a web or worker process. Numbers, IP addresses and codes arrive here as MACs or sealed; the
 * store cannot read them, but for the id of the key that a sealed text begins with. Every operation but `spend`,
 * `refund`, `progress`, `reportHealth` and `takeTurn` may be run twice with the same arguments, as happens after a cut connection: the second run answers like the
 * first and changes nothing.
 */

/** At most `max`, which is 1 or more, in any stretch of `window` milliseconds. */
export interface Window {
  max: number
  window: number
}

/**
 * A limit on everything that shares `key`, counted together over numbers: on what was spent and not given back. It is `max`
 * units or, if that is more, `share` of the units that were verified in the window.
 */
export interface Budget extends Window {
  key: string
  /** What is taken: a whole number. */
  units: number
  /** 0 where only `max` counts. */
  share: number
  /**
   * Tells when fewer than `below` of the units in the window were verified, once there are `least`. The newest sixtieth of
   * the window does not count: there people are still typing.
   */
  conversion?: { below: number; least: number }
}

/** Budgets that an operation takes from along with what else it does, in one step with it: all of it happens or nothing. */
export interface Purse {
  budgets: Budget[]
  /** Nothing is refused for want of units; what had too few is only told. */
  soft: boolean
}

/** What has happened to a budget (by index) for the first time in its window. */
export interface Reached {
  budget: number
  /** What `share` is about: the budget that is used up to 80 % or 100 %, or the units of which so many were verified. */
  kind: 'used' | 'conversion'
  used: number
  max: number
  share: number
}

/** The rules that the operations go by. */
export interface Policy {
  /** How long a code lives. */
  ttl: number
  /** How many checks a verification has. */
  checks: number
  /** Wait after the 1st, 2nd … unverified send to a number; the last one repeats. */
  cooldown: readonly number[]
  /** Limits on sends to one number. */
  windows: readonly Window[]
  /** How many verifications of one number may be live at once. */
  live: number
  /** How long a proof can be redeemed. */
  proofTtl: number
  /** How long a verification that is over still has a status; at least `proofTtl`. */
  retention: number
  /** Consecutive failed checks of a number after which only `slowWindow` is left to senders who are not trusted. */
  slowAfter: number
  slowWindow: Window
  /** Consecutive failed checks of a number that disable it until `unlock`. */
  disableAfter: number
}

export type Status = 'queued' | 'sending' | 'sent' | 'delivered' | 'failed' | 'expired' | 'verified'

/**
 * Why nothing more is sent: the number cannot get it (`recipient`), gets too many (`rate`), or is taken for one of SMS
 * pumping (`blocked`); the `provider` could not send it; or it was too `late` to send it.
 */
export type FailureReason = 'recipient' | 'rate' | 'blocked' | 'provider' | 'late'

/** What was taken from budgets. */
export interface Taken {
  /** When, to give it back by. */
  at: number
  reached: Reached[]
  /** Budgets (by index) that had too little left, where that does not refuse. */
  over: number[]
}

export type SpendVerdict =
  | ({ verdict: 'spent' } & Taken)
  | { verdict: 'wait'; budget: number; wait: number }

/** A budget of the purse has too little left, for so long. Nothing else was done. */
export interface Exhausted {
  verdict: 'exhausted'
  budget: number
  wait: number
}

export interface IssueRequest {
  /** Pseudonym of the number. */
  phone: string
  id: string
  /** True for a new version inside the verification `id`; false for a new verification. */
  resend: boolean
  /** Pseudonym of the idempotency key, or ''. A request with the key of the latest version repeats that one. */
  key: string
  /** Say what would become of it, and issue nothing. */
  dryRun: boolean
  /** Nothing is to be sent: its status is `sent` from the start. */
  unsent?: boolean
  /** Issue although the cooldown or a window of the number says to wait. */
  soft?: boolean
  /** '' in a resend keeps the purpose. */
  purpose: string
  /** MAC of the code. */
  mac: string
  /** Sealed: what the consumer needs, the number too. No two requests have the same, so it marks this one. */
  code: string
  /** Sealed number. */
  sealedPhone: string
  /** Exempt from the slow window after many failed checks. */
  trusted: boolean
  /** What was taken for this send otherwise than from a purse; to be given back when the number is verified. */
  spent: { at: number; ip: string } | null
}

/** The budgets of a send. Only one that is issued takes from them. */
export interface SendPurse extends Purse {
  /** Pseudonym of the address, by which what was taken is given back. */
  ip: string
}

export type IssueVerdict =
  | (({ verdict: 'issued' } | { verdict: 'repeated' }) & {
      version: number
      status: Status
      /** `published` was called for this version. */
      published: boolean
      expiresIn: number
      resendIn: number
      /** From the purse. */
      taken?: Taken
    })
  /** Of a dry run: it would be issued. */
  | { verdict: 'free' }
  | { verdict: 'wait'; wait: number }
  | { verdict: 'gone' }
  | { verdict: 'disabled' }
  | Exhausted

/** It was sealed with a key that the asking process does not have; nothing was counted or consumed. */
export interface Foreign {
  verdict: 'foreign'
}

export interface CheckRequest {
  id: string
  /** MACs of the code under all secrets; one of them must match. */
  macs: string[]
  /** The keys that the process has. */
  keyIds: readonly string[]
  /** Marks this request: 8 characters, as `newNonce` makes them. */
  nonce: string
  /** Hash of the proof that a success gives. */
  proof: string
}

/** `over`: budgets of the purse that had too little left, where that does not refuse. */
export type CheckVerdict = { over?: number[] } & (
  | {
      verdict: 'verified'
      purpose: string
      sealedPhone: string
      /** What the sends of this verification spent. */
      spent: { at: number; ip: string }[]
      /** Who sent the code, where the consumers note it. */
      sentBy?: SentBy
    }
  | {
      verdict: 'wrong'
      checksLeft: number
      /** Set when this check disabled the number. */
      disabledPhone?: string
    }
  | { verdict: 'gone' }
  | Foreign
  | Exhausted
)

export interface ClaimRequest {
  id: string
  version: number
  attempt: number
  /** An attempt beyond it is made only where an operator has granted it: a job alone is nobody's word. */
  maxAttempt: number
  /** Marks the delivery that claims. */
  holder: string
  /** Nothing is sent with less than this left. */
  minRemaining: number
  /** How long the claim keeps others away. */
  lease: number
  /** Whether to send again when an earlier claim of this attempt ended without a result. */
  again: boolean
}

/** Who sent, or may have sent, the newest SMS of a verification. */
export interface SentBy {
  provider: string
  /** The vendor's id of the message, where it gave one. */
  messageId?: string
}

/**
 * `taken`: another claim on the version has come since, and what comes of the job is that one's to say. `gone`: there is a
 * newer version, or the store has forgotten this claim, so there is nothing to record.
 */
export type CompleteVerdict = 'recorded' | 'taken' | 'gone'

/** What `complete` recorded: settled, to be tried again by itself, or only when somebody asks for a further attempt. */
export type AttemptResult = 'sent' | 'retry' | 'failed' | 'unknown'

/** An attempt that was `held` was not made: it is free again. */
export type Completion = AttemptResult | 'held'

/** Who sent to the person last, in this version or the one before. */
export interface Previous {
  provider: string
  /** It may have sent this very version, and has not said so: nobody else may send it. */
  unsure: boolean
}

export type ClaimVerdict =
  | {
      verdict: 'send'
      purpose: string
      /** Sealed: what `issue` was given. */
      code: string
      expiresIn: number
      /** An earlier claim of this attempt ended without a result, so the SMS may be a second one. */
      again: boolean
      previous?: Previous
    }
  /** Nobody has said that it was sent, but a receipt or the person's code has: said once. */
  | { verdict: 'arrived' }
  /** This attempt has been made, or none is to be made any more: `result` says what came of it. */
  | { verdict: 'done'; result: AttemptResult }
  /** A later attempt has been claimed already: this message is a copy. */
  | { verdict: 'duplicate' }
  /** Another delivery holds this attempt. */
  | { verdict: 'busy'; wait: number }
  /** An earlier claim ended without a result and must not be repeated. */
  | { verdict: 'unanswered' }
  /** Too little is left. A code that an earlier attempt may have delivered goes on verifying. */
  | { verdict: 'expired' }
  | { verdict: 'superseded' }
  | { verdict: 'unknown' }

/** What would become of an attempt; `free` if it would be sent. */
export type OutlookVerdict =
  | { verdict: 'free'; expiresIn: number }
  | Exclude<ClaimVerdict, { verdict: 'send' | 'unanswered' | 'arrived' }>

export interface CompleteRequest {
  id: string
  version: number
  attempt: number
  holder: string
  result: Completion
  /** With `failed`, for the status. */
  reason?: FailureReason | undefined
  /** Who sent it, or may have; to be known at the next attempt, and when the code is entered. */
  sentBy?: SentBy | undefined
  /** `sentBy` may have sent it, and has not said so. */
  unsure?: boolean | undefined
}

/** The SMS that a vendor's message id, or our own key that it gives back, stands for. */
export interface SentMessage {
  id: string
  version: number
  attempt: number
  country: string
  provider: string
}

/** What a vendor says became of an SMS. */
export interface MessageState {
  state: 'delivered' | 'failed'
  /** With `failed`. */
  reason?: FailureReason | undefined
}

export interface NotedReceipt {
  /** What was sent by that name, if that is known by now. */
  sent?: SentMessage
  /** The one that holds: the first. */
  state: MessageState
  /** There was one before. */
  repeated: boolean
}

/** How many milliseconds a receipt and its SMS wait for each other, and one that is known is kept to know repeats. */
export const RECEIPTS = { keepUnknown: 600_000, keep: 3_600_000 }

/** `stale`: the verification is over, has a newer code or attempt, or never was. `repeated`: a final state was there before. */
export type ReceiveVerdict = 'recorded' | 'repeated' | 'stale'

/** What speaks for or against a provider: how its calls end, what its receipts say, how many of its codes are entered. */
export type HealthSignal = 'calls' | 'receipts' | 'codes'

export interface HealthReport {
  provider: string
  country: string
  /** `account`: the vendor refuses all we send, so that it is not to be asked for now. */
  signal: HealthSignal | 'account'
  good: number
  bad: number
}

/** When a provider is not asked first any more, for each signal. Times are milliseconds. */
export type HealthRules = Record<HealthSignal, HealthRule> & { account: { pause: number } }

export interface HealthRule {
  /** Counted in a stretch of this length. */
  window: number
  /** Nothing is concluded from fewer. */
  least: number
  /** From this share of bad ones on. */
  share: number
  /** The newest part of the window, in which people are still typing. */
  unsettled: number
  /** How long it is not asked; then one message tries. */
  pause: number
}

/** A provider that is not asked first in a country. */
export interface OpenBreaker {
  provider: string
  country: string
  cause: HealthReport['signal']
  /** Milliseconds until one message may try; 0 when it may. */
  wait: number
}

export interface HealthVerdict {
  open: OpenBreaker[]
  /** What these reports have opened, or closed: then without a cause. */
  changed: { provider: string; country: string; cause?: HealthReport['signal'] }[]
}

export interface RedeemRequest {
  /** The shard that the proof begins with. */
  shard: string
  /** Hash of the proof. */
  proof: string
  /** '' accepts any. */
  purpose: string
  /** The keys that the process has. */
  keyIds: readonly string[]
  /** Marks this request. */
  nonce: string
}

export type RedeemVerdict =
  | { verdict: 'redeemed'; id: string; purpose: string; sealedPhone: string; verifiedAt: number }
  | { verdict: 'gone' }
  | Foreign

export type StatusVerdict =
  | {
      verdict: 'known'
      status: Status
      /** With `failed`; and with `expired` where it is known. */
      reason?: FailureReason
      expiresIn: number
      resendIn: number
      checksLeft: number
    }
  | { verdict: 'gone' }

/** What both halves need for receipts and for the health of providers. */
export interface ProviderStore {
  /**
   * Notes what a vendor says became of an SMS. A name is that of the provider with a message id, or with a key.
   */
  noteReceipt(name: string, receipt: MessageState): Promise<NotedReceipt>
  /** Moves the verification to that state. */
  receive(sent: SentMessage, state: MessageState): Promise<ReceiveVerdict>
  /** Counts for the consumers of a queue, concludes, and answers who is not to be asked first. Run twice, it counts twice. */
  reportHealth(queue: string, reports: HealthReport[], rules: HealthRules): Promise<HealthVerdict>
}

/** What the web half needs. */
export interface VerificationStore extends ProviderStore {
  /** Takes from each budget, or from none when one of them has too little left, unless `soft`. Run twice, it takes twice. */
  spend(budgets: Budget[], soft?: boolean): Promise<SpendVerdict>
  /**
   * Gives back to each budget what was taken at that time, and notes it as verified or not. Not safe to run twice: too much
   * may come back, never too little.
   */
  refund(budgets: Budget[], at: number, verified?: boolean): Promise<void>
  /** What was verified of the budgets' units, and what was not, in their windows until now. */
  usage(
    budgets: Budget[],
  ): Promise<{ at: number; budgets: { verified: number; unverified: number }[] }>
  /** Whether the token is used for the first time, and before `until`. Later calls of one `nonce` answer like its first. */
  useOnce(use: { phone: string; token: string; until: number; nonce: string }): Promise<boolean>
  /** How many deliveries of a queue the consumers have settled, with `more` added; from 0 again after an idle hour. */
  progress(queue: string, more: number): Promise<number>
  /** Cooldown, limits per number, idempotency, live verifications, budgets; then the new code. A refusal consumes nothing. */
  issue(request: IssueRequest, policy: Policy, purse?: SendPurse): Promise<IssueVerdict>
  /** Notes that the version's job is in the queue for certain, so that a repeat need not queue it again. */
  published(version: { id: string; version: number }): Promise<void>
  /** Takes back a version that certainly could not be queued, unless a repeat has queued it meanwhile, and gives back what it consumed of the number's limits. */
  retract(version: { id: string; version: number; phone: string }): Promise<void>
  /**
   * Counts the check, then compares. One success; it clears the failure count and writes the proof. Checks are made only
   * while the budgets of the purse have room: a wrong code takes from them, and a right one is noted as verified.
   */
  check(request: CheckRequest, policy: Policy, purse?: Purse): Promise<CheckVerdict>
  /** Hands out what a proof stands for, once. */
  redeem(request: RedeemRequest): Promise<RedeemVerdict>
  status(id: string, policy: Policy): Promise<StatusVerdict>
  /** Ends a live verification. False if there was none; true again for one that this has ended. */
  cancel(id: string): Promise<boolean>
  /** Clears the failure count and the cooldown of a number. */
  unlock(phone: string): Promise<void>
  /** Forgets a number: its verifications, proofs, limits and failure count. */
  erase(phone: string): Promise<void>
}

/** What the worker half needs. */
export interface DeliveryStore extends ProviderStore {
  /** Whether this attempt may be made now, and if so what is to be sent. */
  claim(request: ClaimRequest): Promise<ClaimVerdict>
  /** Records what came of a claimed attempt. */
  complete(request: CompleteRequest): Promise<CompleteVerdict>
  /** Notes what was sent by that name, for receipts; answers the state of one that came before. */
  noteSent(name: string, sent: SentMessage): Promise<MessageState | undefined>
  /** Whether this message may try a provider that is open but whose pause is over: one may in each `lease`. */
  probe(breaker: {
    queue: string
    provider: string
    country: string
    lease: number
  }): Promise<boolean>
  /**
   * Takes a place in the line of a provider that is asked at most `rate` times a second, and answers how many milliseconds there are
   * until its turn; takes none where that is more than `longest`.
   */
  takeTurn(line: {
    queue: string
    provider: string
    rate: number
    longest: number
  }): Promise<number>
  /** As above. Run twice, it adds twice. */
  progress(queue: string, more: number): Promise<number>
}

/** What an operator needs; only where there is a broker with dead letters in it. */
export interface OutlookStore {
  /** What `claim` would say, where it may send again. Changes nothing, but for granting the attempt if that is asked for. */
  outlook(
    request: Pick<ClaimRequest, 'id' | 'version' | 'attempt' | 'minRemaining'> & { grant: boolean },
  ): Promise<OutlookVerdict>
}

export interface Store extends VerificationStore, DeliveryStore {
  /** Whether operations can succeed now. */
  ready(): boolean
  /** Closes what the store itself opened. */
  close(): Promise<void>
}
