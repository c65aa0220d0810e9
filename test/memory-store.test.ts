import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createMemoryStore } from '../src/store/memory.ts'
import { testProviderStore } from './provider-store-contract.ts'
import {
  freePolicy,
  newRequest,
  random,
  redeemOf,
  rightCheck,
  testStore,
} from './store-contract.ts'

function openStore() {
  let clock = 1_790_000_000_000
  return {
    store: createMemoryStore({ now: () => clock }),
    now: async () => clock,
    advance: async (ms: number) => {
      clock += ms
    },
  }
}

testStore('memory', async () => openStore())
testProviderStore('memory', async () => openStore())

test('The memory store is not ready once it is closed.', async () => {
  const store = createMemoryStore()
  assert.equal(store.ready(), true)
  await store.close()
  assert.equal(store.ready(), false)
})

test('Without another clock the memory store uses the time of day.', async () => {
  const store = createMemoryStore()
  const request = newRequest()
  await store.issue(request, freePolicy)
  const check = rightCheck(request)
  await store.check(check, freePolicy)
  const redeem = redeemOf(check.proof)
  const redeemed = await store.redeem(redeem)
  assert.ok(redeemed.verdict === 'redeemed')
  assert.ok(Number.isSafeInteger(redeemed.verifiedAt))
  assert.ok(Math.abs(redeemed.verifiedAt - Date.now()) < 60_000)
})

test('What consumers have settled is forgotten after an idle hour.', async () => {
  const { store, advance } = openStore()
  await store.progress('queue', 3)
  await advance(3_599_000)
  assert.equal(await store.progress('queue', 1), 4)
  await advance(3_600_001)
  assert.equal(await store.progress('queue', 0), 0)
})

test('What has expired leaves the memory, though nobody asks for it.', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const { store, advance } = openStore()
  const fill = async () => {
    for (let i = 0; i < 300; i++) {
      const request = newRequest({ code: random(10_000), key: random(10_000) })
      await store.issue(request, freePolicy)
      await store.check(rightCheck(request), freePolicy)
      await store.issue(newRequest({ code: random(10_000) }), freePolicy)
      await store.spend([{ key: random(10_000), max: 1, window: 60_000, units: 1, share: 0 }])
    }
    await advance(freePolicy.ttl + freePolicy.retention)
    gc()
    return process.memoryUsage().heapUsed
  }
  await fill()
  const after2 = await fill()
  for (let i = 0; i < 8; i++) await fill()
  const grown = (await fill()) - after2
  // Kept, the nine rounds since would be some 100 MB.
  assert.ok(grown < 20_000_000, `${grown}`)
})
