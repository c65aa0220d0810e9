import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
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

test('Writes of one turn are held back until it is over, and arrive in their order.', async (t) => {
  const { socket, received } = await pair(t)
  socket.write('a')
  socket.write(Buffer.from('b'))
  assert.equal(socket.writableCorked, 1)
  await nextTurn()
  assert.equal(socket.writableCorked, 0)
  socket.write('c')
  socket.end('d')
  assert.equal(await received, 'abcd')
})

test('Sixteen do not wait for the end of the turn.', async (t) => {
  const { socket, received } = await pair(t)
  for (let i = 0; i < 15; i++) socket.write('x')
  assert.equal(socket.writableCorked, 1)
  socket.write('x')
  assert.equal(socket.writableCorked, 0)
  socket.write('y')
  assert.equal(socket.writableCorked, 1)
  await nextTurn()
  socket.end()
  assert.equal(await received, `${'x'.repeat(16)}y`)
})
