/**
 * The Redis side of the store: one Lua script per operation, those on budgets in budget-scripts.ts. What the fields mean
 * stands in store.ts. `policy` is a constant in the scripts that go by it.
 *
 * Keys of a shard:
 *   v:ID     hash    a verification: phone, purpose, version, nonces, spent, proof, disabled; of the current version key,
 *                    status, published, attempt, holder, lease, again, result, reason, unsure, receipt; and by, message: who
 *                    sent last, and the vendor's id of it. Outlives its code by the retention, to have a status.
 *   c:ID     string  its live code, packed: mac, code, phone (both sealed), undo. Lives exactly as long as the code can
 *                    verify. As a hash it would take twice the memory, its values being too long for the compact form.
 *   p:PHONE  string  a number, packed: failures, sent (unverified sends in a row), next (no send before), ends (when its log
 *                    is over), and the log of sends: time and ID:VERSION of each. Has no expiry while there are failures: time
 *                    must not clear them (NIST SP 800-63B-4, 3.2.2).
 *   u:TOKEN  string  a token that was used, with the nonce of the request. Until it expires.
 *   r:PROOF  hash    a proof: id, phone (sealed), purpose, at, by.
 */
import { BUDGETS, COUNTERS, UNITS } from './budget-scripts.ts'
import { script } from './script.ts'

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
  if packed then return unpack(cmsgpack.unpack(packed)) end
end
local function write_code(id, mac_code_phone_undo, ...)
  redis.call('SET', key('c', id), cmsgpack.pack(mac_code_phone_undo), ...)
end
`

// What a new version replaces in v and p, and 'retract' puts back.
const UNDO = `
local OF_VERSION = { 'key', 'status', 'published', 'spent', 'attempt', 'holder', 'lease', 'again', 'result', 'reason', 'granted',
  'unsure', 'receipt', 'message' }
local function restore(k, fields, values)
  for i, field in ipairs(fields) do
    if values[i] then redis.call('HSET', k, field, values[i]) else redis.call('HDEL', k, field) end
  end
end
`

// As one string: read and written by one command each, and half the memory of a hash and a sorted set.
const PHONE = `
local function read_phone(name)
  local packed = redis.call('GET', key('p', name))
  if not packed then return { failures = 0, sent = 0, next = 0, ends = 0, log = {} } end
  local failures, sent, next, ends, log = cmsgpack.unpack(packed)
  return { failures = failures, sent = sent, next = next, ends = ends, log = log }
end
local function write_phone(name, p)
  local packed = cmsgpack.pack(p.failures, p.sent, p.next, p.ends, p.log)
  if p.failures > 0 then
    redis.call('SET', key('p', name), packed)
  elseif p.ends > now then
    redis.call('SET', key('p', name), packed, 'PXAT', p.ends)
  else
    redis.call('DEL', key('p', name))
  end
end
local function clear_phone(name, p)
  p.failures, p.sent, p.next = 0, 0, 0
  write_phone(name, p)
