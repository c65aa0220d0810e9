/** The attacks in their shortened form; `npm run test:attacks` plays them at full length. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ATTACKS, play } from './attacks/attacks.ts'
import { buildPrograms, type Programs } from './faults/build.ts'
import { AMQP_URL } from './helper.ts'

let programs: Programs

before(async () => {
  programs = await buildPrograms()
})

after(() => programs[Symbol.asyncDispose]())

describe('under attack', { concurrency: 2 }, () => {
  for (const attack of ATTACKS) {
    test(`not more gets through than may: ${attack.title}`, async () => {
      const { problems } = await play(attack, { programs, amqp: AMQP_URL, small: true })
      assert.deepEqual(problems, [])
    })
  }
})
