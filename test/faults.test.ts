/** The shortened rows of the fault suite; `npm run test:faults` plays them, and all others, at full length. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createBrokers } from './faults/brokers.ts'
import { buildPrograms, type Programs } from './faults/build.ts'
import { play } from './faults/play.ts'
import { ROWS } from './faults/rows.ts'
import { playSupervisor } from './faults/supervisor.ts'
import { AMQP_URL } from './helper.ts'

const brokers = createBrokers()
let programs: Programs

before(async () => {
  programs = await buildPrograms()
})

after(async () => {
  await brokers.stop()
  await programs[Symbol.asyncDispose]()
})

// Side by side, since most of a row is waiting.
describe('after faults', { concurrency: 3 }, () => {
  for (const row of ROWS.filter(({ small }) => small !== undefined)) {
    test(`nothing is lost, late or sent twice without need: ${row.title}`, async () => {
      const results = await play(row, { programs, brokers, small: true, seed: 1 })
      for (const { problems } of results) assert.deepEqual(problems, [])
    })
  }

  test('the connections to RabbitMQ work again', async () => {
    // How soon is for the fault suite to say, which has the machine for itself.
    const slack = 15_000
    const options = { url: AMQP_URL, scripts: 10, stride: 500, seed: 1, slack }
    const { problems } = await playSupervisor(options)
    assert.deepEqual(problems, [])
  })
})
