/** What every store does for receipts and for the health of providers, on its own clock. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { HealthReport, HealthRules, SentMessage, Store } from '../src/store/store.ts'
import {
  claimOf,
  freePolicy,
  newRequest,
  type OpenStore,
  random,
  resendOf,
  rightCheck,
} from './store-contract.ts'

const delivered = { state: 'delivered' } as const
const failed = { state: 'failed', reason: 'recipient' } as const

/** Long enough for a busy machine, and short enough to wait for. */
const PAUSE = 1000
const WINDOW = 2000
const LEASE = 600
const UNSETTLED = 1200

const RULES: HealthRules = {
  calls: { window: WINDOW, least: 4, share: 0.5, unsettled: 0, pause: PAUSE },
  receipts: { window: WINDOW, least: 2, share: 0.5, unsettled: 0, pause: PAUSE },
  codes: { window: 10_000, least: 3, share: 0.9, unsettled: UNSETTLED, pause: PAUSE },
  account: { pause: PAUSE },
}

/** A verification whose first attempt is under way. */
async function sending(store: Store) {
  const request = newRequest()
  await store.issue(request, freePolicy)
  const claim = claimOf(request)
  await store.claim(claim)
  const { id, version, attempt, holder } = claim
  const sent: SentMessage = { id, version, attempt, country: 'CN', provider: 'p' }
  const complete = (result: 'sent' | 'retry' | 'failed' | 'held', more: object = {}) =>
    store.complete({ id, version, attempt, holder, result, ...more })
  const statusNow = async () => {
    const status = await store.status(id, freePolicy)
    return status.verdict === 'known' ? [status.status, status.reason] : ['gone']
  }
  return { request, sent, complete, statusNow }
}

