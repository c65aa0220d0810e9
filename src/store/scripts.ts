/**
 * The Redis side of the store: one Lua script per operation, those on budgets in budget-scripts.ts. What the fields mean
 * stands in store.ts.
 *
 * Keys of a shard:
 *   v:ID     hash    a verification: phone, purpose, version, nonces, spent, proof, disabled; of the current version key,
 *                    status, published, attempt, holder, lease, again, result. Outlives its code by the retention, to
 *                    have a status.
 *   c:ID     string  its live code, packed: mac, code, phone (both sealed), undo. Lives exactly as long as the code can
 *                    verify. As a hash it would take twice the memory, its values being too long for the compact form.
 *   s:PHONE  zset    the log of sends to a number: ID:VERSION by time.
 *   p:PHONE  hash    failures, sent (unverified sends in a row), next (no send before). Has no expiry while failures
 *                    is set: time must not clear it (NIST SP 800-63B-4, 3.2.2).
 *   u:TOKEN  string  a token that was used, with the nonce of the request. Until it expires.
 *   r:PROOF  hash    a proof: id, phone (sealed), purpose, at, by.
 */
import { PRELUDE, script } from './script.ts'

// A nonce is 8 characters; they are kept as ',nonce,nonce'.
const CHECKS = `
local NONCE = 9
local function checks_made(nonces) return #nonces / NONCE end
`

const CAN_OPEN = `
local function can_open(sealed)
  for _, id in ipairs(a.keyIds) do
    if string.sub(sealed, 1, #id) == id then return true end
  end
  return false
end
`

// What cannot be sent any more, and what cannot be undone any more, is false.
const CODE = `
local function read_code(id)
  local packed = redis.call('GET', key('c', id))
  if packed then return unpack(cjson.decode(packed)) end
end
local function write_code(id, mac_code_phone_undo, ...)
  redis.call('SET', key('c', id), cjson.encode(mac_code_phone_undo), ...)
end
`

// What a new version replaces in v and p, and 'retract' puts back.
const UNDO = `
local OF_VERSION = { 'key', 'status', 'published', 'spent', 'attempt', 'holder', 'lease', 'again', 'result' }
local OF_PHONE = { 'sent', 'next' }
local function restore(k, fields, values)
  for i, field in ipairs(fields) do
    if values[i] then redis.call('HSET', k, field, values[i]) else redis.call('HDEL', k, field) end
  end
end
`

const WAIT = `
-- Milliseconds until one more code may be sent to this number. Sends leave a window one by one, each at its own time.
-- What slows guessing down holds even where the other limits only look on.
local function wait_for_send(phone, policy, trusted, soft)
  local after, failures = get(key('p', phone), 'next', 'failures')
  local wait = soft and 0 or math.max(0, (tonumber(after) or 0) - now)
  local windows = soft and {} or policy.windows
  if (tonumber(failures) or 0) >= policy.slowAfter and not trusted then
    windows = { policy.slowWindow, unpack(windows) }
  end
  for _, w in ipairs(windows) do
    -- The window is full for as long as the send that is the max-th from the end is in it.
    local send = redis.call('ZRANGE', key('s', phone), -w.max, -w.max, 'WITHSCORES')
    if send[2] then wait = math.max(wait, send[2] + w.window - now) end
  end
  return wait
end
`

