/**
 * The Redis side of the store: one Lua script per operation of the web half; those of the worker half are in
 * delivery-scripts.ts, those on budgets alone in budget-scripts.ts. `policy` is a constant in the scripts that go by it; what
 * `each` and `first` are stands in script.ts.
 */
import { BUDGETS, COUNTERS, UNITS } from './budget-scripts.ts'
import { CAN_OPEN, CHECKS, CODE, PHONE } from './records.ts'
import { type Script, script, withConstants } from './script.ts'
import type { Policy } from './store.ts'

const byPolicy = new WeakMap<Policy, Map<Script, Script>>()

/** The script for that policy, of which a process has few. */
export function withPolicy<Name extends string>(
  script: Script<Name>,
  policy: Policy,
): Script<Name> {
  const made = byPolicy.get(policy) ?? new Map<Script, Script>()
  byPolicy.set(policy, made)
  const one = made.get(script) ?? withConstants(script, 'policy', constantsOf(policy))
  made.set(script, one)
  return one as Script<Name>
}

function constantsOf(policy: Policy) {
  const { windows, slowWindow, ttl, retention } = policy
  const listed = ({ max, window }: Policy['slowWindow']) => [max, window]
  // How long a verification is kept, and how long a number's log of sends is.
  const kept = ttl + retention
  const logged = Math.max(kept, ...[...windows, slowWindow].map(({ window }) => window))
  return {
    ...policy,
    ...{ windows: windows.map(listed), slowWindow: [listed(slowWindow)], kept, logged },
  }
}

// What a new version replaces in v, and 'retract' puts back.
const VERSION = `
local OF_VERSION = { 'key', 'status', 'published', 'spent', 'attempt', 'holder', 'lease', 'again', 'result', 'reason', 'granted',
  'unsure', 'receipt', 'message' }
local function restore(k, fields, values)
  for i, field in ipairs(fields) do
    if values[i] then redis.call('HSET', k, field, values[i]) else redis.call('HDEL', k, field) end
  end
end
`

const WAIT = `
-- Milliseconds until one more code may be sent to this number. Sends leave a window one by one, each at its own time.
-- What slows guessing down holds even where the other limits only look on.
local function wait_for_send(p, trusted, soft)
  local wait = soft and 0 or math.max(0, p.next - now)
  local function look(_, max, window)
    -- The window is full for as long as the send that is the max-th from the end is in it.
    local at = nth_send(p.log, max)
    if at then wait = math.max(wait, at + window - now) end
  end
  if not soft then each(policy.windows, look) end
  if p.failures >= policy.slowAfter and not trusted then each(policy.slowWindow, look) end
  return wait
end
`

