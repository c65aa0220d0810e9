/** Picks ports no server uses and no outgoing connection will be given meanwhile. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

/** Below the ephemeral range of Linux (32768) and of macOS (49152), above the well-known services. */
const FIRST = 20_000
const LAST = 31_999

/** Ports handed out by this process; a server being restarted must find its port still its own. */
const taken = new Set<number>()

export async function freePorts(count: number): Promise<number[]> {
  const candidates = portsOutside(ephemeralRange())
  const found: number[] = []
  for (let tries = 0; found.length < count; tries++) {
    if (tries === 1_000) throw new Error(`Expected ${count} free ports, got ${found.length}`)
    const port = candidates[Math.floor(Math.random() * candidates.length)] as number
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    found.push(port)
  }
  return found
}

/** The kernel takes the local port of an outgoing connection from this range at any moment. */
export function ephemeralRange(): { first: number; last: number } {
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    const [first = 32_768, last = 60_999] = range.trim().split(/\s+/).map(Number)
    return { first, last }
  } catch {
    return { first: 32_768, last: 60_999 }
  }
}

function portsOutside({ first, last }: { first: number; last: number }): number[] {
  const outside = (port: number) => port < first || port > last
  const preferred = between(FIRST, LAST).filter(outside)
  if (preferred.length > 0) return preferred
  const any = between(1_024, 65_535).filter(outside)
  return any.length > 0 ? any : between(FIRST, LAST)
}

function between(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
