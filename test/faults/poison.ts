/** Messages that are none of ours, straight onto the send queue. */
import type { Chance } from './random.ts'
import type { Scene } from './row.ts'

interface Poison {
  body: Buffer
  headers: Record<string, unknown>
}

const ID = 'AAAAAAAAAAAAAAAAAAAAAAAA'

const KINDS: ((chance: Chance) => string | Buffer)[] = [
  (chance) =>
    Buffer.from(Array.from({ length: chance.between(0, 200) }, () => chance.between(0, 255))),
  (chance) => JSON.stringify({ v: 1, id: ID, version: 1 }).slice(0, chance.between(0, 40)),
  (chance) => JSON.stringify({ v: chance.between(2, 1e9), id: ID, version: 1 }),
  (chance) => JSON.stringify({ v: 1, id: ID.slice(chance.between(1, 24)), version: 1 }),
  (chance) =>
    JSON.stringify({ v: 1, id: ID, version: chance.pick([0, -1, 0.5, null, '1', 1e300]) }),
  (chance) => JSON.stringify(chance.pick([null, [], 1, 'x', {}, { id: ID }, { __proto__: null }])),
  (chance) =>
    JSON.stringify({ v: 1, id: ID, version: 1, more: 'x'.repeat(chance.between(1000, 1e5)) }),
  (chance) => '['.repeat(chance.between(1, 1000)),
]

const MARK = 'x-poison'

export function brew(chance: Chance, mark: number): Poison {
  return {
    body: Buffer.from(chance.pick(KINDS)(chance)),
    headers: { [MARK]: mark, 'x-attempt': chance.pick([1, 1, 2, -1, 'x', null, 1e9]) },
  }
}

/** As many as there are sends, in bursts beside them. */
export async function poison({ world, load, chance, loading }: Scene): Promise<void> {
  let brewed = 0
  while (loading() || brewed < load.sends.length) {
    const burst = Math.min(50, load.sends.length - brewed)
    await world.broker.put(Array.from({ length: burst }, () => brew(chance, brewed++)))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** All of it and nothing else is in the dead queue, each once, and no consumer had to be started again. */
export async function poisonIsDead({ world, load, complain }: Scene): Promise<void> {
  const dead = await world.broker.takeDead()
  const reasons = new Set(dead.map(({ properties }) => properties.headers?.['x-reason']))
  if (dead.length !== load.sends.length) {
    complain(`${dead.length} in the dead queue, expected ${load.sends.length}`)
  }
  if (dead.length > 0 && (reasons.size > 1 || !reasons.has('unreadable'))) {
    complain(`dead because of ${[...reasons].join()}`)
  }
  for (const { name, lives } of world.consumers) if (lives > 1) complain(`${name} was restarted`)
}