end
`

const WAIT = `
-- Milliseconds until one more code may be sent to this number. Sends leave a window one by one, each at its own time.
-- What slows guessing down holds even where the other limits only look on.
local function wait_for_send(p, trusted, soft)
  local wait = soft and 0 or math.max(0, p.next - now)
  local windows = soft and {} or policy.windows
  if p.failures >= policy.slowAfter and not trusted then
    windows = { policy.slowWindow, unpack(windows) }
  end
  for _, w in ipairs(windows) do
    -- The window is full for as long as the send that is the max-th from the end is in it.
    local at = p.log[#p.log + 1 - 2 * w.max]
    if at then wait = math.max(wait, at + w.window - now) end
  end
  return wait
end
`

// What is written into a hash by one command.
const FIELDS = `
local fields = {}
local function set(field, value)
  table.insert(fields, field)
  table.insert(fields, value)
end
`

export const issue = script(
  {
    ...{ id: 'text', phone: 'text', resend: 'flag', key: 'text', dryRun: 'flag', unsent: 'flag' },
    ...{ soft: 'flag', purpose: 'text', mac: 'text', code: 'text', sealedPhone: 'text' },
    ...{ trusted: 'flag', spent: 'json', ip: 'text', softBudgets: 'flag', ...UNITS },
  },
  COUNTERS,
  BUDGETS,
  CODE,
  UNDO,
  PHONE,
  WAIT,
  FIELDS,
  `
local v, c = key('v', a.id), key('c', a.id)
local phone, purpose, version, last_key, status, published, spent =
  get(v, 'phone', 'purpose', 'version', 'key', 'status', 'published', 'spent')
local mac, code, sealed
if phone then mac, code, sealed = read_code(a.id) end
local live = mac ~= nil
local p = read_phone(a.phone)

local function accept(verdict, version, status, left, taken)
  return cjson.encode({
    verdict = verdict, version = tonumber(version), status = status, published = published ~= false, taken = taken,
    expiresIn = left, resendIn = wait_for_send(p, a.trusted),
  })
end
local function refuse(verdict, wait) return cjson.encode({ verdict = verdict, wait = wait }) end

-- No two requests have the same sealed code: this one ran before.
if live and code == a.code then
  local at = #KEYS > 1 and tonumber(string.match(spent or '', ',(%d+)/[^,]*$'))
  return accept('issued', version, status, redis.call('PTTL', c), at and { at = at } or nil)
end
if phone == a.phone and a.key ~= '' and last_key == a.key then
  if not live then return refuse('gone') end
  return accept('repeated', version, status, redis.call('PTTL', c))
end
if a.resend then
  if not live or phone ~= a.phone then return refuse('gone') end
  if a.purpose ~= '' and purpose ~= a.purpose then return refuse('gone') end
elseif phone then
  return refuse('gone')
end

if p.failures >= policy.disableAfter then return refuse('disabled') end

local keep = policy.ttl + policy.retention
for _, w in ipairs(policy.windows) do keep = math.max(keep, w.window) end
keep = math.max(keep, policy.slowWindow.window)
while p.log[1] and p.log[1] <= now - keep do
  table.remove(p.log, 1)
  table.remove(p.log, 1)
end

local wait = wait_for_send(p, a.trusted, a.soft)
if not a.resend and #p.log >= 2 * policy.live then
  local seen, lives = {}, {}
  for i = 1, #p.log, 2 do
    local id = string.match(p.log[i + 1], '^[^:]+')
    local left = p.log[i] >= now - policy.ttl and not seen[id] and redis.call('PTTL', key('c', id)) or 0
    if left > 0 then
      table.insert(lives, left)
      seen[id] = true
    end
  end
  table.sort(lives)
  wait = math.max(wait, lives[#lives - policy.live + 1] or 0)
end
if wait > 0 then return refuse('wait', wait) end
if a.dryRun then return refuse('free') end

-- The last that can refuse, so that only what is issued takes a unit of them.
local taken
if #KEYS > 1 then
  local budgets = open_budgets()
  local full, over = find_room(budgets, a.softBudgets)
  if full then return cjson.encode({ verdict = 'exhausted', budget = full.budget, wait = full.wait }) end
  taken = { at = now, over = listed(over), reached = listed(take(budgets)) }
end
local spending = taken and { at = now, ip = a.ip } or a.spent

-- No send for as long as the log reaches back: the cooldown grows from the start again.
local sent, after = p.sent, p.next
local in_a_row = #p.log > 0 and sent or 0
p.sent = in_a_row + 1
p.next = now + (policy.cooldown[math.min(p.sent, #policy.cooldown)] or 0)
local undo = { next = p.next, sent = sent > 0 and sent or nil, after = after > 0 and after or nil }
if a.resend then
  undo.v, undo.c = { get(v, unpack(OF_VERSION)) }, { mac, code, sealed, false }
  undo.expires = now + redis.call('PTTL', c)
  redis.call('HDEL', v, 'key', 'published', 'attempt', 'holder', 'lease', 'again', 'result', 'reason', 'granted', 'unsure',
    'receipt', 'message')
end

version = (a.resend and version or 0) + 1
status = a.unsent and 'sent' or 'queued'
set('phone', a.phone)
set('purpose', a.purpose ~= '' and a.purpose or purpose)
set('version', version)
set('status', status)
if a.key ~= '' then set('key', a.key) end
if spending then set('spent', (spent or '') .. ',' .. spending.at .. '/' .. spending.ip) end
redis.call('HSET', v, unpack(fields))
redis.call('PEXPIRE', v, policy.ttl + policy.retention)
write_code(a.id, { a.mac, a.code, a.sealedPhone, undo }, 'PX', policy.ttl)
p.ends = now + keep
table.insert(p.log, now)
table.insert(p.log, a.id .. ':' .. version)
write_phone(a.phone, p)
published = false
return accept('issued', version, status, policy.ttl, taken)
`,
)

export const published = script(
  { id: 'text', version: 'number' },
  `
local v = key('v', a.id)
if tonumber((get(v, 'version'))) == a.version then redis.call('HSET', v, 'published', 1) end
return 'null'
`,
)

export const retract = script(
  { id: 'text', version: 'number', phone: 'text' },
  CODE,
  UNDO,
  PHONE,
  `
local v, c = key('v', a.id), key('c', a.id)
local _, _, _, undo = read_code(a.id)
-- Claimed, expired, superseded or queued by a repeat meanwhile: then it was queued after all, or there is nothing left to take back.
local version, published = get(v, 'version', 'published')
if not undo or published or tonumber(version) ~= a.version then return 'null' end

local p = read_phone(a.phone)
for i = #p.log, 2, -2 do
  if p.log[i] == a.id .. ':' .. a.version then
    table.remove(p.log, i)
    table.remove(p.log, i - 1)
  end
end
-- Cleared or sent to again meanwhile: then the cooldown is not ours any more.
if p.next == undo.next then p.sent, p.next = undo.sent or 0, undo.after or 0 end
if #p.log == 0 then p.ends = 0 end
write_phone(a.phone, p)
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
  {
    ...{ id: 'text', macs: 'json', keyIds: 'json', nonce: 'text', proof: 'text' },
    ...{ softBudgets: 'flag', ...UNITS },
  },
  COUNTERS,
  BUDGETS,
  CHECKS,
  CAN_OPEN,
  CODE,
  PHONE,
  `
local v, c = key('v', a.id), key('c', a.id)
local phone, nonces = get(v, 'phone', 'nonces')
nonces = nonces or ''

local function wrong(made) return { verdict = 'wrong', checksLeft = policy.checks - made } end
local function verified(sealed, over)
  local purpose, spent, by, message = get(v, 'purpose', 'spent', 'by', 'message')
  local units = {}
  for at, ip in string.gmatch(spent or '', '(%d+)/([^,]*)') do table.insert(units, { at = tonumber(at), ip = ip }) end
  return cjson.encode({
    verdict = 'verified', purpose = purpose, sealedPhone = sealed, spent = #units > 0 and units or nil, over = over,
    sentBy = by and { provider = by, messageId = message or nil } or nil,
  })
end

local before = string.find(nonces, ',' .. a.nonce, 1, true)
if before then
  local proof, disabled = get(v, 'proof', 'disabled')
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

local budgets, full, over
if #KEYS > 1 then
  budgets = open_budgets()
  full, over = find_room(budgets, a.softBudgets)
  if full then return cjson.encode({ verdict = 'exhausted', budget = full.budget, wait = full.wait }) end
  over = listed(over)
end

local mac, _, sealed
if phone then mac, _, sealed = read_code(a.id) end
local p = mac and read_phone(phone)
if not mac or checks_made(nonces) >= policy.checks or p.failures >= policy.disableAfter then
  return cjson.encode({ verdict = 'gone', over = over })
end

if not can_open(sealed) then return cjson.encode({ verdict = 'foreign', over = over }) end

-- Counted before it is compared: no number of parallel requests gets more comparisons than there are checks.
nonces = nonces .. ',' .. a.nonce
redis.call('HSET', v, 'nonces', nonces)
p.failures = p.failures + 1
write_phone(phone, p)

for _, candidate in ipairs(a.macs) do
  if candidate == mac then
    redis.call('DEL', c)
    clear_phone(phone, p)
    for _, b in ipairs(budgets or {}) do add_verified(b) end
    redis.call('HSET', v, 'status', 'verified', 'proof', a.proof)
    redis.call('PEXPIRE', v, policy.retention)
    local r = key('r', a.proof)
    redis.call('HSET', r, 'id', a.id, 'phone', sealed, 'purpose', (get(v, 'purpose')), 'at', now)
    redis.call('PEXPIRE', r, policy.proofTtl)
    return verified(sealed, over)
  end
end

if budgets then take(budgets) end
local answer = wrong(checks_made(nonces))
answer.over = over
if answer.checksLeft <= 0 then redis.call('DEL', c) end
if p.failures == policy.disableAfter then
  answer.disabledPhone = sealed
  redis.call('HSET', v, 'disabled', a.nonce .. sealed)
end
return cjson.encode(answer)
`,
)

export const claim = script(
  {
    ...{ id: 'text', version: 'number', attempt: 'number', maxAttempt: 'number', holder: 'text' },
    ...{ minRemaining: 'number', lease: 'number', again: 'flag', dryRun: 'flag', grant: 'flag' },
  },
  CODE,
  `
local v, c = key('v', a.id), key('c', a.id)
local version, status, purpose, attempt, holder, lease, again, result, reason, granted, by, unsure, receipt = get(v, 'version',
  'status', 'purpose', 'attempt', 'holder', 'lease', 'again', 'result', 'reason', 'granted', 'by', 'unsure', 'receipt')
version, attempt = tonumber(version), tonumber(attempt) or 0
local function answer(verdict, more)
  local t = more or {}
  t.verdict = verdict
  return cjson.encode(t)
end

if not version or a.version > version then return answer('unknown') end
if a.version < version or status == 'cancelled' then return answer('superseded') end
if status == 'verified' or receipt == 'delivered' then
  -- Said once, and to the same delivery each time that it asks.
  local said = attempt == 0 or result == 'sent' or result == 'unknown' or (result == 'arrived' and holder ~= a.holder)
  if a.dryRun or said then return answer('done', { result = 'sent' }) end
  redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'result', 'arrived')
  return answer('arrived')
end
if a.attempt < attempt then return answer('duplicate') end
-- What has failed for good gets a further attempt only where an operator replays its dead letter.
if result and (a.attempt == attempt or result == 'sent' or result == 'unknown') then
  if result == 'unknown' and holder == a.holder then return answer('unanswered') end
  return answer('done', { result = result })
end

if not a.dryRun and a.attempt > a.maxAttempt and a.attempt ~= tonumber(granted) then
  return answer('done', { result = 'failed' })
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
    redis.call('HSET', v, 'status', 'failed', 'reason', 'late')
  else
    redis.call('DEL', c)
    redis.call('HSET', v, 'status', 'expired', 'reason', 'late')
  end
  return answer('expired')
end

if a.dryRun then
  if a.grant then redis.call('HSET', v, 'granted', a.attempt) end
  return answer('free', { expiresIn = left })
end
if unanswered and not a.again then
  redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'result', 'unknown', 'status', 'sent')
  write_code(a.id, { mac, false, sealed, false }, 'KEEPTTL')
  return answer('unanswered')
end
if not mine then again = unanswered and 1 or 0 end
redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'lease', now + a.lease, 'again', again,
  'status', 'sending')
if result or reason or receipt then redis.call('HDEL', v, 'result', 'reason', 'receipt') end
write_code(a.id, { mac, code, sealed, false }, 'KEEPTTL')
return answer('send', {
  purpose = purpose, code = code, sealedPhone = sealed, expiresIn = left, again = tonumber(again) == 1,
  previous = by and { provider = by, unsure = unsure == '1' } or nil,
})
`,
)

export const complete = script(
  {
    ...{ id: 'text', version: 'number', attempt: 'number', holder: 'text', result: 'text' },
    ...{ reason: 'optional', sentBy: 'json', unsure: 'flag' },
  },
  CODE,
  FIELDS,
  `
local v = key('v', a.id)
local version, attempt, holder, status, receipt = get(v, 'version', 'attempt', 'holder', 'status', 'receipt')
attempt = tonumber(attempt) or 0
if tonumber(version) ~= a.version or attempt < a.attempt then return cjson.encode('gone') end
if attempt > a.attempt or holder ~= a.holder then return cjson.encode('taken') end
local after = { sent = 'sent', retry = 'queued', held = 'queued', failed = 'failed', unknown = 'sent' }
if a.result == 'held' then set('attempt', attempt - 1) end
set('result', a.result == 'held' and 'retry' or a.result)
if a.sentBy then
  set('by', a.sentBy.provider)
  if a.sentBy.messageId then set('message', a.sentBy.messageId) end
end
if receipt == 'failed' and a.result == 'retry' then
  -- It was told before the call had ended that it came to nothing, so that anybody may send it now.
  redis.call('HDEL', v, 'receipt', 'reason', 'unsure')
  status = 'sending'
elseif a.unsure then
  set('unsure', 1)
end
if status == 'sending' then
  set('status', after[a.result])
  if a.reason then set('reason', a.reason) end
end
redis.call('HSET', v, unpack(fields))
-- Sent, as far as is known: what could be sent is no longer needed, the MAC goes on verifying.
local mac, _, sealed = read_code(a.id)
if mac and (a.result == 'sent' or a.result == 'unknown') then write_code(a.id, { mac, false, sealed, false }, 'KEEPTTL') end
return cjson.encode('recorded')
`,
)

export const redeem = script(
  { proof: 'text', purpose: 'text', keyIds: 'json', nonce: 'text' },
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
  { id: 'text' },
  CHECKS,
  PHONE,
  WAIT,
  `
local v, c = key('v', a.id), key('c', a.id)
local phone, state, nonces, reason = get(v, 'phone', 'status', 'nonces', 'reason')
if not phone or state == 'cancelled' then return cjson.encode({ verdict = 'gone' }) end
local left = redis.call('PTTL', c)
local live = left > 0
if not live and state ~= 'verified' and state ~= 'failed' then state = 'expired' end
local over = state == 'failed' or state == 'expired'
return cjson.encode({
  verdict = 'known', status = state, reason = over and reason or nil, expiresIn = live and left or 0,
  resendIn = wait_for_send(read_phone(phone), false),
  checksLeft = live and policy.checks - checks_made(nonces or '') or 0,
})
`,
)

export const cancel = script(
  { id: 'text' },
  `
local v = key('v', a.id)
if redis.call('DEL', key('c', a.id)) == 1 then
  redis.call('HSET', v, 'status', 'cancelled')
  return 'true'
end
return redis.call('HGET', v, 'status') == 'cancelled' and 'true' or 'false'
`,
)

export const unlock = script(
  { phone: 'text' },
  PHONE,
  `clear_phone(a.phone, read_phone(a.phone)) return 'null'`,
)

export const erase = script(
  { phone: 'text' },
  PHONE,
  `
local log = read_phone(a.phone).log
for i = 2, #log, 2 do
  local id = string.match(log[i], '^[^:]+')
  local proof = redis.call('HGET', key('v', id), 'proof')
  if proof then redis.call('DEL', key('r', proof)) end
  redis.call('DEL', key('v', id), key('c', id))
end
redis.call('DEL', key('p', a.phone))
return 'null'
`,
)

export const useOnce = script(
  { phone: 'text', token: 'text', until: 'number', nonce: 'text' },
  `
local u = key('u', a.token)
local by = redis.call('GET', u)
if by then return tostring(by == a.nonce) end
if a['until'] <= now then return 'false' end
redis.call('SET', u, a.nonce, 'PX', math.ceil(a['until'] - now))
return 'true'
`,
)
