/** What the status codes of Ronglian mean for a TemplateSMS. */
import type { Outcome, OutcomeClass } from './provider.ts'

/** The outcome of a `statusCode` for the given try of the consumer. */
export function outcomeOfStatus(statusCode: string, attempt: number): Outcome {
  // The text repeats what an earlier try of this very SMS sent, or what an earlier SMS to the number said.
  if (statusCode === '160056' && attempt > 1) return { class: 'duplicate', code: statusCode }
  const known = classes.get(statusCode)
  if (known === 'retry_alert') return { class: 'retry', code: statusCode, alert: true }
  if (known === 'account') return { class: 'account', code: statusCode, alert: true }
  if (known) return { class: known, code: statusCode }
  return { class: unknownClass(statusCode), code: statusCode, alert: true }
}

// 111, 112 and 113 are about the account, the application and their rights, 160 and 161 about the sending.
function unknownClass(statusCode: string): OutcomeClass {
  if (/^11[123]/.test(statusCode)) return 'account'
  if (/^16[01]/.test(statusCode)) return 'retry'
  return 'ambiguous'
}

// Meanings after the vendor's page doc/rest/restabout/3_1_1_7.html and its SDKs. Left out are the codes that cannot
// answer a TemplateSMS: those of status queries and of report settings, and those the SDKs make up.
const table: [OutcomeClass | 'retry_alert', string][] = [
  ['ok', '000000'],

  // Errors inside the platform, its concurrency limits, sending failed.
  ['retry', '111000 111001-111099 111111 112326 160000 160001-160010 160016 160050 160063 160064'],
  // The same in the channel to the carrier.
  ['retry', '161000 161001 161006 161008-161012 161020 161022 161024'],
  // The platform's own login to the channel, its billing.
  ['retry_alert', '160012 161003'],

  // No record stored; the channel timed out, or answered nothing.
  ['ambiguous', '161004 161021 161023'],

  // This reqId was used today. https://github.com/cloopen/java-sms-sdk
  ['duplicate', '160054'],

  // Limits per number, per number and template, for the same text; codes asked for too often.
  ['rate_recipient', '160015 160021 160022 160038-160041 160056'],

  // Number missing, malformed, too long, not supported.
  ['permanent_recipient', '112300 112306 112316 112319 112328 160013 160042 160044 160061'],
  // Number barred, opted out, or its owner complained.
  ['permanent_recipient', '112317 160034 160051 160068 160072-160074'],

  // Text or variables: empty, too long, badly encoded, with a barred word.
  ['permanent_request', '112301 112304 112308 112309 160011 160018 160020 160033 160035 160037'],
  ['permanent_request', '160046 160049 160052 160069 160071 161007'],
  // Template or signature: missing, not approved, not of this application.
  ['permanent_request', '112307 112311 112313 112315 112318 112323 112357 160019 160032 160036'],
  ['permanent_request', '160043 160057 160070'],
  // Other fields: extension, batch, body, reqId, time of sending.
  ['permanent_request', '112312 160017 160030 160031 160045 160048 160055 160059 160065-160067'],

  // Account id, signature, time stamp.
  ['account', '111100-111110 111113 111128-111133 161100-161108'],
  // The account: not active, suspended, closed, without balance, token withdrawn, not certified.
  ['account', '111138-111143 112349 112350 160014 161002'],
  // The application: unknown, under review, suspended, of another account, limited to test numbers.
  ['account', '111169-111171 111176-111182 112303 112305 112310 112353 113302'],
  // Rights and limits of the account: bulk, day, source address, countries, channels.
  ['account', '112302 112314 160053 160058 160060 160062 161005'],
]

const classes = new Map(
  table.flatMap(([name, codes]) =>
    codes.split(' ').flatMap((range) => expand(range).map((code) => [code, name] as const)),
  ),
)

function expand(range: string): string[] {
  const [first = '', last = first] = range.split('-')
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) =>
    String(Number(first) + index).padStart(6, '0'),
  )
}
