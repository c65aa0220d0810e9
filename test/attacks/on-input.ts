/** Attacks by what is sent: other types, other forms, other languages. */
import type { Attack } from './attack.ts'
import { many, type Siege, settle } from './siege.ts'

const ID = 'A'.repeat(24)

/** What is no phone, whatever a lax parser would make of it. */
const ODD: ((phone: string) => unknown)[] = [
  (phone) => [phone],
  (phone) => ({ phone }),
  (phone) => ({ toString: phone }),
  (phone) => Number(phone.slice(1)),
  () => true,
  () => null,
  () => '',
  (phone) => `${phone}\r\nBcc: ${phone}`,
  (phone) => `${phone}\u0000`,
  (phone) => `${phone}&To=${phone}`,
  (phone) => `${phone};ext=1`,
  () => `{{constructor.constructor('return 1')()}}`,
  () => '$' + '{7*7}',
  () => `' OR '1'='1`,
  () => 'x'.repeat(1500),
]

const KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'Phone', ' ']

const TYPES = [
  'text/plain',
  'text/html',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/xml',
  'application/jsonp',
  'application/json-patch+json',
  'application/json, text/plain',
  'application/jso\tn',
  'json',
  '*/*',
]

const LARGE = JSON.stringify({ phone: '+8613800138000', more: 'x'.repeat(3000) })

export const INPUT_ATTACKS: Attack[] = [
  {
    name: 'confusion',
    title: 'bodies of other types, other fields, other Content-Types and other methods',
    async run(siege) {
      const questions = confusions(siege)
      const statuses = await many(questions.length, 20, async (n) => {
        const { status } = await siege.ask(questions[n] as (typeof questions)[number])
        return status
      })
      await settle()
      const odd = statuses.filter((status) => ![400, 404, 405, 410, 413, 415].includes(status))
      siege.require(odd.length === 0, `answers of ${[...new Set(odd)]}`)
      const { status } = await siege.verify(await siege.begin())
      siege.require(status === 400, 'a field too many is taken')
      return { tries: questions.length, through: siege.paid() - 1, most: 0, unit: 'SMS' }
    },
  },
  {
    name: 'injection',
    title: 'line ends, templates and paths in every field and header that is taken',
    options: { purposes: ['default', 'login'] },
    optionsAre: 'two purposes',
    async run(siege) {
      const marks = [
        '\r\nInjected: 1',
        '{{7*7}}',
        '$' + '{7*7}',
        '../../etc',
        '%0d%0aX:1',
        '<b>',
        '`id`',
      ]
      let tries = 0
      for (const mark of marks) {
        const phone = siege.newPhone()
        const bodies = [
          { phone, purpose: mark },
          { phone, purpose: `login${mark}` },
          { phone, locale: mark },
          { phone, locale: `zh-CN${mark}` },
          { phone, id: `${ID}${mark}` },
          { phone, solution: mark },
          { phone: `${phone}${mark}` },
        ]
        for (const body of bodies) {
          tries++
          const { status } = await siege.send(body)
          siege.require(status === 400 || status === 410, `${JSON.stringify(body)}: ${status}`)
        }
        for (const body of [
          { id: mark, code: '1234567890' },
          { id: ID, code: `123456789${mark}` },
        ]) {
          tries++
          const { status } = await siege.verify(body)
          siege.require(status === 400 || status === 410, `${JSON.stringify(body)}: ${status}`)
        }
        tries++
        const path = `/sms/${encodeURIComponent(mark)}`
        const { status } = await siege.ask({ method: 'GET', path })
        siege.require([400, 404, 410].includes(status), `${path}: ${status}`)
        const key = mark.replace(/[^!-~]/g, '')
        const headers = { 'idempotency-key': key, 'accept-language': key }
        const honest = await siege.send({ phone }, { headers })
        siege.require(honest.status === 202, `headers of ${key}: ${honest.status}`)
      }
      await settle()
      const received = siege.world.vendor.received
      siege.require(received.length === marks.length, `${received.length} SMS`)
      const through = received.filter(
        ({ phone, code }) => !/^\+86139\d{8}$/.test(phone) || !/^\d{10}$/.test(code),
      ).length
      return { tries, through, most: 0, unit: 'SMS of another form' }
    },
  },
]

function confusions(siege: Siege) {
  const json = { 'content-type': 'application/json' }
  const bodies = (path: string, valid: (phone: string) => Record<string, unknown>): string[] => {
    const phone = siege.newPhone()
    const fields = Object.keys(valid(phone))
    return [
      ...fields.flatMap((field) =>
        ODD.map((odd) => JSON.stringify({ ...valid(phone), [field]: odd(phone) })),
      ),
      ...fields.map((field) => JSON.stringify({ ...valid(phone), [field]: undefined })),
      ...KEYS.map((key) => JSON.stringify(valid(phone)).replace('{', `{${JSON.stringify(key)}:1,`)),
      JSON.stringify([valid(phone)]),
      JSON.stringify(JSON.stringify(valid(phone))),
      `${JSON.stringify(valid(phone))}x`,
      path === '/sms/send' ? `{"phone":"${phone}","phone":1}` : '{"id":1,"code":"1"}',
      '',
      'null',
      '[]',
      '['.repeat(1000),
    ]
  }
  const send = (phone: string) => ({ phone })
  const verify = () => ({ id: ID, code: '1234567890' })
  const all = [
    ...bodies('/sms/send', send).map((body) => ({ path: '/sms/send', headers: json, body })),
    ...bodies('/sms/verify', verify).map((body) => ({ path: '/sms/verify', headers: json, body })),
    ...TYPES.flatMap((type) =>
      ['/sms/send', '/sms/verify'].map((path) => ({
        path,
        headers: { 'content-type': type },
        body: JSON.stringify(path === '/sms/send' ? send(siege.newPhone()) : verify()),
      })),
    ),
    { path: '/sms/send', headers: json, body: LARGE },
    { path: '/sms/send', headers: {}, body: JSON.stringify(send(siege.newPhone())) },
  ]
  const methods = ['GET', 'PUT', 'PATCH', 'DELETE'].flatMap((method) =>
    ['/sms/send', '/sms/verify'].map((path) => ({ path, method })),
  )
  return [...all, ...methods]
}