export const issue = script(
  {
    ...{ id: 'text', phone: 'text', resend: 'flag', key: 'text', dryRun: 'flag', unsent: 'flag' },
    ...{ soft: 'flag', purpose: 'text', mac: 'text', code: 'text', sealedPhone: 'text' },
    ...{ trusted: 'flag', spent: 'json', ip: 'text', softBudgets: 'flag', ...UNITS },
  },
  [COUNTERS, BUDGETS, CODE, VERSION, PHONE, WAIT],
  `
local v, c = key('v', a.id), key('c', a.id)
local phone = redis.call('HGET', v, 'phone')
local purpose, version, last_key, status, published, spent, mac, code, sealed
if phone then
  purpose, version, last_key, status, published, spent = get(v, 'purpose', 'version', 'key', 'status', 'published', 'spent')
  mac, sealed, code = read_code(a.id)
end
local live = mac ~= nil
local p = read_phone(a.phone)

-- Not by cjson, which takes several times as long for the numbers.
local function accept(verdict, version, status, published, left, taken)
  return string.format('{"verdict":"%s","version":%d,"status":"%s","published":%s,"expiresIn":%d,"resendIn":%d%s}',
    verdict, version, status, tostring(published), left, math.ceil(wait_for_send(p, a.trusted)), taken and ',"taken":' .. taken or '')
end
local function before(verdict, taken)
  return accept(verdict, version, status, published ~= false, redis.call('PTTL', c), taken)
end
local function refuse(verdict, wait) return cjson.encode({ verdict = verdict, wait = wait }) end

-- No two requests have the same sealed code: this one ran before.
if live and code == a.code then
  local at = budgets.count > 0 and string.match(spent or '', ',(%d+)/[^,]*$')
  return before('issued', at and '{"at":' .. at .. '}')
end
if phone == a.phone and a.key ~= '' and last_key == a.key then
  return live and before('repeated') or refuse('gone')
end
if a.resend then
  if not live or phone ~= a.phone then return refuse('gone') end
  if a.purpose ~= '' and purpose ~= a.purpose then return refuse('gone') end
elseif phone then
  return refuse('gone')
end

if p.failures >= policy.disableAfter then return refuse('disabled') end

while p.log ~= '' and struct.unpack('<d', p.log) <= now - policy.logged do p.log = string.sub(p.log, SEND_SIZE + 1) end

local wait = wait_for_send(p, a.trusted, a.soft)
if not a.resend and nth_send(p.log, policy.live) then
  local seen, lives = {}, {}
  for i = 1, #p.log, SEND_SIZE do
    local at, _, id = struct.unpack(SEND, p.log, i)
    local left = at >= now - policy.ttl and not seen[id] and redis.call('PTTL', key('c', id)) or 0
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
if budgets.count > 0 then
  local full = find_full()
  if full then return cjson.encode({ verdict = 'exhausted', budget = full.budget, wait = full.wait }) end
  take()
  local told = over or reached
  taken = told and cjson.encode({ at = now, over = over, reached = reached }) or '{"at":' .. whole(now) .. '}'
  spent = string.format('%s,%d/%s', spent or '', now, a.ip)
elseif a.spent then
  spent = string.format('%s,%d/%s', spent or '', a.spent.at, a.spent.ip)
end

-- No send for as long as the log reaches back: the cooldown grows from the start again.
local sent, after, cooldown = p.sent, p.next, policy.cooldown
p.sent = (p.log ~= '' and sent or 0) + 1
p.next = now + (cooldown[math.min(p.sent, #cooldown)] or 0)
local new_code = pack_undoable(a.mac, a.sealedPhone, a.code, p.next, sent, after)
if a.resend then
  new_code = new_code .. cmsgpack.pack({
    v = { get(v, unpack(OF_VERSION)) }, c = pack_code(mac, sealed, code), expires = now + redis.call('PTTL', c),
  })
  redis.call('HDEL', v, 'key', 'published', 'attempt', 'holder', 'lease', 'again', 'result', 'reason', 'granted', 'unsure', 'receipt',
    'message')
end

version = (a.resend and version or 0) + 1
status = a.unsent and 'sent' or 'queued'
redis.call('HSET', v, 'phone', a.phone, 'purpose', a.purpose ~= '' and a.purpose or purpose, 'version', whole(version),
  'status', status, 'spent', spent or '')
if a.key ~= '' then redis.call('HSET', v, 'key', a.key) end
redis.call('PEXPIRE', v, 'policy.kept')
redis.call('SET', c, new_code, 'PX', 'policy.ttl')
p.ends = now + policy.logged
p.log = p.log .. struct.pack(SEND, now, version, a.id)
write_phone(a.phone, p)
return accept('issued', version, status, false, policy.ttl, taken)
`,
)

export const published = script(
  { id: 'text', version: 'number' },
  [],
  `
local v = key('v', a.id)
if tonumber((get(v, 'version'))) == a.version then redis.call('HSET', v, 'published', 1) end
return 'null'
`,
)

export const retract = script(
  { id: 'text', version: 'number', phone: 'text' },
  [CODE, VERSION, PHONE],
  `
local v, c = key('v', a.id), key('c', a.id)
local _, _, _, undo = read_code(a.id)
-- Claimed, expired, superseded or queued by a repeat meanwhile: then it was queued after all, or there is nothing left to take back.
local version, published, attempt = get(v, 'version', 'published', 'attempt')
if not undo or undo == '' or attempt or published or tonumber(version) ~= a.version then return 'null' end

local p = read_phone(a.phone)
for i = #p.log - SEND_SIZE + 1, 1, -SEND_SIZE do
  local _, version, id = struct.unpack(SEND, p.log, i)
  if id == a.id and version == a.version then p.log = string.sub(p.log, 1, i - 1) .. string.sub(p.log, i + SEND_SIZE) end
end
-- Cleared or sent to again meanwhile: then the cooldown is not ours any more.
local next, sent, after = struct.unpack(UNDO, undo)
if p.next == next then p.sent, p.next = sent, after end
if p.log == '' then p.ends = 0 end
write_phone(a.phone, p)
if #undo > UNDO_SIZE then
  local earlier = cmsgpack.unpack(string.sub(undo, UNDO_SIZE + 1))
  redis.call('HSET', v, 'version', a.version - 1)
  restore(v, OF_VERSION, earlier.v)
  redis.call('SET', c, earlier.c, 'PXAT', whole(earlier.expires))
else
  redis.call('DEL', v, c)
end
return 'null'
`,
)

