/** Twilio Programmable Messaging: free text, or a Content template, to most countries. */
import { checkOption } from './http.ts'
import type { ByLocale } from './locales.ts'
import { checkName, type NameOption } from './name.ts'
import type { Outcome, SmsMessage, SmsProvider } from './provider.ts'
import { checkTemplate, checkVariables, fillIn } from './template.ts'
import {
  checkCallbackUrl,
  isMessageSid,
  sidShape,
  type TwilioAccount,
  twilioApi,
} from './twilio-api.ts'
import { outcomeOfError } from './twilio-codes.ts'

export interface TwilioOptions extends TwilioAccount, NameOption {
  /** The sender: a number of the account, a short code or a sender name. Give either this or `messagingServiceSid`. */
  from?: string | undefined
  /** The Messaging Service that picks the sender, `MG` and 32 hex digits. */
  messagingServiceSid?: string | undefined
  /**
   * The Content template to send instead of the text, `HX` and 32 hex digits. Or several by locale, or by locale and purpose,
   * such as `{ de: { login: 'HX…', default: 'HX…' }, en: 'HX…' }`; whose language is not among them gets `en`.
   */
  contentSid?: string | ByLocale | undefined
  /**
   * What the template's variables become, by their names: `{ 1: '{code}', 2: '{minutes}' }` where the template says
   * "{{1}} is your code, valid for {{2}} minutes".
   * @default { 1: '{code}' }, as templates of the type whatsapp/authentication have it, whose single variable is the code:
   * https://www.twilio.com/docs/content/whatsappauthentication
   */
  contentVariables?: Record<string, string> | undefined
  /**
   * The public URL that Twilio calls when the status of the message changes: the same as `url` of `twilioReceipts`. It goes
   * before one set at the Messaging Service.
   * @default none
   */
  statusCallback?: string | undefined
  /**
   * Announces that Twilio will be told when a code was entered, from which it learns what arrives:
   * https://www.twilio.com/docs/messaging/guides/send-message-feedback-to-twilio. `feedback` of `twilioReceipts` does the
   * telling; without it all messages stay unconfirmed.
   * @default false
   */
  feedback?: boolean | undefined
}

/**
 * Sends with Twilio's Messages resource. It is not idempotent: Twilio has no key that would let it drop a repeated request.
 * Throws a TypeError that names the option when one is missing, malformed or one too many.
 */
export function twilioProvider(options: TwilioOptions): SmsProvider {
  const call = twilioApi('twilioProvider', options)
  const name = checkName('twilioProvider', 'twilio', options.name)
  const sender = checkSender(options)
  const content = checkContent(options)
  const tracking = checkTracking(options)

  return {
    name,
    idempotent: false,
    ...(options.contentSid !== undefined && { text: 'template' }),
    async send(message, { signal }) {
      const form = {
        ...sender,
        To: message.phone,
        ...content(message),
        ...tracking,
        // An SMS that waits longer in Twilio's queue than the code lives is of no use. 1 to 36000 s are accepted.
        ValidityPeriod: String(Math.min(Math.max(Math.floor(message.expiresIn), 1), 36_000)),
        Attempt: String(message.attempt),
      }
      const answer = await call({ path: 'Messages.json', form, signal })
      if ('class' in answer) return answer
      const { status, json } = answer
      return status >= 200 && status < 300
        ? outcomeOfSuccess(json)
        : outcomeOfError(status, json.code)
    },
  }
}

function checkSender({ from, messagingServiceSid }: TwilioOptions): Record<string, string> {
  if ((from === undefined) === (messagingServiceSid === undefined)) {
    throw new TypeError('twilioProvider: expected exactly one of from and messagingServiceSid')
  }
  if (messagingServiceSid !== undefined) {
    checkOption('twilioProvider: messagingServiceSid', messagingServiceSid, ...sidShape('MG'))
    return { MessagingServiceSid: messagingServiceSid }
  }
  checkOption('twilioProvider: from', from, /\S/, 'a number, a short code or a sender name')
  return { From: String(from) }
}

/** The fields that hold what the person reads. */
function checkContent(options: TwilioOptions): (message: SmsMessage) => Record<string, string> {
  const { contentSid, contentVariables = { 1: '{code}' } } = options
  if (contentSid === undefined) {
    if (options.contentVariables === undefined) return ({ text }) => ({ Body: text })
    throw new TypeError('twilioProvider: contentVariables: expected contentSid with it, got none')
  }
  const sid = checkTemplate('twilioProvider: contentSid', contentSid, ...sidShape('HX'), '')
  checkVariables('twilioProvider: contentVariables', contentVariables)
  const variables = Object.entries(contentVariables)
  return (message) => {
    const filled = variables.map(([name, value]) => [name, fillIn(value, message)])
    const ContentVariables = JSON.stringify(Object.fromEntries(filled))
    return { ContentSid: sid(message), ContentVariables }
  }
}

/** The fields by which we learn what became of it, and Twilio whether it was of use. */
function checkTracking({ statusCallback, feedback }: TwilioOptions): Record<string, string> {
  if (statusCallback !== undefined) {
    checkCallbackUrl('twilioProvider: statusCallback', statusCallback)
  }
  if (feedback !== undefined && typeof feedback !== 'boolean') {
    throw new TypeError(`twilioProvider: feedback: expected a boolean, got ${typeof feedback}`)
  }
  return {
    ...(statusCallback !== undefined && { StatusCallback: statusCallback }),
    ...(feedback && { ProvideFeedback: 'true' }),
  }
}

function outcomeOfSuccess({ sid }: Record<string, unknown>): Outcome {
  return isMessageSid(sid) ? { class: 'ok', messageId: sid } : { class: 'ambiguous' }
}
