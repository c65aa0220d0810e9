/** That the bench runs; what it measures is nothing for a test. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { programArgs } from './compiled.ts'

test('The bench measures a row of ours beside its floor, and refuses one that it does not know.', async () => {
  const bench = (...args: string[]) =>
    promisify(execFile)(process.execPath, [...programArgs('bench/run.ts'), ...args])
  const { stdout } = await bench('--smoke', 'noop')
  assert.match(stdout, /^\| `noop` \| .* messages\/s \| .* \(amqplib/m)
  await assert.rejects(bench('nothing'), /no row nothing; there are send,verify,/)
})
