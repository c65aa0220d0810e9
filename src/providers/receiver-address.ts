/** Which addresses a webhook may be sent to: whoever names the receiver must not reach what only this machine can. */
import { lookup as lookupHost } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The code of the error that ends a connection before it is begun. */
export const ADDRESS_REFUSED = 'ADDRESS_REFUSED'

/** `public` is anybody's on the internet, `private` a network's or machine's own, `never` nobody's who takes an SMS. */
export type Reach = 'public' | 'private' | 'never'

const PRIVATE = new Set(['private', 'loopback', 'uniqueLocal', 'carrierGradeNat'])

// Metadata services of clouds, which hand out credentials, at addresses that are not link-local as all others are: Azure's
// WireServer, Alibaba Cloud, EC2 over IPv6.
const METADATA = new Set(['168.63.129.16', '100.100.100.200', 'fd00:ec2::254'])

// https://www.rfc-editor.org/rfc/rfc6052: an IPv4 address behind 96 bits.
const NAT64 = ipaddr.IPv6.parse('64:ff9b::')

// What is assigned of IPv6. The rest holds more ways to write an IPv4 address.
const ASSIGNED = ipaddr.IPv6.parse('2000::')

/** How far the address reaches; for an IPv4 address written as an IPv6 one, or behind a NAT64, that address. */
export function reachOf(text: string): Reach {
  if (!isIP(text)) return 'never'
  let address = ipaddr.process(text)
  if (address instanceof ipaddr.IPv6 && address.match(NAT64, 96)) {
    address = ipaddr.fromByteArray(address.toByteArray().slice(12))
  }
  if (METADATA.has(address.toString())) return 'never'
  const range = address.range()
  if (PRIVATE.has(range)) return 'private'
  const assigned = !(address instanceof ipaddr.IPv6) || address.match(ASSIGNED, 3)
  return range === 'unicast' && assigned ? 'public' : 'never'
}

/**
 * A `lookup` for connections that fails with the code `ADDRESS_REFUSED` if any address of the host is not `allowed`. The
 * connection is made to the addresses that were checked, so a name that changes what it stands for gains nothing.
 */
export function checkedLookup(
  allowed: (address: string) => boolean,
  lookup: LookupFunction = lookupHost,
): LookupFunction {
  return (host, options, callback) =>
    lookup(host, options, (error, address, family) => {
      if (error) return callback(error, address, family)
      const found = typeof address === 'string' ? [address] : address.map((each) => each.address)
      if (found.every(allowed)) return callback(null, address, family)
      callback(Object.assign(new Error('refused'), { code: ADDRESS_REFUSED }), [])
    })
}
