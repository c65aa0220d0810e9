/** What every store does, on its own clock. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type {
  Budget,
  CheckRequest,
  ClaimRequest,
  IssueRequest,
  Policy,
  RedeemRequest,
  Store,
} from '../src/store/store.ts'

export interface OpenStore {
  store: Store
  /** The store's clock, in milliseconds. */
  now(): Promise<number>
  /** Lets that many milliseconds pass on it. */
  advance(ms: number): Promise<void>
}

/** No rule stands in the way: each test sets the one that it is about. */
export const freePolicy: Policy = {
  ttl: 60_000,
  checks: 5,
  cooldown: [],
  windows: [],
  live: 1000,
  proofTtl: 60_000,
  retention: 60_000,
  slowAfter: 1000,
  slowWindow: { max: 1, window: 60_000 },
  disableAfter: 1000,
}

/** Of the key that all phones are sealed with. */
const KEY_ID = 'key0'

export const random = (length: number): string =>
  randomBytes(length).toString('base64url').slice(0, length)

/** A request for a new verification, of a new number if none is given. */
export function newRequest(changes: Partial<IssueRequest> = {}): IssueRequest {
  const phone = changes.phone ?? random(22)
  return {
    phone,
    id: phone.slice(0, 2) + random(22),
    resend: false,
    key: '',
    dryRun: false,
    purpose: 'login',
    mac: random(43),
    code: random(75),
    sealedPhone: KEY_ID + random(56),
    trusted: false,
    spent: null,
    ...changes,
  }
}

export const resendOf = (
  { phone, id }: IssueRequest,
  changes: Partial<IssueRequest> = {},
): IssueRequest => newRequest({ phone, id, resend: true, purpose: '', ...changes })

export const rightCheck = ({ id, mac }: IssueRequest): CheckRequest => ({
  id,
  macs: [mac],
  keyIds: [KEY_ID],
  nonce: random(8),
  proof: random(22),
})

export const wrongCheck = ({ id }: IssueRequest): CheckRequest => ({
  ...rightCheck(newRequest()),
  id,
})

export const claimOf = (
  { id }: IssueRequest,
  changes: Partial<ClaimRequest> = {},
): ClaimRequest => ({
  id,
  version: 1,
  attempt: 1,
  maxAttempt: 4,
  holder: random(8),
  minRemaining: 0,
  lease: 60_000,
  again: true,
  ...changes,
})

export const redeemOf = (proof: string, changes: Partial<RedeemRequest> = {}): RedeemRequest => ({
  shard: '',
  proof,
  purpose: '',
  keyIds: [KEY_ID],
  nonce: random(8),
  ...changes,
})

const budgetOf = (max: number, window = 60_000): Budget => ({
  key: random(16),
  max,
  window,
  units: 1,
  share: 0,
})

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))

async function all<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(times(count, make))
}

type Verdict = { verdict: string }

/** The answer, narrowed to the verdict that it must have. */
async function expect<A extends Verdict, V extends A['verdict']>(
  verdict: V,
  answer: Promise<A>,
): Promise<Extract<A, { verdict: V }>> {
  const given = await answer
  assert.equal(given.verdict, verdict, JSON.stringify(given))
  return given as Extract<A, { verdict: V }>
}

const count = (verdict: string, answers: Verdict[]): number =>
  answers.filter((answer) => answer.verdict === verdict).length

