/**
 * What is kept in the slot of a number, and how scripts read and write it. What the fields mean stands in store.ts.
 *   v:ID     hash    a verification: phone, purpose, version, nonces, spent, proof, disabled; of the current version key,
 *                    status, published, attempt, holder, lease, again, result, reason, unsure, receipt; and by, message: who
 *                    sent last, and the vendor's id of it. Outlives its code by the retention, to have a status.
 *   c:ID     string  its live code, packed: mac, phone, code (both sealed), undo. Lives exactly as long as the code can
 *                    verify. As a hash it would take twice the memory, its values being too long for the compact form.
 *   p:PHONE  string  a number, packed: sent (unverified sends in a row), next (no send before), ends (when its log is over),
 *                    and the log of sends: time, version and ID of each. Until that is over.
 *   f:PHONE  string  its consecutive failed checks; once it is disabled, whatever is checked. Has no expiry: time must not clear them
 *                    (NIST SP 800-63B-4, 3.2.2).
 *   u:TOKEN  string  a token that was used, with the nonce of the request. Until it expires.
 *   r:PROOF  hash    a proof: id, phone (sealed), purpose, at, by.
 */

// A nonce is 8 characters; they are kept as ',nonce,nonce', so each takes 9.
export const CHECKS = `
local NONCE = 9
local function checks_made(nonces) return #nonces / NONCE end
`

// What is sealed begins with the id of its key, of 4 characters.
export const CAN_OPEN = `
local function can_open(sealed) return is_one_of(a.keyIds, string.sub(sealed, 1, 4)) end
`

// None of the first three has a zero byte in it. What cannot be sent any more is empty. To undo, as long as nobody has claimed
// it, are next, sent and after of the number and, behind them, the version before with its code.
export const CODE = `
local UNDO, UNDO_SIZE = '<ddd', 24
local function read_code(id)
  local packed = redis.call('GET', key('c', id))
  if not packed then return end
  local mac, phone, code, rest = struct.unpack('sss', packed)
  return mac, phone, code, string.sub(packed, rest)
end
-- All that is needed to check. The rest is longer, and every text is one more for Lua to collect.
local function read_mac_and_phone(id)
  local packed = redis.call('GET', key('c', id))
  if not packed then return end
  local mac, phone = struct.unpack('ss', packed)
  return mac, phone
end
local function pack_code(mac, phone, code) return struct.pack('sss', mac, phone, code) end
local function pack_undoable(mac, phone, code, ...) return struct.pack('<sssddd', mac, phone, code, ...) end
-- It was sent, or may have been: what could be sent is no longer needed, the MAC goes on verifying.
local function drop_code(id, mac, phone)
  redis.call('SET', key('c', id), pack_code(mac, phone, ''), 'KEEPTTL')
end
`

// As one string: read and written by one command each, and half the memory of a hash and a sorted set.
export const PHONE = `
local PHONE, PHONE_SIZE = '<ddd', 24
local SEND, SEND_SIZE = '<dI4c24', 36
local function read_phone(name)
  local packed, failures = unpack(redis.call('MGET', key('p', name), key('f', name)))
  local p = { failures = tonumber(failures or 0), sent = 0, next = 0, ends = 0, log = '' }
  if packed then
    p.sent, p.next, p.ends = struct.unpack(PHONE, packed)
    p.log = string.sub(packed, PHONE_SIZE + 1)
  end
  return p
end
local function write_phone(name, p)
  if p.ends > now then
    redis.call('SET', key('p', name), struct.pack(PHONE, p.sent, p.next, p.ends) .. p.log, 'PXAT', whole(p.ends))
  else
    redis.call('DEL', key('p', name))
  end
end
local function clear_phone(name)
  local p = read_phone(name)
  p.sent, p.next = 0, 0
  write_phone(name, p)
  redis.call('DEL', key('f', name))
end

-- When the n-th from the end was sent, nil if there were fewer.
local function nth_send(log, n)
  local byte = #log - n * SEND_SIZE + 1
  if byte > 0 then return (struct.unpack('<d', log, byte)) end
end
`
