import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { gatherWrites } from '../src/queue/gather-writes.ts'

/** A socket whose writes are gathered, and what comes out at the other end of it. */
async function pair(t: TestContext): Promise<{ socket: Socket; received: Promise<string> }> {
  const server = createServer()
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const received = once(server, 'connection').then(([peer]) => text(peer))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  gatherWrites(socket)
  return { socket, received }
}

/** Resolves when the promises at hand are done with, within the same turn of the event loop. */
const promisesDone = () => new Promise<void>((resolve) => process.nextTick(resolve))

test('Writes are held back until the promises at hand are done with, no longer, and arrive in their order.', async (t) => {
  const { socket, received } = await pair(t)
  socket.write('a')
  await Promise.resolve()
  socket.write(Buffer.from('b'))
  assert.equal(socket.writableCorked, 1)
  await promisesDone()
  assert.equal(socket.writableCorked, 0)
  socket.write('c')
  socket.end('d')
  assert.equal(await received, 'abcd')
})

test('Sixteen do not wait for more.', async (t) => {
  const { socket, received } = await pair(t)
  for (let i = 0; i < 15; i++) socket.write('x')
  assert.equal(socket.writableCorked, 1)
  socket.write('x')
  assert.equal(socket.writableCorked, 0)
  socket.write('y')
  assert.equal(socket.writableCorked, 1)
  await promisesDone()
  assert.equal(socket.writableCorked, 0)
  socket.end()
  assert.equal(await received, `${'x'.repeat(16)}y`)
})