/** Registers the tests that every store passes. */
export function testStore(name: string, open: (t: TestContext) => Promise<OpenStore>): void {
  const it = (title: string, body: (opened: OpenStore) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => body(await open(t)))

  // Budgets

  it('A send takes one unit from each budget and says when.', async ({ store, now }) => {
    const [small, large] = [budgetOf(2), budgetOf(5)]
    const before = await now()
    const { at, reached } = await expect('spent', store.spend([large, small]))
    assert.ok(at >= before && at <= (await now()))
    assert.deepEqual(reached, [])
    await expect('spent', store.spend([large, small]))
    const { budget, wait } = await expect('wait', store.spend([large, small]))
    assert.equal(budget, 1)
    assert.ok(wait > 0 && wait <= small.window * 1.02, `${wait}`)
  })

  it('No budget at all is always enough.', async ({ store }) => {
    assert.deepEqual((await expect('spent', store.spend([]))).reached, [])
  })

  it('When one budget has nothing left, none is spent.', async ({ store }) => {
    const [large, small] = [budgetOf(3), budgetOf(1)]
    await expect('spent', store.spend([large, small]))
    for (const _ of times(5, Number)) await expect('wait', store.spend([large, small]))
    await expect('spent', store.spend([large]))
    await expect('spent', store.spend([large]))
    await expect('wait', store.spend([large]))
  })

  it('No window has more units than its budget, and the wait given is enough.', async (opened) => {
    const { store, advance } = opened
    const budget = budgetOf(4, 240)
    const spent: number[] = []
    for (let tries = 0; spent.length < 14; tries++) {
      assert.ok(tries < 100)
      let verdict = await store.spend([budget])
      if (verdict.verdict === 'wait') {
        await advance(verdict.wait)
        verdict = await expect('spent', store.spend([budget]))
      }
      spent.push(verdict.at)
      await advance(25)
    }
    for (const [i, at] of spent.slice(budget.max).entries()) {
      assert.ok(at - (spent[i] as number) >= budget.window, `${spent}`)
    }
  })

  it('A budget that is asked all the time gives no unit too early.', async (opened) => {
    const { store, advance } = opened
    const budget = budgetOf(3, 300)
    const spent: number[] = []
    for (let tries = 0; spent.length < 10; tries++) {
      assert.ok(tries < 10_000)
      const verdict = await store.spend([budget])
      if (verdict.verdict === 'spent') spent.push(verdict.at)
      await advance(1)
    }
    for (const [i, at] of spent.slice(budget.max).entries()) {
      assert.ok(at - (spent[i] as number) >= budget.window, `${spent}`)
    }
  })

  it('Units leave a budget one by one.', async ({ store, now, advance }) => {
    const budget = budgetOf(2, 900)
    await store.spend([budget])
    await advance(450)
    const { at } = await expect('spent', store.spend([budget]))
    await advance((await expect('wait', store.spend([budget]))).wait)
    await expect('spent', store.spend([budget]))
    const before = await now()
    const { wait } = await expect('wait', store.spend([budget]))
    assert.ok(wait <= at - before + budget.window * 1.02, `${wait}`)
  })

  it('Asking in vain does not make the wait for a budget longer.', async ({ store, advance }) => {
    const budget = budgetOf(1, 300)
    await store.spend([budget])
    const { wait } = await expect('wait', store.spend([budget]))
    for (const _ of times(10, Number)) await store.spend([budget])
    await advance(wait)
    await expect('spent', store.spend([budget]))
  })

  it('A unit that is given back can be spent again, once.', async ({ store }) => {
    const budgets = [budgetOf(1), budgetOf(1)]
    const { at } = await expect('spent', store.spend(budgets))
    await store.refund(budgets, at)
    await expect('spent', store.spend(budgets))
    await expect('wait', store.spend(budgets))
  })

  it('Only what was spent and is still in the window is given back.', async (opened) => {
    const { store, advance } = opened
    const long = budgetOf(1)
    const { at } = await expect('spent', store.spend([long]))
    await store.refund([long], at - 30_000)
    await expect('wait', store.spend([long]))

    const short = budgetOf(1, 300)
    const first = await expect('spent', store.spend([short]))
    await advance(310)
    await expect('spent', store.spend([short]))
    await store.refund([short], first.at)
    await expect('wait', store.spend([short]))
    await store.refund([budgetOf(1)], at)
  })

  it('80 % and 100 % of a budget are told once in a window.', async ({ store, advance }) => {
    const [other, budget] = [budgetOf(100), budgetOf(10, 1000)]
    const spend = async () => expect('spent', store.spend([other, budget]))
    const told = []
    let last = 0
    for (const _ of times(10, Number)) {
      const { at, reached } = await spend()
      told.push(...reached)
      last = at
    }
    assert.deepEqual(told, [
      { budget: 1, kind: 'used', used: 8, max: 10, share: 0.8 },
      { budget: 1, kind: 'used', used: 10, max: 10, share: 1 },
    ])
    await store.refund([other, budget], last)
    assert.deepEqual((await spend()).reached, [])

    for (const _ of times(3, Number)) {
      await expect('wait', store.spend([other, budget]))
      await advance(340)
    }
    const again = []
    for (const _ of times(10, Number)) again.push(...(await spend()).reached)
    assert.deepEqual(again, told)
  })

  it('A budget of one is at 80 % and at 100 % together.', async ({ store }) => {
    assert.deepEqual((await expect('spent', store.spend([budgetOf(1)]))).reached, [
      { budget: 0, kind: 'used', used: 1, max: 1, share: 0.8 },
      { budget: 0, kind: 'used', used: 1, max: 1, share: 1 },
    ])
  })

  it('500 parallel sends spend no more than there is, and can give all back.', async (opened) => {
    const { store } = opened
    const budgets = [budgetOf(50), budgetOf(60)]
    const verdicts = await all(500, () => store.spend(budgets))
    assert.equal(count('spent', verdicts), 50)
    await Promise.all(verdicts.map((v) => v.verdict === 'spent' && store.refund(budgets, v.at)))
    assert.equal(count('spent', await all(500, () => store.spend(budgets))), 50)
  })

  it('A budget counts units, whatever each send takes of it.', async ({ store }) => {
    const key = random(16)
    const budgetFor = (units: number) => [{ ...budgetOf(100), key, units }]
    const { at } = await expect('spent', store.spend(budgetFor(60)))
    await expect('wait', store.spend(budgetFor(41)))
    await expect('spent', store.spend(budgetFor(40)))
    await expect('wait', store.spend(budgetFor(1)))
    await store.refund(budgetFor(60), at)
    const { wait } = await expect('wait', store.spend(budgetFor(61)))
    assert.ok(wait > 0)
    await expect('spent', store.spend(budgetFor(60)))
    await expect('wait', store.spend(budgetFor(101)))
  })

  it('A budget grows with what was verified in its window.', async ({ store, advance }) => {
    const budget = { ...budgetOf(2, 600), share: 0.5 }
    const verify = async () => {
      const { at } = await expect('spent', store.spend([budget]))
      await store.refund([budget], at, true)
    }
    for (const _ of times(5, Number)) await verify()
    for (const _ of times(2, Number)) await expect('spent', store.spend([budget]))
    await expect('wait', store.spend([budget]))
    const other = { ...budget, key: random(16) }
    for (const each of [budget, other]) {
      const { budgets } = await store.usage([each])
      assert.equal(budgets[0]?.verified, each === budget ? 5 : 0)
    }
    // The sixth: floor(0.5 × 6) is three.
    await store.refund([budget], 0, true)
    await expect('spent', store.spend([budget]))
    await expect('wait', store.spend([budget]))
    await advance(620)
    for (const _ of times(2, Number)) await expect('spent', store.spend([budget]))
    await expect('wait', store.spend([budget]))
  })

  it('What was verified and what was not can be asked for.', async ({ store, advance }) => {
    const budget = { ...budgetOf(1000, 400), conversion: { below: 0, least: 1 } }
    assert.deepEqual((await store.usage([budget])).budgets[0], { verified: 0, unverified: 0 })
    const spent = []
    for (const _ of times(5, Number)) spent.push(await expect('spent', store.spend([budget])))
    for (const { at } of spent.slice(0, 2)) await store.refund([budget], at, true)
    for (const { at } of spent.slice(2, 3)) await store.refund([budget], at)
    assert.deepEqual((await store.usage([budget])).budgets[0], { verified: 2, unverified: 2 })
    await advance(420)
    assert.deepEqual((await store.usage([budget])).budgets[0], { verified: 0, unverified: 0 })
  })

  it('Where limits only look on, nothing is refused and what would be is named.', async ({
    store,
  }) => {
    const [small, large] = [budgetOf(1), budgetOf(2)]
    const over = []
    for (const _ of times(4, Number))
      over.push((await expect('spent', store.spend([small, large], true))).over)
    assert.deepEqual(over, [[], [0], [0, 1], [0, 1]])
    await expect('wait', store.spend([small]))
  })

  it('Few verifications are told once in a window, when there are enough sends.', async (opened) => {
    const { store, advance } = opened
    const budget = { ...budgetOf(1000, 1200), conversion: { below: 0.5, least: 4 } }
    const told = []
    for (let i = 0; i < 9; i++) {
      const { at, reached } = await expect('spent', store.spend([budget]))
      told.push(...reached)
      if (i === 0) await store.refund([budget], at, true)
      await advance(25)
    }
    assert.deepEqual(told, [{ budget: 0, kind: 'conversion', used: 4, max: 1000, share: 0.25 }])
  })

  it('Many verifications are not told.', async ({ store, advance }) => {
    const budget = { ...budgetOf(1000, 1200), conversion: { below: 0.5, least: 2 } }
    for (const _ of times(8, Number)) {
      const { at, reached } = await expect('spent', store.spend([budget]))
      assert.deepEqual(reached, [])
      await store.refund([budget], at, true)
      await advance(25)
    }
  })

  // Purses

  const sendPurse = (budgets: Budget[], soft = false) => ({ budgets, soft, ip: 'A' })

  it('What is issued takes from its purse, and what is refused takes nothing.', async ({
    store,
  }) => {
    const budgets = [budgetOf(3), budgetOf(2)]
    const policy = { ...freePolicy, cooldown: [60_000] }
    const request = newRequest()
    const { taken } = await expect('issued', store.issue(request, policy, sendPurse(budgets)))
    assert.ok(taken && taken.at > 0)
    assert.deepEqual([taken.reached, taken.over], [[], []])
    const again = newRequest({ phone: request.phone })
    await expect('wait', store.issue(again, policy, sendPurse(budgets)))
    await expect('free', store.issue(newRequest({ dryRun: true }), policy, sendPurse(budgets)))
    const { budgets: used } = await store.usage(budgets)
    assert.deepEqual(
      used.map(({ unverified }) => unverified),
      [1, 1],
    )
  })

  it('What a purse has too little for is not issued, and says which budget it was.', async ({
    store,
  }) => {
    const budgets = [budgetOf(9), budgetOf(1)]
    await expect('issued', store.issue(newRequest(), freePolicy, sendPurse(budgets)))
    const request = newRequest()
    const refused = await expect('exhausted', store.issue(request, freePolicy, sendPurse(budgets)))
    assert.equal(refused.budget, 1)
    assert.ok(refused.wait > 0)
    await expect('gone', store.status(request.id, freePolicy))
    assert.equal((await store.usage(budgets)).budgets[0]?.unverified, 1)
    const { taken } = await expect(
      'issued',
      store.issue(request, freePolicy, sendPurse(budgets, true)),
    )
    assert.deepEqual(taken?.over, [1])
  })

  it('A success gives back by what a send has taken from its purse.', async ({ store }) => {
    const budgets = [budgetOf(1)]
    const request = newRequest()
    const { taken } = await expect('issued', store.issue(request, freePolicy, sendPurse(budgets)))
    const { spent } = await expect('verified', store.check(rightCheck(request), freePolicy))
    assert.deepEqual(spent, [{ at: taken?.at, ip: 'A' }])
    await store.refund(budgets, spent[0]?.at ?? 0, true)
    await expect('issued', store.issue(newRequest(), freePolicy, sendPurse(budgets)))
  })

  it('Of parallel sends as many are issued as their purse has units.', async ({ store }) => {
    const purse = sendPurse([budgetOf(20)])
    const verdicts = await all(60, () => store.issue(newRequest(), freePolicy, purse))
    assert.deepEqual([count('issued', verdicts), count('exhausted', verdicts)], [20, 40])
  })

  it('Parallel sends with one budget in common and one of their own are counted in both.', async ({
    store,
    advance,
  }) => {
    const common = budgetOf(20, 2000)
    const one = async (_: number) => {
      const own = budgetOf(3, 2000)
      const purse = sendPurse([common, own])
      const { verdict } = await store.issue(newRequest(), freePolicy, purse)
      const { budgets } = await store.usage([own])
      assert.equal(budgets[0]?.unverified, verdict === 'issued' ? 1 : 0)
      return { verdict }
    }
    assert.equal(count('issued', await all(50, one)), 20)
    assert.equal((await store.usage([common])).budgets[0]?.unverified, 20)
    // Where a new bucket begins, and where all that was counted has left.
    await advance(100)
    assert.equal(count('exhausted', await all(50, one)), 50)
    await advance(2050)
    assert.equal(count('issued', await all(50, one)), 20)
    assert.equal((await store.usage([common])).budgets[0]?.unverified, 20)
  })

  it('A wrong check takes from its purse; one that is right or over does not.', async ({
    store,
  }) => {
    const growing = { ...budgetOf(2), share: 1 }
    const purse = { budgets: [growing], soft: false }
    const [request, other] = [newRequest(), newRequest()]
    await store.issue(request, freePolicy)
    await store.issue(other, freePolicy)
    await expect('gone', store.check(wrongCheck(newRequest()), freePolicy, purse))
    await expect('wrong', store.check(wrongCheck(request), freePolicy, purse))
    await expect('verified', store.check(rightCheck(other), freePolicy, purse))
    await expect('wrong', store.check(wrongCheck(request), freePolicy, purse))
    const refused = await expect('exhausted', store.check(rightCheck(request), freePolicy, purse))
    assert.equal(refused.budget, 0)
    assert.ok(refused.wait > 0 && refused.wait <= growing.window * (61 / 60))
    const soft = await expect(
      'wrong',
      store.check(wrongCheck(request), freePolicy, { ...purse, soft: true }),
    )
    assert.deepEqual([soft.checksLeft, soft.over], [2, [0]])
  })

  // Tokens

  it('A token is used once, and not after its end.', async ({ store, now, advance }) => {
    const [phone, token, nonce] = [random(22), random(34), random(8)]
    const until = (await now()) + 300
    const use = { phone, token, until, nonce }
    assert.equal(await store.useOnce(use), true)
    assert.equal(await store.useOnce(use), true)
    assert.equal(await store.useOnce({ ...use, nonce: random(8) }), false)
    await advance(310)
    for (const late of [token, random(34)]) {
      assert.equal(await store.useOnce({ ...use, token: late, nonce: random(8) }), false)
    }
  })

  it('Of parallel uses of a token one is the first.', async ({ store, now }) => {
    const use = { phone: random(22), token: random(34), until: (await now()) + 60_000 }
    const uses = await all(100, () => store.useOnce({ ...use, nonce: random(8) }))
    assert.equal(uses.filter(Boolean).length, 1)
  })

  // Progress

  it('What consumers have settled adds up, for each queue by itself.', async ({ store }) => {
    const [queue, other] = [random(8), random(8)]
    assert.equal(await store.progress(queue, 0), 0)
    assert.equal(await store.progress(queue, 3), 3)
    assert.equal(await store.progress(queue, 4), 7)
    assert.equal(await store.progress(queue, 0), 7)
    assert.equal(await store.progress(other, 0), 0)
  })

  // Issue

  it('A new verification is queued as version 1.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [1000] }
    const { expiresIn, ...rest } = await expect('issued', store.issue(newRequest(), policy))
    const queued = { version: 1, status: 'queued', published: false }
    assert.deepEqual(rest, { verdict: 'issued', ...queued, resendIn: 1000 })
    assert.ok(expiresIn > policy.ttl - 1000 && expiresIn <= policy.ttl)
  })

  it('The cooldown grows with each send, and its last step repeats.', async (opened) => {
    const { store, advance } = opened
    const policy = { ...freePolicy, cooldown: [100, 150, 200] }
    const { phone } = newRequest()
    const issue = () => store.issue(newRequest({ phone }), policy)
    const steps = []
    for (const _ of times(4, Number)) {
      const { resendIn } = await expect('issued', issue())
      steps.push(resendIn)
      const { wait } = await expect('wait', issue())
      assert.ok(wait > 0 && wait <= resendIn)
      await advance(wait)
    }
    assert.deepEqual(steps, [100, 150, 200, 200])
  })

  it('A success ends the cooldown and starts it anew.', async ({ store, advance }) => {
    const policy = { ...freePolicy, cooldown: [20, 1000] }
    const request = newRequest()
    await store.issue(request, policy)
    await advance(20)
    const resend = resendOf(request)
    assert.equal((await expect('issued', store.issue(resend, policy))).resendIn, 1000)
    await expect('verified', store.check(rightCheck(resend), policy))
    const next = await expect('issued', store.issue(newRequest({ phone: request.phone }), policy))
    assert.equal(next.resendIn, 20)
  })

  it('The cooldown starts anew when the log of sends is forgotten.', async (opened) => {
    const { store, advance } = opened
    const policy = {
      ...freePolicy,
      ...{ ttl: 100, retention: 200, proofTtl: 100, cooldown: [10, 20] },
      slowWindow: { max: 1, window: 100 },
    }
    const request = newRequest()
    const { phone } = request
    const issue = async () => expect('issued', store.issue(newRequest({ phone }), policy))
    await store.issue(request, policy)
    await expect('wrong', store.check(wrongCheck(request), policy))
    await advance(10)
    assert.equal((await issue()).resendIn, 20)
    await advance(305)
    assert.equal((await issue()).resendIn, 10)
  })

  it('All windows of a number hold at once, each sliding.', async ({ store, now, advance }) => {
    const windows = [
      { max: 2, window: 150 },
      { max: 3, window: 500 },
    ]
    const policy = { ...freePolicy, windows }
    const { phone } = newRequest()
    const issued: { from: number; to: number }[] = []
    for (let tries = 0; issued.length < 7; tries++) {
      assert.ok(tries < 50)
      let from = await now()
      const verdict = await store.issue(newRequest({ phone }), policy)
      if (verdict.verdict === 'wait') {
        await advance(verdict.wait)
        from = await now()
        await expect('issued', store.issue(newRequest({ phone }), policy))
      }
      issued.push({ from, to: await now() })
      await advance(20)
    }
    for (const { max, window } of windows) {
      for (const [i, { to }] of issued.slice(max).entries()) {
        assert.ok(to - (issued[i]?.from as number) >= window, JSON.stringify(issued))
      }
    }
  })

  it('Sends leave the window of a number one by one.', async ({ store, now, advance }) => {
    const policy = { ...freePolicy, windows: [{ max: 2, window: 900 }] }
    const { phone } = newRequest()
    const issue = () => store.issue(newRequest({ phone }), policy)
    await issue()
    await advance(450)
    await issue()
    const second = await now()
    await advance((await expect('wait', issue())).wait)
    await expect('issued', issue())
    const before = await now()
    const { wait } = await expect('wait', issue())
    assert.ok(wait <= second + 900 - before, `${wait}`)
  })

  it('Asking in vain consumes nothing and makes no wait longer.', async ({ store, advance }) => {
    const policy = { ...freePolicy, cooldown: [500], windows: [{ max: 2, window: 60_000 }] }
    const { phone } = newRequest()
    const issue = () => store.issue(newRequest({ phone }), policy)
    await issue()
    const waits = []
    for (const _ of times(10, Number)) waits.push((await expect('wait', issue())).wait)
    assert.deepEqual(
      waits,
      waits.toSorted((a, b) => b - a),
    )
    await advance(waits[0] as number)
    await expect('issued', issue())
  })

  it('Of 500 parallel requests for one number one is issued.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [60_000] }
    const { phone } = newRequest()
    const verdicts = await all(500, () => store.issue(newRequest({ phone }), policy))
    assert.equal(count('issued', verdicts), 1)
    assert.equal(count('wait', verdicts), 499)
  })

  it('Numbers do not share limits.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [60_000], live: 1 }
    await expect('issued', store.issue(newRequest(), policy))
    await expect('issued', store.issue(newRequest(), policy))
  })

  it('A resend makes a new version; the old code is dead, the checks are kept.', async (opened) => {
    const { store } = opened
    const request = newRequest()
    await store.issue(request, freePolicy)
    await store.check(wrongCheck(request), freePolicy)
    const resend = resendOf(request)
    const { version } = await expect('issued', store.issue(resend, freePolicy))
    assert.equal(version, 2)
    const { checksLeft } = await expect('wrong', store.check(rightCheck(request), freePolicy))
    assert.equal(checksLeft, 3)
    const { purpose, sealedPhone } = await expect(
      'verified',
      store.check(rightCheck(resend), freePolicy),
    )
    assert.deepEqual([purpose, sealedPhone], ['login', resend.sealedPhone])
  })

  it('A resend renews the life of the code.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 400 }
    const request = newRequest()
    await store.issue(request, policy)
    await advance(250)
    const resend = resendOf(request, { purpose: 'login' })
    const { expiresIn } = await expect('issued', store.issue(resend, policy))
    assert.ok(expiresIn > 300 && expiresIn <= 400)
    await advance(200)
    await expect('verified', store.check(rightCheck(resend), policy))
  })

  it('A resend that does not fit the verification is gone and changes nothing.', async (opened) => {
    const { store } = opened
    const policy = { ...freePolicy, windows: [{ max: 2, window: 60_000 }] }
    const request = newRequest()
    await store.issue(request, policy)
    const shard = request.phone.slice(0, 2)
    for (const misfit of [
      resendOf(request, { phone: shard + random(20) }),
      resendOf(request, { purpose: 'signup' }),
      resendOf(request, { id: shard + random(22) }),
      newRequest({ phone: request.phone, id: request.id }),
    ]) {
      assert.deepEqual(await store.issue(misfit, policy), { verdict: 'gone' })
    }
    const known = await expect('known', store.status(request.id, policy))
    assert.equal(known.resendIn, 0)
    await expect('verified', store.check(rightCheck(request), policy))
  })

  it('A verification that is over cannot be resent.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 300, checks: 1 }
    const [expired, verified, cancelled, exhausted] = [
      newRequest(),
      newRequest(),
      newRequest(),
      newRequest(),
    ]
    for (const request of [expired, verified, cancelled, exhausted]) {
      await store.issue(request, policy)
    }
    await expect('verified', store.check(rightCheck(verified), policy))
    await store.cancel(cancelled.id)
    await store.check(wrongCheck(exhausted), policy)
    await advance(301)
    for (const request of [expired, verified, cancelled, exhausted]) {
      await expect('gone', store.issue(resendOf(request), policy))
    }
  })

  it('So many verifications of a number are live, and what ends makes room.', async (opened) => {
    const { store } = opened
    const policy = { ...freePolicy, live: 3, checks: 1 }
    const { phone } = newRequest()
    const [a, b, c] = [newRequest({ phone }), newRequest({ phone }), newRequest({ phone })]
    for (const request of [a, b, c]) await expect('issued', store.issue(request, policy))
    const full = async () => {
      const { wait } = await expect('wait', store.issue(newRequest({ phone }), policy))
      assert.ok(wait > 0 && wait <= policy.ttl)
    }
    await full()
    await expect('issued', store.issue(resendOf(a), policy))
    await full()
    for (const end of [
      () => store.cancel(a.id),
      () => store.check(rightCheck(b), policy),
      () => store.check(wrongCheck(c), policy),
    ]) {
      await end()
      await expect('issued', store.issue(newRequest({ phone }), policy))
      await full()
    }
  })

  it('The wait for a live verification to expire is enough.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 500, live: 2 }
    const { phone } = newRequest()
    const issue = () => store.issue(newRequest({ phone }), policy)
    await issue()
    await advance(200)
    await issue()
    for (const _ of times(3, Number)) {
      const { wait } = await expect('wait', issue())
      await advance(wait)
      await expect('issued', issue())
    }
  })

  it('A request with the key of the latest version repeats it.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [60_000, 0], windows: [{ max: 2, window: 60_000 }] }
    const request = newRequest({ key: 'k1' })
    const { phone, id } = request
    const first = await expect('issued', store.issue(request, policy))
    const repeat = newRequest({ phone, id, key: 'k1' })
    const again = await expect('repeated', store.issue(repeat, policy))
    assert.equal(again.version, 1)
    assert.ok(again.expiresIn <= first.expiresIn && again.resendIn <= first.resendIn)
    await store.claim(claimOf(request))
    const { status } = await expect('repeated', store.issue({ ...repeat, code: '2' }, policy))
    assert.equal(status, 'sending')

    await store.unlock(phone)
    const resend = resendOf(request, { key: 'k2' })
    await expect('issued', store.issue(resend, policy))
    const { version } = await expect(
      'repeated',
      store.issue(resendOf(request, { key: 'k2' }), policy),
    )
    assert.equal(version, 2)
    await expect('gone', store.issue({ ...repeat, code: '3' }, policy))
    await expect('wrong', store.check(rightCheck(repeat), policy))
    await expect('verified', store.check(rightCheck(resend), policy))
  })

  it('A repeat says whether the job of its version is queued for certain.', async ({ store }) => {
    const request = newRequest({ key: 'k1' })
    const { id, phone } = request
    const repeat = async (key: string, code: string) =>
      (await expect('repeated', store.issue({ ...request, key, code }, freePolicy))).published
    await expect('issued', store.issue(request, freePolicy))
    assert.equal(await repeat('k1', '2'), false)
    await store.published({ id, version: 2 })
    assert.equal(await repeat('k1', '3'), false)
    await store.published({ id, version: 1 })
    assert.equal(await repeat('k1', '4'), true)

    const resend = resendOf(request, { key: 'k2' })
    const { published } = await expect('issued', store.issue(resend, freePolicy))
    assert.equal(published, false)
    await store.published({ id, version: 1 })
    assert.equal(await repeat('k2', '5'), false)
    await store.retract({ id, version: 2, phone })
    assert.equal(await repeat('k1', '6'), true)
    await store.published({ id: random(24), version: 1 })

    // What a repeat has queued, the first request cannot take back.
    await store.retract({ id, version: 1, phone })
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('A key repeats nothing for another number or a code that is dead.', async ({ store }) => {
    const request = newRequest({ key: 'k1' })
    await store.issue(request, freePolicy)
    const phone = request.phone.slice(0, 2) + random(20)
    await expect('gone', store.issue(resendOf(request, { phone, key: 'k1' }), freePolicy))
    await store.cancel(request.id)
    await expect('gone', store.issue({ ...request, code: '2' }, freePolicy))
  })

  it('A dry run says what would become of a request, and changes nothing.', async ({ store }) => {
    const request = newRequest({ key: 'k1' })
    const dry = { ...request, dryRun: true, code: '2' }
    await expect('free', store.issue(dry, freePolicy))
    assert.deepEqual(await store.status(request.id, freePolicy), { verdict: 'gone' })
    await expect('issued', store.issue(request, freePolicy))
    await expect('repeated', store.issue(dry, freePolicy))
    await expect('gone', store.issue({ ...dry, key: 'k2' }, freePolicy))
    const resend = resendOf(request, { key: 'k2', dryRun: true })
    await expect('free', store.issue(resend, freePolicy))
    await expect(
      'wait',
      store.issue(resend, { ...freePolicy, windows: [{ max: 1, window: 60_000 }] }),
    )
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('A request run twice is answered as before and issues once.', async ({ store, advance }) => {
    const policy = { ...freePolicy, cooldown: [50, 60_000] }
    const request = newRequest({ spent: { at: 1_790_000_000_000, ip: 'A' } })
    for (const twice of [request, resendOf(request, { key: 'k' })]) {
      const first = await expect('issued', store.issue(twice, policy))
      const second = await expect('issued', store.issue(twice, policy))
      assert.equal(second.version, first.version)
      assert.ok(second.expiresIn <= first.expiresIn && second.resendIn <= first.resendIn)
      if (twice === request) await advance(50)
      else {
        const verified = await expect('verified', store.check(rightCheck(twice), policy))
        assert.deepEqual(verified.spent, [{ at: 1_790_000_000_000, ip: 'A' }])
      }
    }
  })

  it('Many failed checks leave a number only the slow window, except trusted.', async (opened) => {
    const { store } = opened
    const policy = { ...freePolicy, slowAfter: 2, slowWindow: { max: 2, window: 60_000 } }
    const request = newRequest()
    const { phone } = request
    await store.issue(request, policy)
    await store.check(wrongCheck(request), policy)
    await expect('issued', store.issue(newRequest({ phone }), policy))
    await expect('issued', store.issue(newRequest({ phone }), policy))
    await store.check(wrongCheck(request), policy)
    const { wait } = await expect('wait', store.issue(newRequest({ phone }), policy))
    assert.ok(wait > 50_000 && wait <= 60_000)
    await expect('issued', store.issue(newRequest({ phone, trusted: true }), policy))
    await expect('verified', store.check(rightCheck(request), policy))
    await expect('issued', store.issue(newRequest({ phone }), policy))
  })

  it('The slow window holds though all else about a number is forgotten.', async (opened) => {
    const { store, advance } = opened
    const policy = {
      ...freePolicy,
      ...{ ttl: 200, retention: 50, proofTtl: 50, slowAfter: 1 },
      slowWindow: { max: 1, window: 1000 },
    }
    const request = newRequest()
    await store.issue(request, policy)
    await expect('wrong', store.check(wrongCheck(request), policy))
    await advance(300)
    assert.deepEqual(await store.status(request.id, policy), { verdict: 'gone' })
    await expect('wait', store.issue(newRequest({ phone: request.phone }), policy))
  })

  it('Too many failed checks disable a number until it is unlocked.', async ({ store }) => {
    const policy = { ...freePolicy, disableAfter: 3 }
    const request = newRequest({ trusted: true })
    const { phone } = request
    await store.issue(request, policy)
    for (const _ of times(3, Number)) await store.check(wrongCheck(request), policy)
    const trusted = newRequest({ phone, trusted: true })
    assert.deepEqual(await store.issue(trusted, policy), { verdict: 'disabled' })
    await expect('disabled', store.issue(resendOf(request), policy))
    await expect('gone', store.check(rightCheck(request), policy))
    await store.unlock(phone)
    await store.unlock(phone)
    await expect('verified', store.check(rightCheck(request), policy))
    await expect('issued', store.issue(trusted, policy))
  })

  // Retract

  it('A retracted verification never was.', async ({ store }) => {
    const policy = {
      ...freePolicy,
      cooldown: [30_000, 60_000],
      windows: [{ max: 1, window: 20_000 }],
      live: 1,
    }
    const request = newRequest()
    const { phone, id } = request
    await store.issue(request, policy)
    for (const _ of times(2, Number)) await store.retract({ id, version: 1, phone })
    assert.deepEqual(await store.status(id, policy), { verdict: 'gone' })
    assert.deepEqual(await store.claim(claimOf(request)), { verdict: 'unknown' })
    await expect('gone', store.check(rightCheck(request), policy))
    const next = await expect('issued', store.issue(newRequest({ phone }), policy))
    assert.equal(next.resendIn, 30_000)
  })

  it('A retracted send gives back the step of the cooldown it took.', async (opened) => {
    const { store, advance } = opened
    const policy = { ...freePolicy, cooldown: [20, 30_000, 60_000] }
    const first = newRequest()
    const { phone } = first
    await store.issue(first, policy)
    await advance(20)
    const second = newRequest({ phone })
    await store.issue(second, policy)
    await store.retract({ id: second.id, version: 1, phone })
    assert.equal((await expect('known', store.status(first.id, policy))).resendIn, 0)
    const third = await expect('issued', store.issue(newRequest({ phone }), policy))
    assert.equal(third.resendIn, 30_000)
  })

  it('After a retracted resend the old code verifies again.', async ({ store }) => {
    const policy = { ...freePolicy, windows: [{ max: 2, window: 60_000 }] }
    const spent = { at: 1_790_000_000_000, ip: 'A' }
    const request = newRequest({ key: 'k1', spent })
    const { phone, id } = request
    await store.issue(request, policy)
    await store.check(wrongCheck(request), policy)
    const resend = resendOf(request, { key: 'k2', spent: { ...spent, ip: 'B' } })
    await store.issue(resend, policy)
    await store.check(wrongCheck(request), policy)
    for (const _ of times(2, Number)) await store.retract({ id, version: 2, phone })

    const known = await expect('known', store.status(id, policy))
    assert.deepEqual([known.status, known.checksLeft, known.resendIn], ['queued', 3, 0])
    await expect('repeated', store.issue({ ...request, code: '2' }, policy))
    await expect('unknown', store.claim(claimOf(request, { version: 2 })))
    const { code } = await expect('send', store.claim(claimOf(request)))
    assert.equal(code, request.code)
    await expect('wrong', store.check(rightCheck(resend), policy))
    const verified = await expect('verified', store.check(rightCheck(request), policy))
    assert.deepEqual(verified.spent, [spent])
  })

  it('A retracted resend leaves the sending of the old code where it was.', async ({ store }) => {
    const request = newRequest()
    const { phone, id } = request
    const claim = claimOf(request)
    await store.issue(request, freePolicy)
    await store.claim(claim)
    await store.issue(resendOf(request), freePolicy)
    await store.retract({ id, version: 2, phone })
    assert.equal((await expect('known', store.status(id, freePolicy))).status, 'sending')
    await expect('busy', store.claim(claimOf(request)))
    assert.equal(await store.complete({ ...claim, result: 'sent' }), 'recorded')

    await store.issue(resendOf(request), freePolicy)
    await store.retract({ id, version: 2, phone })
    assert.equal((await expect('known', store.status(id, freePolicy))).status, 'sent')
    const done = await expect('done', store.claim(claimOf(request)))
    assert.equal(done.result, 'sent')
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('A retracted resend does not revive a code that has expired.', async (opened) => {
    const { store, advance } = opened
    const policy = { ...freePolicy, ttl: 400 }
    const request = newRequest()
    const { phone, id } = request
    await store.issue(request, policy)
    await advance(250)
    await expect('issued', store.issue(resendOf(request), policy))
    await advance(160)
    await store.retract({ id, version: 2, phone })
    await expect('gone', store.check(rightCheck(request), policy))
    assert.equal((await expect('known', store.status(id, policy))).status, 'expired')
  })

  it('What was claimed, superseded or verified is not retracted.', async ({ store }) => {
    const policy = { ...freePolicy, windows: [{ max: 3, window: 60_000 }] }
    const request = newRequest()
    const { phone, id } = request
    await store.issue(request, policy)
    await store.claim(claimOf(request))
    await store.retract({ id, version: 1, phone })
    const resend = resendOf(request)
    await store.issue(resend, policy)
    await store.retract({ id, version: 1, phone })
    await store.retract({ id, version: 3, phone })
    await expect('verified', store.check(rightCheck(resend), policy))
    await store.retract({ id, version: 2, phone })
    assert.equal((await expect('known', store.status(id, policy))).status, 'verified')
    await expect('issued', store.issue(newRequest({ phone }), policy))
    await expect('wait', store.issue(newRequest({ phone }), policy))
  })

  it('A retracted send leaves alone the cooldown of a later one.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [60_000] }
    const first = newRequest()
    const { phone } = first
    await store.issue(first, policy)
    await store.unlock(phone)
    const second = newRequest({ phone })
    await store.issue(second, { ...policy, cooldown: [50_000] })
    await store.retract({ id: first.id, version: 1, phone })
    const { resendIn } = await expect('known', store.status(second.id, policy))
    assert.ok(resendIn > 40_000 && resendIn <= 50_000)
  })

  // Check

  it('The right code verifies once and gives what is needed for the rest.', async ({ store }) => {
    const spent = { at: 1_790_000_000_000, ip: '' }
    const request = newRequest({ spent, purpose: 'signup' })
    const resend = resendOf(request, { spent: { at: 1_790_000_000_001, ip: 'A-_' } })
    await store.issue(request, freePolicy)
    await store.issue(resend, freePolicy)
    const macs = [random(43), resend.mac]
    assert.deepEqual(await store.check({ ...rightCheck(resend), macs }, freePolicy), {
      verdict: 'verified',
      purpose: 'signup',
      sealedPhone: resend.sealedPhone,
      spent: [spent, { at: 1_790_000_000_001, ip: 'A-_' }],
    })
    assert.deepEqual(await store.check(rightCheck(resend), freePolicy), { verdict: 'gone' })
  })

  it('A check that the process could not read the number after is not counted.', async (opened) => {
    const { store } = opened
    const request = newRequest()
    const policy = { ...freePolicy, checks: 1 }
    await store.issue(request, policy)
    await expect('foreign', store.check({ ...rightCheck(request), keyIds: ['key1'] }, policy))
    await expect('foreign', store.check({ ...wrongCheck(request), keyIds: [] }, policy))
    const keyIds = ['key1', KEY_ID]
    await expect('verified', store.check({ ...rightCheck(request), keyIds }, policy))
    await expect('gone', store.check({ ...rightCheck(request), keyIds: ['key1'] }, policy))
  })

  it('A verification without budgets gives none back.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const { spent } = await expect('verified', store.check(rightCheck(request), freePolicy))
    assert.deepEqual(spent, [])
  })

  it('What is not known cannot be checked.', async ({ store }) => {
    assert.deepEqual(await store.check(rightCheck(newRequest()), freePolicy), { verdict: 'gone' })
  })

  it('A code of one verification is wrong for another.', async ({ store }) => {
    const [one, other] = [newRequest(), newRequest()]
    await store.issue(one, freePolicy)
    await store.issue(other, freePolicy)
    await expect('wrong', store.check({ ...rightCheck(one), id: other.id }, freePolicy))
    const { checksLeft } = await expect('known', store.status(one.id, freePolicy))
    assert.equal(checksLeft, 5)
  })

  it('Of 1,000 parallel wrong checks as many are compared as there are.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const verdicts = await all(1000, () => store.check(wrongCheck(request), freePolicy))
    const left = verdicts.flatMap((v) => (v.verdict === 'wrong' ? v.checksLeft : []))
    assert.deepEqual(
      left.toSorted((a, b) => b - a),
      [4, 3, 2, 1, 0],
    )
    assert.equal(count('gone', verdicts), 995)
    await expect('gone', store.check(rightCheck(request), freePolicy))
  })

  it('The last check is as good as the first.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    for (const _ of times(4, Number)) await store.check(wrongCheck(request), freePolicy)
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('Of 200 parallel right checks one is a success.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const verdicts = await all(200, () => store.check(rightCheck(request), freePolicy))
    assert.equal(count('verified', verdicts), 1)
    assert.equal(count('gone', verdicts), 199)
  })

  it('A failure count outlives its codes and is cleared by a success.', async (opened) => {
    const { store, advance } = opened
    const policy = {
      ...freePolicy,
      ...{ ttl: 200, retention: 50, proofTtl: 50, checks: 2, disableAfter: 4 },
      slowWindow: { max: 1, window: 60 },
    }
    const { phone } = newRequest()
    const fail = async () => {
      const request = newRequest({ phone })
      await expect('issued', store.issue(request, policy))
      const first = await expect('wrong', store.check(wrongCheck(request), policy))
      return first.disabledPhone === undefined ? request : undefined
    }
    for (const _ of times(3, Number)) {
      const request = await fail()
      assert.ok(request)
      await expect('verified', store.check(rightCheck(request), policy))
    }
    for (const _ of times(3, Number)) {
      assert.ok(await fail())
      await advance(260)
    }
    assert.equal(await fail(), undefined)
    await expect('disabled', store.issue(newRequest({ phone }), policy))
  })

  it('Exactly one check is told that it disabled the number.', async ({ store }) => {
    const policy = { ...freePolicy, disableAfter: 10 }
    const { phone } = newRequest()
    const requests = times(4, () => newRequest({ phone }))
    for (const request of requests) await store.issue(request, policy)
    const verdicts = await all(100, (i) =>
      store.check(wrongCheck(requests[i % 4] as IssueRequest), policy),
    )
    assert.equal(count('wrong', verdicts), 10)
    const told = verdicts.flatMap((v) => (v.verdict === 'wrong' ? (v.disabledPhone ?? []) : []))
    assert.equal(told.length, 1)
    assert.ok(requests.some(({ sealedPhone }) => sealedPhone === told[0]))
  })

  it('A check for a disabled number is gone; where the process could not read it, foreign.', async (opened) => {
    const { store } = opened
    const policy = { ...freePolicy, disableAfter: 1 }
    const request = newRequest()
    await store.issue(request, policy)
    const budget = budgetOf(1)
    const purse = { budgets: [budget], soft: true }
    await expect('wrong', store.check(wrongCheck(request), policy, purse))
    const before = await store.status(request.id, policy)
    const unreadable = { ...rightCheck(request), keyIds: [] }
    const foreign = await store.check(unreadable, policy, purse)
    assert.deepEqual(foreign, { verdict: 'foreign', over: [0] })
    // Whatever is checked and however often, it takes nothing from the budget and none of the verification's checks.
    const right = rightCheck(request)
    for (const check of [right, right, wrongCheck(request)]) {
      const gone = await store.check(check, policy, purse)
      assert.deepEqual(gone, { verdict: 'gone', over: [0] })
    }
    assert.equal((await store.usage([budget])).budgets[0]?.unverified, 1)
    const after = await store.status(request.id, policy)
    assert.ok(before.verdict === 'known' && after.verdict === 'known')
    assert.equal(after.checksLeft, before.checksLeft)
    await store.unlock(request.phone)
    await expect('verified', store.check(rightCheck(request), policy))
  })

  it('A code dies by the clock of the store.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 250 }
    const request = newRequest()
    await store.issue(request, policy)
    await advance(50)
    await expect('wrong', store.check(wrongCheck(request), policy))
    await advance(201)
    await expect('gone', store.check(rightCheck(request), policy))
  })

  it('A check run twice is answered as before and counts once.', async ({ store }) => {
    const policy = { ...freePolicy, disableAfter: 4 }
    const request = newRequest()
    await store.issue(request, policy)
    const checks = times(4, () => wrongCheck(request))
    const answers = []
    for (const check of checks) {
      const answer = await store.check(check, policy)
      assert.deepEqual(await store.check(check, policy), answer)
      answers.push(answer)
    }
    assert.deepEqual(answers, [
      { verdict: 'wrong', checksLeft: 4 },
      { verdict: 'wrong', checksLeft: 3 },
      { verdict: 'wrong', checksLeft: 2 },
      { verdict: 'wrong', checksLeft: 1, disabledPhone: request.sealedPhone },
    ])
    await store.unlock(request.phone)
    const right = rightCheck(request)
    const success = await expect('verified', store.check(right, policy))
    assert.deepEqual(await store.check(right, policy), success)
    for (const [i, check] of checks.entries()) {
      assert.deepEqual(await store.check(check, policy), answers[i])
    }
    await expect('gone', store.check(rightCheck(request), policy))
  })

  it('The check that was the last is answered as before too.', async ({ store }) => {
    const policy = { ...freePolicy, checks: 1, disableAfter: 1 }
    const request = newRequest()
    await store.issue(request, policy)
    const check = wrongCheck(request)
    const answer = await store.check(check, policy)
    const { sealedPhone } = request
    assert.deepEqual(answer, { verdict: 'wrong', checksLeft: 0, disabledPhone: sealedPhone })
    assert.deepEqual(await store.check(check, policy), answer)
  })

  // Claim and complete

  it('The first claim gets what is to be sent.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const { expiresIn, ...rest } = await expect('send', store.claim(claimOf(request)))
    const { code } = request
    assert.deepEqual(rest, { verdict: 'send', purpose: 'login', code, again: false })
    assert.ok(expiresIn > 50_000 && expiresIn <= 60_000)
  })

  it('Of 100 parallel claims one is to send, the others are busy.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const verdicts = await all(100, () => store.claim(claimOf(request)))
    assert.equal(count('send', verdicts), 1)
    assert.equal(count('busy', verdicts), 99)
  })

  it('A claim keeps others away for its lease, then it may be sent again.', async (opened) => {
    const { store, advance } = opened
    const request = newRequest()
    await store.issue(request, freePolicy)
    const first = claimOf(request, { lease: 300 })
    await store.claim(first)
    const { wait } = await expect('busy', store.claim(claimOf(request, { again: false })))
    assert.ok(wait > 0 && wait <= 300)
    await expect('busy', store.claim(claimOf(request, { attempt: 2 })))
    await advance(wait)
    const second = claimOf(request)
    assert.equal((await expect('send', store.claim(second))).again, true)
    assert.equal(await store.complete({ ...first, result: 'failed' }), 'taken')
    assert.equal((await expect('send', store.claim(second))).again, true)
    assert.equal(await store.complete({ ...second, result: 'sent' }), 'recorded')
  })

  it('An unanswered claim is not repeated where that is not wanted.', async (opened) => {
    const { store, advance } = opened
    const request = newRequest()
    await store.issue(request, freePolicy)
    const first = claimOf(request, { lease: 50 })
    await store.claim(first)
    await advance(50)
    const second = claimOf(request, { again: false })
    for (const _ of times(2, Number)) {
      assert.deepEqual(await store.claim(second), { verdict: 'unanswered' })
    }
    assert.equal(await store.complete({ ...first, result: 'retry' }), 'taken')
    const done = { verdict: 'done', result: 'unknown' }
    assert.deepEqual(await store.claim(claimOf(request)), done)
    assert.deepEqual(await store.claim(claimOf(request, { attempt: 2 })), done)
    assert.equal((await expect('known', store.status(request.id, freePolicy))).status, 'sent')
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('A claim run twice by its holder is answered as before.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const claim = claimOf(request)
    const { expiresIn, ...first } = await expect('send', store.claim(claim))
    const second = await expect('send', store.claim(claim))
    assert.ok(second.expiresIn <= expiresIn)
    assert.deepEqual(second, { ...first, expiresIn: second.expiresIn })
    await expect('busy', store.claim(claimOf(request)))
  })

  it('A code with too little of its life left is not sent.', async ({ store }) => {
    const policy = { ...freePolicy, live: 1 }
    const request = newRequest()
    await store.issue(request, policy)
    const claim = claimOf(request, { minRemaining: 60_001 })
    for (const _ of times(2, Number)) {
      assert.deepEqual(await store.claim(claim), { verdict: 'expired' })
    }
    const { status, reason } = await expect('known', store.status(request.id, policy))
    assert.deepEqual([status, reason], ['expired', 'late'])
    await expect('gone', store.check(rightCheck(request), policy))
    await expect('issued', store.issue(newRequest({ phone: request.phone }), policy))
  })

  it('A code that an attempt may have brought outlives the end of sending.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const first = claimOf(request)
    await store.claim(first)
    const late = claimOf(request, { minRemaining: 60_001 })
    await expect('busy', store.claim(late))
    assert.equal((await expect('known', store.status(request.id, freePolicy))).status, 'sending')
    await store.complete({ ...first, result: 'retry' })
    const retry = { ...late, attempt: 2 }
    await expect('expired', store.claim(retry))
    await expect('expired', store.claim(retry))
    await expect('expired', store.claim({ ...retry, minRemaining: 0 }))
    const { status, reason } = await expect('known', store.status(request.id, freePolicy))
    assert.deepEqual([status, reason], ['failed', 'late'])
    await expect('verified', store.check(rightCheck(request), freePolicy))
  })

  it('A code that has died is not sent.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 60, checks: 1 }
    const [timedOut, exhausted] = [newRequest(), newRequest()]
    await store.issue(timedOut, policy)
    await advance(61)
    await expect('expired', store.claim(claimOf(timedOut)))
    await store.issue(exhausted, policy)
    await store.check(wrongCheck(exhausted), policy)
    await expect('expired', store.claim(claimOf(exhausted)))
  })

  it('What is superseded, cancelled or unknown is not sent.', async ({ store }) => {
    const [superseded, cancelled, erased] = [newRequest(), newRequest(), newRequest()]
    await store.issue(superseded, freePolicy)
    await store.issue(resendOf(superseded), freePolicy)
    await expect('superseded', store.claim(claimOf(superseded)))
    await expect('unknown', store.claim(claimOf(superseded, { version: 3 })))
    await expect('send', store.claim(claimOf(superseded, { version: 2 })))
    await store.issue(cancelled, freePolicy)
    await store.cancel(cancelled.id)
    await expect('superseded', store.claim(claimOf(cancelled)))
    await store.issue(erased, freePolicy)
    await store.erase(erased.phone)
    await expect('unknown', store.claim(claimOf(erased)))
    await expect('unknown', store.claim(claimOf(newRequest())))
  })

  it('Each version is sent by itself.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const first = claimOf(request)
    await store.claim(first)
    await store.complete({ ...first, result: 'sent' })
    const resend = resendOf(request)
    await store.issue(resend, freePolicy)
    const second = claimOf(request, { version: 2 })
    const { code, again } = await expect('send', store.claim(second))
    assert.deepEqual([code, again], [resend.code, false])
  })

  it('What is verified is not sent any more.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const claim = claimOf(request)
    await store.claim(claim)
    await store.check(rightCheck(request), freePolicy)
    assert.deepEqual(await store.claim(claimOf(request)), { verdict: 'arrived' })
    const done = { verdict: 'done', result: 'sent' }
    assert.deepEqual(await store.claim(claimOf(request)), done)
    assert.equal(await store.complete({ ...claim, result: 'failed' }), 'taken')
    assert.equal((await expect('known', store.status(request.id, freePolicy))).status, 'verified')
  })

  for (const [result, status] of [
    ['sent', 'sent'],
    ['retry', 'queued'],
    ['failed', 'failed'],
    ['unknown', 'sent'],
  ] as const) {
    it(`The result ${result} is recorded, and the code verifies.`, async ({ store }) => {
      const request = newRequest()
      await store.issue(request, freePolicy)
      const claim = claimOf(request)
      await store.claim(claim)
      for (const _ of times(2, Number)) {
        assert.equal(await store.complete({ ...claim, result }), 'recorded')
      }
      assert.equal((await expect('known', store.status(request.id, freePolicy))).status, status)
      assert.deepEqual(await store.claim(claimOf(request)), { verdict: 'done', result })
      const next = await store.claim(claimOf(request, { attempt: 2 }))
      if (result === 'retry' || result === 'failed') {
        assert.deepEqual([next.verdict, 'again' in next && next.again], ['send', false])
      } else assert.deepEqual(next, { verdict: 'done', result })
      await expect('verified', store.check(rightCheck(request), freePolicy))
    })
  }

  it('There are no more attempts than there may be, whatever a job says.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    for (const attempt of [1, 2, 3, 4]) {
      const claim = claimOf(request, { attempt })
      await expect('send', store.claim(claim))
      await store.complete({ ...claim, result: 'retry' })
    }
    for (const attempt of [5, 6, 100]) {
      const done = { verdict: 'done', result: 'failed' }
      assert.deepEqual(await store.claim(claimOf(request, { attempt })), done)
    }
    await store.issue(resendOf(request), freePolicy)
    await expect('send', store.claim(claimOf(request, { version: 2 })))
  })

  it('Why it failed stands in the status until it is sent again or verified.', async (opened) => {
    const { store, advance } = opened
    const policy = { ...freePolicy, ttl: 700 }
    const [verified, expired] = [newRequest(), newRequest()]
    const known = async ({ id }: IssueRequest) => {
      const { status, reason } = await expect('known', store.status(id, policy))
      return [status, reason]
    }
    for (const request of [verified, expired]) {
      await store.issue(request, policy)
      assert.deepEqual(await known(request), ['queued', undefined])
      const first = claimOf(request)
      await store.claim(first)
      const failed = { result: 'failed', reason: 'recipient' } as const
      for (const _ of times(2, Number)) await store.complete({ ...first, ...failed })
      assert.deepEqual(await known(request), ['failed', 'recipient'])

      // As from a dead letter that an operator has replayed.
      const second = claimOf(request, { attempt: 2 })
      await store.claim(second)
      assert.deepEqual(await known(request), ['sending', undefined])
      await store.complete({ ...second, result: 'retry' })
      assert.deepEqual(await known(request), ['queued', undefined])
      const third = claimOf(request, { attempt: 3 })
      await store.claim(third)
      await store.complete({ ...third, result: 'failed', reason: 'provider' })
      assert.deepEqual(await known(request), ['failed', 'provider'])
    }
    await expect('verified', store.check(rightCheck(verified), policy))
    await advance(701)
    assert.deepEqual(await known(expired), ['failed', 'provider'])
    assert.deepEqual(await known(verified), ['verified', undefined])
  })

  it('A resend clears why it failed, and its retraction brings that back.', async ({ store }) => {
    const request = newRequest()
    const { id, phone } = request
    const known = async () => {
      const { status, reason } = await expect('known', store.status(id, freePolicy))
      return [status, reason]
    }
    await store.issue(request, freePolicy)
    const claim = claimOf(request)
    await store.claim(claim)
    await store.complete({ ...claim, result: 'failed', reason: 'rate' })
    await store.issue(resendOf(request), freePolicy)
    assert.deepEqual(await known(), ['queued', undefined])
    await store.retract({ id, phone, version: 2 })
    assert.deepEqual(await known(), ['failed', 'rate'])
  })

  it('A result that comes too late says nothing of why.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const claim = claimOf(request)
    await store.claim(claim)
    await store.check(rightCheck(request), freePolicy)
    await store.complete({ ...claim, result: 'failed', reason: 'provider' })
    const { status, reason } = await expect('known', store.status(request.id, freePolicy))
    assert.deepEqual([status, reason], ['verified', undefined])
  })

  it('A copy of an earlier attempt is a duplicate.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const first = claimOf(request)
    await store.claim(first)
    await store.complete({ ...first, result: 'retry' })
    await store.claim(claimOf(request, { attempt: 2 }))
    await expect('duplicate', store.claim(claimOf(request)))
    await expect('duplicate', store.claim(first))
    assert.equal(await store.complete({ ...first, result: 'failed' }), 'taken')
  })

  it('Only the current claim can be completed.', async ({ store }) => {
    const request = newRequest()
    const { id, version, attempt, holder } = claimOf(request)
    const complete = { id, version, attempt, holder, result: 'sent' as const }
    assert.equal(await store.complete(complete), 'gone')
    await store.issue(request, freePolicy)
    // As after a fail-over that has forgotten the claim.
    assert.equal(await store.complete(complete), 'gone')
    await store.claim({ ...claimOf(request), holder })
    assert.equal(await store.complete({ ...complete, holder: 'other' }), 'taken')
    assert.equal(await store.complete({ ...complete, attempt: 2 }), 'gone')
    assert.equal(await store.complete({ ...complete, version: 2 }), 'gone')
    await store.issue(resendOf(request), freePolicy)
    assert.equal(await store.complete(complete), 'gone')
    assert.equal((await expect('known', store.status(id, freePolicy))).status, 'queued')
    await store.claim({ ...claimOf(request), holder, version: 2 })
    assert.equal(await store.complete({ ...complete, version: 2 }), 'recorded')
  })

  // Redeem

  async function verified(store: Store, purpose = 'login', policy = freePolicy) {
    const request = newRequest({ purpose })
    await store.issue(request, policy)
    const check = rightCheck(request)
    await expect('verified', store.check(check, policy))
    return { request, shard: request.id.slice(0, 2), proof: check.proof }
  }

  it('A proof is redeemed once, by one request.', async ({ store, now }) => {
    const before = await now()
    const { request, shard, proof } = await verified(store)
    const after = await now()
    const redeem = redeemOf(proof, { shard })
    const { verifiedAt, ...rest } = await expect('redeemed', store.redeem(redeem))
    const { id, sealedPhone } = request
    assert.deepEqual(rest, { verdict: 'redeemed', id, purpose: 'login', sealedPhone })
    assert.ok(verifiedAt >= before && verifiedAt <= after)
    assert.deepEqual(await store.redeem(redeem), { ...rest, verifiedAt })
    assert.deepEqual(await store.redeem({ ...redeem, nonce: random(8) }), { verdict: 'gone' })
  })

  it('Of 100 parallel requests one redeems the proof.', async ({ store }) => {
    const { shard, proof } = await verified(store)
    const verdicts = await all(100, () =>
      store.redeem(redeemOf(proof, { shard, purpose: 'login' })),
    )
    assert.equal(count('redeemed', verdicts), 1)
  })

  it('A proof asked for another purpose is not used up.', async ({ store }) => {
    const { shard, proof } = await verified(store, 'signup')
    const redeem = redeemOf(proof, { shard })
    assert.deepEqual(await store.redeem({ ...redeem, purpose: 'login' }), { verdict: 'gone' })
    await expect('redeemed', store.redeem({ ...redeem, purpose: 'signup' }))
  })

  it('A proof that the process cannot open is not used up.', async ({ store }) => {
    const { shard, proof } = await verified(store)
    await expect('foreign', store.redeem(redeemOf(proof, { shard, keyIds: ['key1'] })))
    await expect('foreign', store.redeem(redeemOf(proof, { shard, keyIds: [] })))
    await expect('redeemed', store.redeem(redeemOf(proof, { shard, keyIds: ['key1', KEY_ID] })))
    await expect('gone', store.redeem(redeemOf(proof, { shard, keyIds: ['key1'] })))
  })

  it('A proof has a life, and what never was a proof has none.', async ({ store, advance }) => {
    const { shard, proof } = await verified(store, 'login', { ...freePolicy, proofTtl: 80 })
    const redeem = redeemOf(proof, { shard })
    await expect('gone', store.redeem({ ...redeem, proof: random(22) }))
    await advance(81)
    await expect('gone', store.redeem(redeem))
  })

  // Status, cancel, unlock, erase

  it('The status follows a verification to its end.', async ({ store, advance }) => {
    const policy = { ...freePolicy, cooldown: [30_000], ttl: 400, retention: 200, proofTtl: 100 }
    const request = newRequest()
    await store.issue(request, policy)
    const status = async () => expect('known', store.status(request.id, policy))
    const queued = await status()
    assert.deepEqual([queued.status, queued.checksLeft], ['queued', 5])
    assert.ok(queued.expiresIn > 0 && queued.expiresIn <= 400, `${queued.expiresIn}`)
    assert.ok(queued.resendIn > 20_000 && queued.resendIn <= 30_000)
    const claim = claimOf(request)
    await store.claim(claim)
    assert.equal((await status()).status, 'sending')
    await store.complete({ ...claim, result: 'sent' })
    await store.check(wrongCheck(request), policy)
    const sent = await status()
    assert.deepEqual([sent.status, sent.checksLeft], ['sent', 4])
    await advance(401)
    const expired = await status()
    assert.deepEqual([expired.status, expired.expiresIn, expired.checksLeft], ['expired', 0, 0])
    assert.equal(expired.reason, undefined)
    await advance(201)
    assert.deepEqual(await store.status(request.id, policy), { verdict: 'gone' })
  })

  it('What failed stays failed, what is verified stays verified.', async ({ store, advance }) => {
    const policy = { ...freePolicy, ttl: 400, retention: 10_000, proofTtl: 50 }
    const [failed, verified, exhausted] = [newRequest(), newRequest(), newRequest()]
    for (const request of [failed, verified, exhausted]) await store.issue(request, policy)
    const claim = claimOf(failed)
    await store.claim(claim)
    await store.complete({ ...claim, result: 'failed' })
    await store.check(rightCheck(verified), policy)
    for (const _ of times(5, Number)) await store.check(wrongCheck(exhausted), policy)
    const status = async ({ id }: IssueRequest) => expect('known', store.status(id, policy))
    assert.equal((await status(exhausted)).status, 'expired')
    await advance(401)
    assert.equal((await status(failed)).status, 'failed')
    const { status: is, expiresIn, checksLeft } = await status(verified)
    assert.deepEqual([is, expiresIn, checksLeft], ['verified', 0, 0])
  })

  it('What is verified has a status for as long as its proof may live.', async (opened) => {
    const { store, advance } = opened
    const policy = { ...freePolicy, retention: 150, proofTtl: 150 }
    const request = newRequest()
    await store.issue(request, policy)
    await store.check(rightCheck(request), policy)
    await expect('known', store.status(request.id, policy))
    await advance(151)
    assert.deepEqual(await store.status(request.id, policy), { verdict: 'gone' })
  })

  it('What is not known has no status.', async ({ store }) => {
    assert.deepEqual(await store.status(newRequest().id, freePolicy), { verdict: 'gone' })
  })

  it('Only a live verification is cancelled.', async ({ store }) => {
    const [live, verified] = [newRequest(), newRequest()]
    assert.equal(await store.cancel(live.id), false)
    await store.issue(live, freePolicy)
    await store.issue(verified, freePolicy)
    await store.check(rightCheck(verified), freePolicy)
    assert.equal(await store.cancel(verified.id), false)
    assert.equal((await expect('known', store.status(verified.id, freePolicy))).status, 'verified')
    for (const _ of times(2, Number)) assert.equal(await store.cancel(live.id), true)
    await expect('gone', store.check(rightCheck(live), freePolicy))
    assert.deepEqual(await store.status(live.id, freePolicy), { verdict: 'gone' })
  })

  it('A claimed verification that is cancelled stays so.', async ({ store }) => {
    const request = newRequest()
    await store.issue(request, freePolicy)
    const claim = claimOf(request)
    await store.claim(claim)
    await store.cancel(request.id)
    await store.complete({ ...claim, result: 'sent' })
    await store.complete({ ...claim, result: 'retry' })
    await expect('superseded', store.claim(claimOf(request, { attempt: 2 })))
    assert.deepEqual(await store.status(request.id, freePolicy), { verdict: 'gone' })
  })

  it('Unlocking ends the cooldown but not the limits of a number.', async ({ store }) => {
    const policy = { ...freePolicy, cooldown: [60_000], windows: [{ max: 2, window: 60_000 }] }
    const { phone } = newRequest()
    const issue = () => store.issue(newRequest({ phone }), policy)
    await issue()
    await expect('wait', issue())
    await store.unlock(phone)
    await expect('issued', issue())
    await store.unlock(phone)
    await expect('wait', issue())
  })

  it('An erased number was never seen; others were.', async ({ store }) => {
    const policy = {
      ...freePolicy,
      cooldown: [60_000],
      windows: [{ max: 2, window: 60_000 }],
      disableAfter: 1,
    }
    const [done, live] = [newRequest(), newRequest()]
    live.phone = done.phone
    live.id = done.phone.slice(0, 2) + random(22)
    const other = newRequest({ phone: done.phone.slice(0, 2) + random(20) })
    await store.issue(done, policy)
    await store.issue(other, policy)
    const check = rightCheck(done)
    await expect('verified', store.check(check, policy))
    await store.issue(live, policy)
    await store.check(wrongCheck(live), policy)
    await expect('disabled', store.issue(newRequest({ phone: live.phone }), policy))

    for (const _ of times(2, Number)) await store.erase(live.phone)
    for (const { id } of [done, live]) {
      assert.deepEqual(await store.status(id, policy), { verdict: 'gone' })
    }
    await expect('gone', store.redeem(redeemOf(check.proof, { shard: done.id.slice(0, 2) })))
    await expect('gone', store.check(rightCheck(live), policy))
    await expect('issued', store.issue(newRequest({ phone: live.phone }), policy))
    await expect('wait', store.issue(newRequest({ phone: other.phone }), policy))
    await expect('verified', store.check(rightCheck(other), policy))
  })

  it('A store is ready until it is closed.', async ({ store }) => {
    assert.equal(store.ready(), true)
  })
}
