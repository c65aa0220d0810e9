import assert from 'node:assert/strict'
import { test } from 'node:test'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyRequest } from 'fastify'
import plugin, * as exported from '../src/plugin.ts'
import { build, embedded, newPhone, recordingProvider, until } from './helper.ts'

const { smsVerify } = exported

const ROUTES = ['POST /send', 'POST /verify', 'GET /:id']

test('The default export is the named one, and carries the name of the package.', () => {
  assert.equal(plugin, smsVerify)
  const meta = Symbol.for('plugin-meta')
  const { name, fastify } =
    (smsVerify as unknown as Record<symbol, Record<string, string>>)[meta] ?? {}
  assert.deepEqual([name, fastify], ['fastify-sms-verify', '5.x'])
  assert.deepEqual(Object.keys(exported).sort(), [
    'LIMITS',
    'default',
    'isSmsVerifyError',
    'smsVerify',
  ])
})

test('An error of ours is recognised, any other is not.', async (t) => {
  const app = await build(t, embedded())
  const error = await app.smsVerify.status('x').catch((error: unknown) => error)
  assert.equal(exported.isSmsVerifyError(error), true)
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 'ENOENT' }),
    null,
    {},
  ]) {
    assert.equal(exported.isSmsVerifyError(other), false)
  }
})

test('The routes are under /sms, or under the prefix that is given, inside that of the scope.', async (t) => {
  const cases = [
    [undefined, '', '/sms'],
    ['/auth/phone', '', '/auth/phone'],
    ['codes', '', '/codes'],
    ['', '', ''],
    [undefined, '/api/v1', '/api/v1/sms'],
    ['/phone', '/api', '/api/phone'],
  ] as const
  for (const [prefix, parent, expected] of cases) {
    const app = Fastify()
    t.after(() => app.close())
    await app.register(
      async (scope) => {
        await scope.register(smsVerify, embedded(prefix === undefined ? {} : { prefix }))
      },
      { prefix: parent },
    )
    await app.ready()
    const sent = await app.inject({
      method: 'POST',
      url: `${expected}/send`,
      payload: { phone: newPhone() },
    })
    assert.equal(sent.statusCode, 202, `${parent} ${prefix}`)
    assert.equal((await app.inject(`${expected}/${sent.json().id}`)).statusCode, 200)
    for (const route of ROUTES) {
      const [method = '', url] = route.split(' ')
      assert.equal(app.hasRoute({ method, url: expected + url }), true, `${expected} ${route}`)
    }
  }
})

test('Registered twice in one scope, the second is refused; in two scopes both work.', async (t) => {
  const twice = Fastify()
  t.after(() => twice.close())
  await twice.register(smsVerify, embedded())
  await assert.rejects(async () => twice.register(smsVerify, embedded({ prefix: '/two' })), {
    code: 'FST_ERR_DEC_ALREADY_PRESENT',
  })

  const app = Fastify()
  t.after(() => app.close())
  const providers = [recordingProvider(), recordingProvider()] as const
  for (const [i, provider] of providers.entries()) {
    await app.register(async (scope) => {
      await scope.register(smsVerify, embedded({ provider, prefix: `/sms${i}`, countries: ['CN'] }))
    })
  }
  assert.equal(app.hasDecorator('smsVerify'), false)
  const { id } = (
    await app.inject({ method: 'POST', url: '/sms1/send', payload: { phone: newPhone() } })
  ).json()
  await until('sent', () => providers[1].messages.length === 1)
  assert.equal(providers[0].messages.length, 0)
  assert.equal((await app.inject(`/sms1/${id}`)).statusCode, 200)
  assert.equal((await app.inject(`/sms0/${id}`)).statusCode, 410)
})

test('The decorator is there for the scope that registers and those inside it, with its routes or without.', async (t) => {
  for (const routes of [true, false]) {
    const app = Fastify()
    t.after(() => app.close())
    await app.register(smsVerify, embedded({ routes }))
    app.get('/host', async () => Object.keys(app.smsVerify))
    await app.register(async (scope) => {
      scope.get('/inner', async () => Object.keys(scope.smsVerify))
    })
    const methods = [
      ...['send', 'verify', 'redeem', 'status', 'cancel', 'unlock', 'erase'],
      ...['conversion', 'publish'],
    ]
    for (const url of ['/host', '/inner']) {
      assert.deepEqual((await app.inject(url)).json(), methods)
    }
    for (const route of ROUTES) {
      const [method = '', url] = route.split(' ')
      assert.equal(app.hasRoute({ method, url: `/sms${url}` }), routes)
    }
    const { id } = await app.smsVerify.send({ phone: newPhone() })
    assert.equal((await app.inject(`/sms/${id}`)).statusCode, routes ? 200 : 404)
  }
})