export const issue = script(
  PRELUDE,
  CODE,
  UNDO,
  WAIT,
  `
local policy = a.policy
local v, c, p, s = key('v', a.id), key('c', a.id), key('p', a.phone), key('s', a.phone)
local phone, purpose, version, last_key, status, published, spent =
  get(v, 'phone', 'purpose', 'version', 'key', 'status', 'published', 'spent')
local mac, code, sealed = read_code(a.id)
local live = mac ~= nil

local function accept(verdict, version, status)
  return cjson.encode({
    verdict = verdict, version = tonumber(version), status = status, published = published ~= false,
    expiresIn = redis.call('PTTL', c), resendIn = wait_for_send(a.phone, policy, a.trusted),
  })
end
local function refuse(verdict, wait) return cjson.encode({ verdict = verdict, wait = wait }) end

-- No two requests have the same sealed code: this one ran before.
if live and code == a.code then return accept('issued', version, status) end
if phone == a.phone and a.key ~= '' and last_key == a.key then
  if not live then return refuse('gone') end
  return accept('repeated', version, status)
end
if a.resend then
  if not live or phone ~= a.phone then return refuse('gone') end
  if a.purpose ~= '' and purpose ~= a.purpose then return refuse('gone') end
elseif phone then
  return refuse('gone')
end

local failures = tonumber((get(p, 'failures'))) or 0
if failures >= policy.disableAfter then return refuse('disabled') end

local keep = policy.ttl + policy.retention
for _, w in ipairs(policy.windows) do keep = math.max(keep, w.window) end
keep = math.max(keep, policy.slowWindow.window)
redis.call('ZREMRANGEBYSCORE', s, '-inf', now - keep)

local wait = wait_for_send(a.phone, policy, a.trusted, a.soft)
local recent = redis.call('ZCOUNT', s, now - policy.ttl, '+inf')
if not a.resend and recent >= policy.live then
  local seen, lives = {}, {}
  for _, send in ipairs(redis.call('ZRANGE', s, -recent, -1)) do
    local id = string.match(send, '^[^:]+')
    local left = not seen[id] and redis.call('PTTL', key('c', id)) or 0
    if left > 0 then table.insert(lives, left) end
    seen[id] = true
  end
  table.sort(lives)
  wait = math.max(wait, lives[#lives - policy.live + 1] or 0)
end
if wait > 0 then return refuse('wait', wait) end
if a.dryRun then return refuse('free') end

local sent, after = get(p, unpack(OF_PHONE))
-- No send for as long as the log reaches back: the cooldown grows from the start again.
local in_a_row = redis.call('ZCARD', s) > 0 and tonumber(sent) or 0
local cooldown = policy.cooldown[math.min(in_a_row + 1, #policy.cooldown)] or 0
local undo = { p = { sent, after }, next = now + cooldown }
if a.resend then
  undo.v, undo.c = { get(v, unpack(OF_VERSION)) }, { mac, code, sealed, false }
  undo.expires = now + redis.call('PTTL', c)
end

version = (a.resend and version or 0) + 1
redis.call('HSET', v, 'phone', a.phone, 'purpose', a.purpose ~= '' and a.purpose or purpose,
  'version', version, 'key', a.key, 'status', a.unsent and 'sent' or 'queued')
redis.call('HDEL', v, 'published', 'attempt', 'holder', 'lease', 'again', 'result')
published = false
if a.spent ~= cjson.null then
  redis.call('HSET', v, 'spent', (spent or '') .. ',' .. a.spent.at .. '/' .. a.spent.ip)
end
redis.call('PEXPIRE', v, policy.ttl + policy.retention)
write_code(a.id, { a.mac, a.code, a.sealedPhone, undo }, 'PX', policy.ttl)
redis.call('ZADD', s, now, a.id .. ':' .. version)
redis.call('PEXPIRE', s, keep)
redis.call('HSET', p, 'sent', in_a_row + 1, 'next', now + cooldown)
if failures == 0 then redis.call('PEXPIRE', p, keep) end
return accept('issued', version, a.unsent and 'sent' or 'queued')
`,
)

export const published = script(
  PRELUDE,
  `
local v = key('v', a.id)
if tonumber((get(v, 'version'))) == a.version then redis.call('HSET', v, 'published', 1) end
return 'null'
`,
)

export const retract = script(
  PRELUDE,
  CODE,
  UNDO,
  `
local v, c, p, s = key('v', a.id), key('c', a.id), key('p', a.phone), key('s', a.phone)
local _, _, _, undo = read_code(a.id)
-- Claimed, expired, superseded or queued by a repeat meanwhile: then it was queued after all, or there is nothing left to take back.
local version, published = get(v, 'version', 'published')
if not undo or published or tonumber(version) ~= a.version then return 'null' end

redis.call('ZREM', s, a.id .. ':' .. a.version)
-- Cleared or sent to again meanwhile: then the cooldown is not ours any more.
if tonumber((get(p, 'next'))) == undo.next then restore(p, OF_PHONE, undo.p) end
if undo.v then
  redis.call('HSET', v, 'version', a.version - 1)
  restore(v, OF_VERSION, undo.v)
  write_code(a.id, undo.c)
  redis.call('PEXPIREAT', c, undo.expires)
else
  redis.call('DEL', v, c)
end
return 'null'
`,
)

