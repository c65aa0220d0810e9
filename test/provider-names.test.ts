/** Two providers of one vendor, each with its own name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  aliyunProvider,
  providerChain,
  ronglianInternationalProvider,
  ronglianProvider,
  type SmsProvider,
  tencentProvider,
  twilioProvider,
  webhookProvider,
} from '../src/providers/index.ts'

const ronglian = { accountSid: 'sid', authToken: 'token', appId: 'app' }
const makers: Record<string, (named: { name?: string }) => SmsProvider> = {
  aliyun: (named) =>
    aliyunProvider({
      accessKeyId: 'id',
      accessKeySecret: 'secret',
      signName: 'Acme',
      templateCode: 'SMS_1',
      ...named,
    }),
  tencent: (named) =>
    tencentProvider({
      secretId: 'id',
      secretKey: 'key',
      smsSdkAppId: '1',
      templateId: '1',
      ...named,
    }),
  twilio: (named) =>
    twilioProvider({
      accountSid: `AC${'0'.repeat(32)}`,
      authToken: 'token',
      from: '+14155550199',
      ...named,
    }),
  ronglian: (named) => ronglianProvider({ ...ronglian, templateId: '1', ...named }),
  'ronglian-international': (named) => ronglianInternationalProvider({ ...ronglian, ...named }),
  webhook: (named) =>
    webhookProvider({
      url: 'https://example.com/',
      secret: `whsec_${Buffer.alloc(24).toString('base64')}`,
      ...named,
    }),
}

for (const [vendor, make] of Object.entries(makers)) {
  test(`${vendor}: is called after its vendor, or with a part of one's own behind it.`, () => {
    for (const name of [
      vendor,
      `${vendor}:a`,
      `${vendor}:abroad-2`,
      `${vendor}:${'x'.repeat(20)}`,
    ]) {
      assert.equal(make({ name }).name, name)
    }
    assert.equal(make({}).name, vendor)
  })

  test(`${vendor}: another name is refused at the start.`, () => {
    const behind = ['', 'Abroad', 'a b', 'a:b', 'ü', 'x'.repeat(21), 'a\n']
    const others = ['', 'other', `${vendor}s`, `x${vendor}`, ` ${vendor}`, 7, null]
    for (const name of [...behind.map((part) => `${vendor}:${part}`), ...others]) {
      assert.throws(() => make({ name: name as string }), {
        name: 'TypeError',
        message: /^\w+Provider: name: expected /,
      })
    }
  })

  test(`${vendor}: two of it are one chain, told apart by their names.`, () => {
    const [home, abroad] = [make({}), make({ name: `${vendor}:abroad` })]
    const chain = providerChain({
      routes: { '*': [home, abroad] },
      weights: { [abroad.name]: 1 },
      rates: { [home.name]: 10 },
    })
    assert.equal(chain.name, `${vendor}+${vendor}:abroad`)
    const country = vendor === 'ronglian' ? 'CN' : 'US'
    assert.deepEqual(chain.order({ country, key: 'key' }), [abroad, home])
  })
}