test('Hooks, config, body limit and log level of the routes are the host’s to set.', async (t) => {
  const seen: string[] = []
  const hook = (name: string) => async (request: FastifyRequest) => {
    seen.push(`${name} ${request.method} ${request.routeOptions.url}`)
  }
  const configs: unknown[] = []
  const logged: string[] = []
  const stream = { write: (line: string) => logged.push(line) }
  const app = Fastify({ logger: { level: 'info', stream } })
  t.after(() => app.close())
  app.addHook('onRoute', ({ url, method, config }) => {
    if (config && 'rateLimit' in config) configs.push(`${method} ${url}`)
  })
  await app.register(
    smsVerify,
    embedded({
      routeOptions: {
        onRequest: hook('onRequest'),
        preHandler: [hook('preHandler'), hook('preHandler too')],
        config: { rateLimit: { max: 3 } } as object,
        bodyLimit: 100,
        logLevel: 'warn',
      },
    }),
  )
  await app.ready()
  logged.length = 0
  const { id } = (
    await app.inject({ method: 'POST', url: '/sms/send', payload: { phone: newPhone() } })
  ).json()
  await app.inject({ method: 'POST', url: '/sms/verify', payload: { id, code: '000000' } })
  await app.inject(`/sms/${id}`)
  assert.deepEqual(
    seen,
    ['POST /sms/send', 'POST /sms/verify', 'GET /sms/:id'].flatMap((route) => [
      `onRequest ${route}`,
      `preHandler ${route}`,
      `preHandler too ${route}`,
    ]),
  )
  for (const route of ['POST /sms/send', 'POST /sms/verify', 'GET /sms/:id']) {
    assert.ok(configs.includes(route), route)
  }
  assert.equal(
    logged.some((line) => line.includes('incoming request')),
    false,
  )
  const big = { phone: newPhone(), locale: 'x'.repeat(100) }
  const answer = await app.inject({ method: 'POST', url: '/sms/send', payload: big })
  assert.equal(answer.statusCode, 413)
})

test('Hooks on the routes do not reach the host’s own routes, nor does no-store.', async (t) => {
  let runs = 0
  const preHandler = async () => {
    runs++
  }
  const app = Fastify()
  t.after(() => app.close())
  await app.register(smsVerify, embedded({ routeOptions: { preHandler } }))
  app.get('/host', async () => 'ok')
  const answer = await app.inject('/host')
  assert.deepEqual([answer.body, answer.headers['cache-control'], runs], ['ok', undefined, 0])
})

test('The OpenAPI description has every route with each status it can answer with.', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(fastifySwagger, { openapi: { info: { title: 'x', version: '1' } } })
  await app.register(smsVerify, embedded({ purposes: ['login', 'sign-up'], code: { length: 7 } }))
  await app.ready()
  const { paths = {} } = app.swagger() as unknown as {
    paths?: Record<string, Record<string, Operation>>
  }

  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => [
      `${method} ${path}`,
      Object.keys(responses).join(' '),
    ]),
  )
  assert.deepEqual(described, [
    ['post /sms/send', '202 400 403 410 413 415 429 500 503'],
    ['post /sms/verify', '200 400 410 413 415 422 429 500 503'],
    ['get /sms/{id}', '200 400 410 500 503'],
    ['get /sms/{id}/events', '200 400 410 500 503'],
  ])
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    assert.deepEqual(operation.tags, ['sms'])
    assert.match(operation.summary, /^[A-Z]/)
    for (const [status, response] of Object.entries(operation.responses)) {
      assert.ok(response.description, status)
      const [type = ''] = Object.keys(response.content)
      const expected =
        status < '300' ? /^(application\/json|text\/event-stream)$/ : /^application\/problem\+json$/
      assert.match(type, expected)
      if (type === 'text/event-stream') continue
      const { properties } = response.content[type]?.schema ?? {}
      assert.ok(properties && Object.keys(properties).length >= 3, status)
    }
  }

  const { schema } = paths['/sms/send']?.post?.requestBody?.content['application/json'] ?? {}
  assert.deepEqual(schema?.required, ['phone'])
  assert.equal(schema?.additionalProperties, false)
  assert.deepEqual(Object.keys(schema?.properties ?? {}), [
    'phone',
    'purpose',
    'locale',
    'id',
    'solution',
  ])
  assert.match(JSON.stringify(schema?.properties.purpose), /"login".*"sign-up"/)
  const header = paths['/sms/send']?.post?.parameters?.find(
    ({ name }) => name === 'idempotency-key',
  )
  assert.equal(header?.in, 'header')
  const verify = paths['/sms/verify']?.post?.requestBody?.content['application/json']
  assert.match(JSON.stringify(verify), /\{7\}/)
})

test('With the embedded mode comes a warning, and closing ends it.', async () => {
  const logged: string[] = []
  const stream = { write: (line: string) => logged.push(line) }
  const app = Fastify({ logger: { level: 'warn', stream } })
  await app.register(smsVerify, embedded())
  await app.ready()
  assert.equal(logged.filter((line) => JSON.parse(line).event === 'embedded').length, 1)
  await app.close()
  await assert.rejects(app.smsVerify.send({ phone: newPhone() }), {
    code: 'SMS_VERIFY_UNAVAILABLE',
  })
})

interface Content {
  schema?: {
    properties: Record<string, unknown>
    required?: string[]
    additionalProperties?: boolean
  }
}

interface Operation {
  tags: string[]
  summary: string
  parameters?: { name: string; in: string }[]
  requestBody?: { content: Record<string, Content> }
  responses: Record<string, { description: string; content: Record<string, Content> }>
}
