/** Addresses of people, as limits and puzzles count them. */
import { isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Where there is none, as behind a Unix socket without `trustProxy`: all such people share it. */
export const UNKNOWN_ADDRESS = 'unknown'

/**
 * One household or server holds a whole /64 of IPv6, an IPv4 address can be written as an IPv6 one, and some proxies write a
 * port behind it. What is no address at all is one and the same: else a spelling would be a way around the limits.
 */
export function networkOf(ip: string): string {
  // Most are, and are canonical then: Node takes four plain decimals and nothing else.
  if (isIPv4(ip)) return ip
  const bare = /^\[(.+)\](?::\d+)?$/.exec(ip)?.[1] ?? /^([\d.]+):\d+$/.exec(ip)?.[1] ?? ip
  if (!ipaddr.isValid(bare)) return UNKNOWN_ADDRESS
  const address = ipaddr.process(bare)
  return address.kind() === 'ipv6'
    ? address.toByteArray().slice(0, 8).join('.')
    : address.toString()
}
