import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { pino } from 'pino'
import { stdoutLines } from '../src/log.ts'
import { programArgs } from './compiled.ts'

for (const [end, code] of [
  ['exit', 0],
  ['throw', 1],
] as const) {
  test(`The lines of one turn are written together, in their order, and before the process ends by ${end}.`, async () => {
    const args = [...programArgs('test/two-turns.ts'), end]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    const exit = once(child, 'exit')
    const lines = (await text(child.stdout)).trim().split('\n')
    const told = lines.map((line) => JSON.parse(line) as { msg: string; writes?: number })
    assert.deepEqual(
      told.map(({ msg }) => msg),
      ['first', 'second', 'third'],
    )
    assert.equal(told[2]?.writes, 1)
    assert.deepEqual(await exit, [code, null])
  })
}

test('Who reads the lines may stop reading.', async () => {
  const args = [...programArgs('test/two-turns.ts'), 'exit']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  assert.deepEqual([errors, code], ['', 0])
})

test('Who does not read the lines for a while holds up nobody, and gets them all.', async () => {
  const args = programArgs('test/many-lines.ts')
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  // More than a pipe holds; a write that waits for its reader would never let it go on.
  const [alive] = await once(child.stderr, 'data')
  assert.equal(String(alive), 'alive')
  const lines = (await text(child.stdout)).trim().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).n),
    Array.from({ length: 2000 }, (_, n) => n),
  )
})

test('Who has put another write in the place of that of stdout has it called.', (t) => {
  const lines: string[] = []
  t.mock.method(process.stdout, 'write', (line: string) => lines.push(line) > 0)
  pino({}, stdoutLines()).info('hello')
  t.mock.restoreAll()
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /"msg":"hello"/)
})