export const check = script(
  PRELUDE,
  CHECKS,
  CAN_OPEN,
  CODE,
  `
local policy = a.policy
local v, c = key('v', a.id), key('c', a.id)
local phone, purpose, proof, nonces, spent, disabled =
  get(v, 'phone', 'purpose', 'proof', 'nonces', 'spent', 'disabled')
nonces = nonces or ''

local function wrong(made) return { verdict = 'wrong', checksLeft = policy.checks - made } end
local function verified(sealed)
  local units = {}
  for at, ip in string.gmatch(spent or '', '(%d+)/([^,]*)') do table.insert(units, { at = tonumber(at), ip = ip }) end
  return cjson.encode({
    verdict = 'verified', purpose = purpose, sealedPhone = sealed, spent = #units > 0 and units or nil,
  })
end

local before = string.find(nonces, ',' .. a.nonce, 1, true)
if before then
  if proof == a.proof then
    local sealed = redis.call('HGET', key('r', a.proof), 'phone')
    return sealed and verified(sealed) or cjson.encode({ verdict = 'gone' })
  end
  local answer = wrong((before - 1) / NONCE + 1)
  if disabled and string.sub(disabled, 1, #a.nonce) == a.nonce then
    answer.disabledPhone = string.sub(disabled, #a.nonce + 1)
  end
  return cjson.encode(answer)
end

local mac, _, sealed = read_code(a.id)
local p = phone and key('p', phone)
local failures = p and tonumber((get(p, 'failures'))) or 0
if not mac or checks_made(nonces) >= policy.checks or failures >= policy.disableAfter then
  return cjson.encode({ verdict = 'gone' })
end

if not can_open(sealed) then return cjson.encode({ verdict = 'foreign' }) end

-- Counted before it is compared: no number of parallel requests gets more comparisons than there are checks.
nonces = nonces .. ',' .. a.nonce
redis.call('HSET', v, 'nonces', nonces)
failures = redis.call('HINCRBY', p, 'failures', 1)
redis.call('PERSIST', p)

for _, candidate in ipairs(a.macs) do
  if candidate == mac then
    redis.call('DEL', c, p)
    redis.call('HSET', v, 'status', 'verified', 'proof', a.proof)
    redis.call('PEXPIRE', v, policy.retention)
    local r = key('r', a.proof)
    redis.call('HSET', r, 'id', a.id, 'phone', sealed, 'purpose', purpose, 'at', now)
    redis.call('PEXPIRE', r, policy.proofTtl)
    return verified(sealed)
  end
end

local answer = wrong(checks_made(nonces))
if answer.checksLeft <= 0 then redis.call('DEL', c) end
if failures == policy.disableAfter then
  answer.disabledPhone = sealed
  redis.call('HSET', v, 'disabled', a.nonce .. sealed)
end
return cjson.encode(answer)
`,
)

export const claim = script(
  PRELUDE,
  CODE,
  `
local v, c = key('v', a.id), key('c', a.id)
local version, status, purpose, attempt, holder, lease, again, result =
  get(v, 'version', 'status', 'purpose', 'attempt', 'holder', 'lease', 'again', 'result')
version, attempt = tonumber(version), tonumber(attempt) or 0
local function answer(verdict, more)
  local t = more or {}
  t.verdict = verdict
  return cjson.encode(t)
end

if not version or a.version > version then return answer('unknown') end
if a.version < version or status == 'cancelled' then return answer('superseded') end
if status == 'verified' then return answer('done', { result = 'sent' }) end
if a.attempt < attempt then return answer('duplicate') end
-- What has failed for good gets a further attempt only where an operator replays its dead letter.
if result and (a.attempt == attempt or result == 'sent' or result == 'unknown') then
  if result == 'unknown' and holder == a.holder then return answer('unanswered') end
  return answer('done', { result = result })
end

local mine = a.attempt == attempt and holder == a.holder
local unanswered = attempt > 0 and not result and not mine
-- Looked at first: whoever holds the attempt may be sending the code right now.
if unanswered and tonumber(lease) > now then return answer('busy', { wait = lease - now }) end

local mac, code, sealed = read_code(a.id)
local left = redis.call('PTTL', c)
if not code or left < a.minRemaining then
  if a.dryRun then return answer('expired') end
  if mac and attempt > 0 then
    -- An earlier attempt may have arrived: what it brought goes on verifying.
    write_code(a.id, { mac, false, sealed, false }, 'KEEPTTL')
    redis.call('HSET', v, 'status', 'failed')
  else
    redis.call('DEL', c)
    redis.call('HSET', v, 'status', 'expired')
  end
  return answer('expired')
end

if a.dryRun then return answer('free', { expiresIn = left }) end
if unanswered and not a.again then
  redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'result', 'unknown', 'status', 'sent')
  write_code(a.id, { mac, false, sealed, false }, 'KEEPTTL')
  return answer('unanswered')
end
if not mine then again = unanswered and 1 or 0 end
redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'lease', now + a.lease, 'again', again,
  'status', 'sending')
redis.call('HDEL', v, 'result')
write_code(a.id, { mac, code, sealed, false }, 'KEEPTTL')
return answer('send', {
  purpose = purpose, code = code, sealedPhone = sealed, expiresIn = left, again = tonumber(again) == 1,
})
`,
)