// What a check is answered.
const CHECK_ANSWERS = `
local function wrong(made, disabled, over)
  local left = policy.checks - made
  if not disabled and not over then return string.format('{"verdict":"wrong","checksLeft":%d}', left) end
  return cjson.encode({ verdict = 'wrong', checksLeft = left, disabledPhone = disabled, over = over })
end
local function verified(v, sealed, over)
  local purpose, spent, by, message = get(v, 'purpose', 'spent', 'by', 'message')
  local units = {}
  for at, ip in string.gmatch(spent or '', '(%d+)/([^,]*)') do table.insert(units, { at = tonumber(at), ip = ip }) end
  return cjson.encode({
    verdict = 'verified', purpose = purpose, sealedPhone = sealed, spent = #units > 0 and units or nil, over = over,
    sentBy = by and { provider = by, messageId = message or nil } or nil,
  })
end
local function gone(over) return cjson.encode({ verdict = 'gone', over = over }) end
`

export const check = script(
  {
    ...{ id: 'text', macs: 'list', keyIds: 'list', nonce: 'text', proof: 'text' },
    ...{ softBudgets: 'flag', ...UNITS },
  },
  [COUNTERS, BUDGETS, CHECKS, CAN_OPEN, CODE, PHONE, CHECK_ANSWERS],
  `
local v = key('v', a.id)
local phone, nonces = get(v, 'phone', 'nonces')
nonces = nonces or ''

local before = string.find(nonces, ',' .. a.nonce, 1, true)
if before then
  local proof, disabled = get(v, 'proof', 'disabled')
  if proof == a.proof then
    local sealed = redis.call('HGET', key('r', a.proof), 'phone')
    return sealed and verified(v, sealed) or gone()
  end
  local by_this = disabled and string.sub(disabled, 1, #a.nonce) == a.nonce
  return wrong((before - 1) / NONCE + 1, by_this and string.sub(disabled, #a.nonce + 1) or nil)
end

local full = find_full()
if full then return cjson.encode({ verdict = 'exhausted', budget = full.budget, wait = full.wait }) end

local mac, sealed
if phone then mac, sealed = read_mac_and_phone(a.id) end
if not mac or checks_made(nonces) >= policy.checks then return gone(over) end
if not can_open(sealed) then return cjson.encode({ verdict = 'foreign', over = over }) end

-- Counted before it is compared: no number of parallel requests gets more comparisons than there are checks. For a number that is
-- disabled the count goes on, since to read it first would take longer for every check.
local failures = redis.call('INCRBY', key('f', phone), '1')
if failures > policy.disableAfter then return gone(over) end
nonces = nonces .. ',' .. a.nonce
redis.call('HSET', v, 'nonces', nonces)

if is_one_of(a.macs, mac) then
  redis.call('DEL', key('c', a.id))
  clear_phone(phone)
  each(budgets.rules, add_verified)
  redis.call('HSET', v, 'status', 'verified', 'proof', a.proof)
  redis.call('PEXPIRE', v, 'policy.retention')
  local r = key('r', a.proof)
  redis.call('HSET', r, 'id', a.id, 'phone', sealed, 'purpose', (get(v, 'purpose')), 'at', whole(now))
  redis.call('PEXPIRE', r, 'policy.proofTtl')
  return verified(v, sealed, over)
end

take()
local made, disabled = checks_made(nonces)
if made >= policy.checks then redis.call('DEL', key('c', a.id)) end
if failures == policy.disableAfter then
  disabled = sealed
  redis.call('HSET', v, 'disabled', a.nonce .. sealed)
end
return wrong(made, disabled, over)
`,
)

export const redeem = script(
  { proof: 'text', purpose: 'text', keyIds: 'list', nonce: 'text' },
  [CAN_OPEN],
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
  [CHECKS, PHONE, WAIT],
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
  [],
  `
local v = key('v', a.id)
if redis.call('DEL', key('c', a.id)) == 1 then
  redis.call('HSET', v, 'status', 'cancelled')
  return 'true'
end
return redis.call('HGET', v, 'status') == 'cancelled' and 'true' or 'false'
`,
)

export const unlock = script({ phone: 'text' }, [PHONE], `clear_phone(a.phone) return 'null'`)

export const erase = script(
  { phone: 'text' },
  [PHONE],
  `
local log = read_phone(a.phone).log
for i = 1, #log, SEND_SIZE do
  local _, _, id = struct.unpack(SEND, log, i)
  local proof = redis.call('HGET', key('v', id), 'proof')
  if proof then redis.call('DEL', key('r', proof)) end
  redis.call('DEL', key('v', id), key('c', id))
end
redis.call('DEL', key('p', a.phone), key('f', a.phone))
return 'null'
`,
)

export const useOnce = script(
  { phone: 'text', token: 'text', until: 'number', nonce: 'text' },
  [],
  `
local u = key('u', a.token)
local by = redis.call('GET', u)
if by then return tostring(by == a.nonce) end
if a.until <= now then return 'false' end
redis.call('SET', u, a.nonce, 'PX', math.ceil(a.until - now))
return 'true'
`,
)
