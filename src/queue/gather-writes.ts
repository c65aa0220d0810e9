/** Fewer calls of the system: what is written to a socket in one go goes out together. */
import type { Socket } from 'node:net'

/** Writes after which nobody waits for the rest: the peer begins while it is still being made. */
const MOST = 16

/**
 * From now on this socket holds writes back until the promises at hand are done with, or the callback where there are none, or until
 * there are `MOST`: amqplib writes each frame by itself, and a call of the system for it takes longer than to make it. To hold them
 * until the turn is over would be too long: an acknowledgement would wait for all that has come in meanwhile.
 */
export function gatherWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let held = 0
  const release = () => {
    if (held === 0) return
    held = 0
    socket.uncork()
  }
  socket.write = (...args: unknown[]) => {
    if (held === 0) {
      socket.cork()
      process.nextTick(release)
    }
    held++
    const room = write(...args)
    if (held >= MOST) release()
    return room
  }
}