export const complete = script(
  PRELUDE,
  CODE,
  `
local v = key('v', a.id)
local version, attempt, holder, status = get(v, 'version', 'attempt', 'holder', 'status')
if tonumber(version) ~= a.version or tonumber(attempt) ~= a.attempt or holder ~= a.holder then return 'false' end
local after = { sent = 'sent', retry = 'queued', failed = 'failed', unknown = 'sent' }
redis.call('HSET', v, 'result', a.result)
if status == 'sending' then redis.call('HSET', v, 'status', after[a.result]) end
-- Sent, as far as is known: what could be sent is no longer needed, the MAC goes on verifying.
local mac, _, sealed = read_code(a.id)
if mac and (a.result == 'sent' or a.result == 'unknown') then write_code(a.id, { mac, false, sealed, false }, 'KEEPTTL') end
return 'true'
`,
)

export const redeem = script(
  PRELUDE,
  CAN_OPEN,
  `
local r = key('r', a.proof)
local id, sealed, purpose, at, by = get(r, 'id', 'phone', 'purpose', 'at', 'by')
if not id or (a.purpose ~= '' and a.purpose ~= purpose) or (by and by ~= a.nonce) then
  return cjson.encode({ verdict = 'gone' })
end
if not can_open(sealed) then return cjson.encode({ verdict = 'foreign' }) end
-- Kept for a moment, so that the same request run again is answered the same.
redis.call('HSET', r, 'by', a.nonce)
if not by then redis.call('PEXPIRE', r, math.min(10000, redis.call('PTTL', r))) end
return cjson.encode({ verdict = 'redeemed', id = id, purpose = purpose, sealedPhone = sealed, verifiedAt = tonumber(at) })
`,
)

export const status = script(
  PRELUDE,
  CHECKS,
  WAIT,
  `
local v, c = key('v', a.id), key('c', a.id)
local phone, state, nonces = get(v, 'phone', 'status', 'nonces')
if not phone or state == 'cancelled' then return cjson.encode({ verdict = 'gone' }) end
local left = redis.call('PTTL', c)
local live = left > 0
if not live and state ~= 'verified' and state ~= 'failed' then state = 'expired' end
return cjson.encode({
  verdict = 'known', status = state, expiresIn = live and left or 0,
  resendIn = wait_for_send(phone, a.policy, false),
  checksLeft = live and a.policy.checks - checks_made(nonces or '') or 0,
})
`,
)

export const cancel = script(
  PRELUDE,
  `
local v = key('v', a.id)
if redis.call('DEL', key('c', a.id)) == 1 then
  redis.call('HSET', v, 'status', 'cancelled')
  return 'true'
end
return redis.call('HGET', v, 'status') == 'cancelled' and 'true' or 'false'
`,
)

export const unlock = script(PRELUDE, `redis.call('DEL', key('p', a.phone)) return 'null'`)

export const erase = script(
  PRELUDE,
  `
local s = key('s', a.phone)
for _, send in ipairs(redis.call('ZRANGE', s, 0, -1)) do
  local id = string.match(send, '^[^:]+')
  local proof = redis.call('HGET', key('v', id), 'proof')
  if proof then redis.call('DEL', key('r', proof)) end
  redis.call('DEL', key('v', id), key('c', id))
end
redis.call('DEL', s, key('p', a.phone))
return 'null'
`,
)

export const useOnce = script(
  PRELUDE,
  `
local u = key('u', a.token)
local by = redis.call('GET', u)
if by then return tostring(by == a.nonce) end
if a['until'] <= now then return 'false' end
redis.call('SET', u, a.nonce, 'PX', math.ceil(a['until'] - now))
return 'true'
`,
)