export function testProviderStore(
  name: string,
  open: (t: TestContext) => Promise<OpenStore>,
): void {
  const it = (title: string, body: (opened: OpenStore) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => body(await open(t)))

  it('A receipt is of what was sent by its name, whichever of them comes first.', async (opened) => {
    const { store } = opened
    const { sent } = await sending(store)
    const [one, two] = [`twilio ${random(10)}`, `twilio ${random(10)}`]
    assert.equal(await store.noteSent(one, sent), undefined)
    assert.deepEqual(await store.noteReceipt(one, failed), { sent, state: failed, repeated: false })
    assert.deepEqual(await store.noteReceipt(two, delivered), { state: delivered, repeated: false })
    assert.deepEqual(await store.noteSent(two, sent), delivered)
    assert.deepEqual(await store.noteSent(two, sent), delivered)
  })

  it('Of several receipts the first holds.', async ({ store }) => {
    const { sent } = await sending(store)
    const name = `twilio ${random(10)}`
    await store.noteReceipt(name, failed)
    assert.deepEqual(await store.noteReceipt(name, delivered), { state: failed, repeated: true })
    assert.deepEqual(await store.noteSent(name, sent), failed)
    assert.deepEqual(await store.noteReceipt(name, delivered), {
      sent,
      state: failed,
      repeated: true,
    })
  })

  it('A receipt moves the status, and that is never left again.', async ({ store }) => {
    for (const [first, second] of [
      [delivered, failed],
      [failed, delivered],
    ] as const) {
      const { sent, complete, statusNow } = await sending(store)
      await complete('sent')
      assert.equal(await store.receive(sent, first), 'recorded')
      assert.equal(await store.receive(sent, second), 'repeated')
      const reason = first === failed ? 'recipient' : undefined
      assert.deepEqual(await statusNow(), [first.state, reason])
    }
  })

  it('A receipt may come before the attempt is recorded, which then changes nothing.', async (opened) => {
    const { store } = opened
    for (const result of ['sent', 'retry', 'failed'] as const) {
      const { request, sent, complete, statusNow } = await sending(store)
      assert.equal(await store.receive(sent, delivered), 'recorded')
      assert.equal(await complete(result, { reason: 'provider' }), 'recorded')
      assert.deepEqual(await statusNow(), ['delivered', undefined])
      const next = claimOf(request, { attempt: 2 })
      // The end of the job is to be told once, and to the same delivery as often as it asks.
      const told = result === 'sent' ? { verdict: 'done', result: 'sent' } : { verdict: 'arrived' }
      for (const _ of [1, 2]) assert.deepEqual(await store.claim(next), told)
      const other = await store.claim(claimOf(request, { attempt: 2 }))
      assert.deepEqual(other, { verdict: 'done', result: 'sent' })
    }
  })

  it('What has arrived is not sent again, and can be verified.', async ({ store }) => {
    const { request, sent } = await sending(store)
    await store.receive(sent, delivered)
    const again = await store.claim(claimOf(request, { lease: 0 }))
    assert.deepEqual(again, { verdict: 'arrived' })
    assert.equal((await store.check(rightCheck(request), freePolicy)).verdict, 'verified')
  })

  it('A failure says nothing of a later attempt, an arrival does.', async ({ store }) => {
    const { request, sent, complete, statusNow } = await sending(store)
    await complete('retry')
    await store.claim(claimOf(request, { attempt: 2 }))
    assert.equal(await store.receive(sent, failed), 'stale')
    assert.deepEqual(await statusNow(), ['sending', undefined])
    assert.equal(await store.receive(sent, delivered), 'recorded')
    assert.deepEqual(await statusNow(), ['delivered', undefined])
  })

  it('A failure ends the doubt about an attempt that is tried again, by anybody, and is not the end.', async (opened) => {
    const { store } = opened
    for (const early of [false, true]) {
      const { request, sent, complete, statusNow } = await sending(store)
      const ambiguous = () => complete('retry', { sentBy: { provider: 'p' }, unsure: true })
      if (!early) await ambiguous()
      assert.equal(await store.receive(sent, failed), 'recorded')
      if (early) await ambiguous()
      assert.deepEqual(await statusNow(), ['queued', undefined])
      const second = claimOf(request, { attempt: 2 })
      const claim = await store.claim(second)
      assert.ok(claim.verdict === 'send')
      assert.deepEqual(claim.previous, { provider: 'p', unsure: false })
      await store.complete({ ...second, result: 'sent' })
      assert.equal(await store.receive(sent, failed), 'stale')
      assert.equal(await store.receive({ ...sent, attempt: 2 }, delivered), 'recorded')
      assert.deepEqual(await statusNow(), ['delivered', undefined])
    }
  })

  it('A person who enters the code says that it has arrived.', async ({ store }) => {
    const { request, complete } = await sending(store)
    await complete('retry')
    await store.check(rightCheck(request), freePolicy)
    const next = await store.claim(claimOf(request, { attempt: 2 }))
    assert.deepEqual(next, { verdict: 'arrived' })
  })

  it('A receipt says nothing of a newer version, nor of what is over or unknown.', async (opened) => {
    const { store } = opened
    const resent = await sending(store)
    await store.issue(resendOf(resent.request), freePolicy)
    assert.equal(await store.receive(resent.sent, delivered), 'stale')
    assert.deepEqual(await resent.statusNow(), ['queued', undefined])
    await store.claim(claimOf(resent.request, { version: 2 }))
    const second = { ...resent.sent, version: 2 }
    assert.equal(await store.receive(second, delivered), 'recorded')

    const verified = await sending(store)
    await store.check(rightCheck(verified.request), freePolicy)
    assert.equal(await store.receive(verified.sent, failed), 'stale')
    assert.deepEqual(await verified.statusNow(), ['verified', undefined])

    const cancelled = await sending(store)
    await store.cancel(cancelled.request.id)
    assert.equal(await store.receive(cancelled.sent, delivered), 'stale')
    assert.deepEqual(await cancelled.statusNow(), ['gone'])

    const unknown = newRequest()
    assert.equal(await store.receive({ ...resent.sent, id: unknown.id }, delivered), 'stale')
    assert.equal((await store.status(unknown.id, freePolicy)).verdict, 'gone')
  })

  it('Who sent is known at the next attempt, and when the code is entered.', async ({ store }) => {
    const { request, complete } = await sending(store)
    await complete('retry', { sentBy: { provider: 'ronglian' }, unsure: true })
    const second = claimOf(request, { attempt: 2 })
    const claim = await store.claim(second)
    assert.ok(claim.verdict === 'send')
    assert.deepEqual(claim.previous, { provider: 'ronglian', unsure: true })
    const sentBy = { provider: 'ronglian', messageId: 'M1' }
    await store.complete({ ...second, result: 'sent', sentBy })

    const resend = resendOf(request)
    await store.issue(resend, freePolicy)
    const third = await store.claim(claimOf(resend, { version: 2 }))
    assert.ok(third.verdict === 'send')
    assert.deepEqual(third.previous, { provider: 'ronglian', unsure: false })
    // Not the message of the version before: that one's code is dead.
    const check = await store.check(rightCheck(resend), freePolicy)
    assert.ok(check.verdict === 'verified')
    assert.deepEqual(check.sentBy, { provider: 'ronglian' })
  })

  it('With the message it was, if the vendor named it; and nothing where nobody noted it.', async (opened) => {
    const { store } = opened
    const named = await sending(store)
    const sentBy = { provider: 'twilio', messageId: 'SM1' }
    await named.complete('sent', { sentBy })
    const check = rightCheck(named.request)
    for (const _ of [1, 2]) {
      const verified = await store.check(check, freePolicy)
      assert.ok(verified.verdict === 'verified')
      assert.deepEqual(verified.sentBy, sentBy)
    }
    const silent = await sending(store)
    await silent.complete('sent')
    const verified = await store.check(rightCheck(silent.request), freePolicy)
    assert.ok(verified.verdict === 'verified')
    assert.equal(verified.sentBy, undefined)
  })

  it('An attempt that was held is free again, as often as need be.', async ({ store }) => {
    const { request, complete, statusNow } = await sending(store)
    assert.equal(await complete('held'), 'recorded')
    assert.deepEqual(await statusNow(), ['queued', undefined])
    for (const attempt of [1, 1, 1]) {
      const claim = claimOf(request, { attempt })
      assert.equal((await store.claim(claim)).verdict, 'send')
      assert.equal(await store.complete({ ...claim, result: 'held' }), 'recorded')
    }
    const last = claimOf(request)
    await store.claim(last)
    await store.complete({ ...last, result: 'sent' })
    assert.equal((await store.claim(claimOf(request))).verdict, 'done')
  })

  /** Reports on one provider of a queue that no other test uses. */
  const clinic = ({ store }: OpenStore) => {
    const queue = random(10)
    const report = (...reports: Partial<HealthReport>[]) => {
      const blank = { provider: 'p', country: 'CN', signal: 'calls', good: 0, bad: 0 } as const
      return store.reportHealth(
        queue,
        reports.map((each) => ({ ...blank, ...each })),
        RULES,
      )
    }
    const probe = () => store.probe({ queue, provider: 'p', country: 'CN', lease: LEASE })
    return { queue, report, probe }
  }

  it('A provider is out when half of its calls fail, and not by fewer than it takes.', async (opened) => {
    const { report } = clinic(opened)
    assert.deepEqual(await report(), { open: [], changed: [] })
    assert.deepEqual(await report({ bad: 3 }), { open: [], changed: [] })
    assert.deepEqual(await report({ good: 4 }), { open: [], changed: [] })
    const { open, changed } = await report({ bad: 1 })
    assert.deepEqual(changed, [{ provider: 'p', country: 'CN', cause: 'calls' }])
    const [breaker, ...others] = open
    assert.deepEqual(others, [])
    const { wait, ...about } = breaker ?? assert.fail()
    assert.deepEqual(about, { provider: 'p', country: 'CN', cause: 'calls' })
    assert.ok(wait > 0 && wait <= PAUSE, `${wait}`)
    assert.deepEqual((await report({ bad: 9 })).changed, [])
  })

  it('Each country and each queue has its own.', async (opened) => {
    const { report } = clinic(opened)
    await report({ bad: 2 }, { bad: 2, country: 'US' })
    assert.deepEqual((await report()).open, [])
    await report({ bad: 2 })
    assert.deepEqual(
      (await report()).open.map(({ country }) => country),
      ['CN'],
    )
    assert.deepEqual((await clinic(opened).report()).open, [])
  })

  it('What has left the window does not count.', async (opened) => {
    const { report } = clinic(opened)
    await report({ bad: 3 })
    await opened.advance(WINDOW * 1.05)
    assert.deepEqual((await report({ bad: 3 })).open, [])
    assert.equal((await report({ bad: 1 })).open.length, 1)
  })

  it('After the pause one message tries; that it is answered closes, that it fails opens again.', async (opened) => {
    const { report, probe } = clinic(opened)
    assert.equal(await probe(), true)
    await report({ bad: 4 })
    assert.equal(await probe(), false)
    // Called before, answered only now.
    assert.equal((await report({ good: 1 })).open.length, 1)
    await opened.advance(PAUSE)
    assert.deepEqual([await probe(), await probe()], [true, false])
    const [waiting] = (await report()).open
    assert.ok(waiting && waiting.wait > 0 && waiting.wait <= LEASE)
    assert.deepEqual((await report({ bad: 1 })).changed, [])
    assert.equal(await probe(), false)
    await opened.advance(PAUSE)
    assert.equal(await probe(), true)
    const closed = { open: [], changed: [{ provider: 'p', country: 'CN' }] }
    assert.deepEqual(await report({ good: 1 }), closed)
    assert.deepEqual((await report({ bad: 3 })).open, [])
  })

  it('A probe of which nothing is heard does not keep others away for ever.', async (opened) => {
    const { report, probe } = clinic(opened)
    await report({ bad: 4 })
    await opened.advance(PAUSE)
    assert.equal(await probe(), true)
    await opened.advance(LEASE)
    assert.equal(await probe(), true)
  })

  it('A refused account is out at once, and is told once.', async (opened) => {
    const { report } = clinic(opened)
    const { open, changed } = await report({ signal: 'account' })
    assert.deepEqual(changed, [{ provider: 'p', country: 'CN', cause: 'account' }])
    assert.equal(open[0]?.cause, 'account')
    assert.deepEqual((await report({ signal: 'account' })).changed, [])
  })

  it('So is a provider whose receipts are bad; good calls do not bring it back before its pause is over.', async (opened) => {
    const { report } = clinic(opened)
    await report({ signal: 'receipts', good: 1, bad: 0 })
    const { changed } = await report({ signal: 'receipts', bad: 1 })
    assert.deepEqual(changed, [{ provider: 'p', country: 'CN', cause: 'receipts' }])
    assert.equal((await report({ good: 10 })).open.length, 1)
    await opened.advance(PAUSE)
    assert.deepEqual((await report({ good: 1 })).open, [])
  })

  it('So is one whose codes nobody enters, once people have had time to.', async (opened) => {
    const { report } = clinic(opened)
    assert.deepEqual((await report({ signal: 'codes', bad: 8 })).open, [])
    // One was entered after all.
    await report({ signal: 'codes', good: 1, bad: -1 })
    await opened.advance(UNSETTLED * 1.3)
    assert.deepEqual((await report({ signal: 'codes', good: 1, bad: -1 })).open, [])
    const { changed } = await report({ signal: 'codes', bad: 20 })
    assert.deepEqual(changed, [])
    await opened.advance(UNSETTLED * 1.3)
    const later = await report({ signal: 'codes', bad: 1 })
    assert.deepEqual(later.changed, [{ provider: 'p', country: 'CN', cause: 'codes' }])
  })

  it('Reports side by side all count.', async (opened) => {
    const { report } = clinic(opened)
    const verdicts = await Promise.all([1, 2, 3, 4].map(() => report({ bad: 1 })))
    assert.equal(verdicts.flatMap(({ changed }) => changed).length, 1)
  })

  it('Turns come at the rate, and none is taken that is too far off.', async (opened) => {
    const { store, advance } = opened
    const line = { queue: random(10), provider: 'p', rate: 10, longest: 1000 }
    const waits: number[] = []
    for (let n = 0; n < 30; n++) waits.push(await store.takeTurn(line))
    const taken = waits.filter((wait) => wait <= 1000)
    assert.ok(taken.length >= 11 && taken.length <= 13, `${waits}`)
    assert.ok(Math.max(...waits) <= 1200, `${waits}`)
    await advance(500)
    const wait = await store.takeTurn(line)
    assert.ok(wait <= 700, `${wait}`)
    assert.equal(await store.takeTurn({ ...line, queue: random(10) }), 0)
    assert.equal(await store.takeTurn({ ...line, provider: 'q' }), 0)
  })
}
