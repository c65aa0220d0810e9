/**
 * The health of providers, in the slot of the budgets: what speaks for or against one is counted as there, against it as spent
 * and for it as verified.
 *   h:QUEUE            hash    who is not asked first by the consumers of that queue: PROVIDER COUNTRY to its cause, when its
 *                              pause is over, and until when one message tries. Forgotten after an hour without a change.
 *   t:QUEUE PROVIDER   string  when the line of a provider with a rate ends.
 */
import { BUCKETS, COUNTERS } from './budget-scripts.ts'
import { script } from './script.ts'

const OPEN = `
local all = key('h', a.queue)
local function read(name)
  local packed = redis.call('HGET', all, name)
  return packed and cjson.decode(packed)
end
local function write(name, breaker)
  redis.call('HSET', all, name, cjson.encode(breaker))
  redis.call('PEXPIRE', all, 3600000)
end
`

export const reportHealth = script(
  { queue: 'text', reports: 'json', rules: 'json' },
  [COUNTERS, BUCKETS],
  `${OPEN}
local SIGNALS = { 'calls', 'receipts', 'codes' }
local changed = {}

local function counter(signal, name) return key('b', a.queue .. ' ' .. signal .. ' ' .. name) end
local function forget(name)
  for _, signal in ipairs(SIGNALS) do
    local k = counter(signal, name)
    redis.call('DEL', k, k .. ':older', k .. ':verified', k .. ':verified:older')
  end
end
local function note(r, cause)
  table.insert(changed, { provider = r.provider, country = r.country, cause = cause })
end
local function open(r, name, cause)
  write(name, { provider = r.provider, country = r.country, cause = cause, over = now + a.rules[cause].pause })
  forget(name)
end

local function count(r, name)
  local rule, against = a.rules[r.signal], counter(r.signal, name)
  local window, in_favour = rule.window, against .. ':verified'
  local function update(k, more)
    if more ~= 0 then return add(k, window, more) end
    return read_counter(k, window)
  end
  local bad, inside = update(against, r.bad)
  local good = update(in_favour, r.good)
  if bad > 0 then
    local older = redis.call('GET', against .. ':older') or ''
    for n = 0, math.ceil(rule.unsettled * N / window) - 1 do
      bad = bad - units_in(window, inside, older, bucket(window, now) - n)
    end
  end
  bad = math.max(bad, 0)
  return bad + good >= rule.least and bad >= rule.share * (bad + good)
end

for _, r in ipairs(a.reports) do
  local name = r.provider .. ' ' .. r.country
  local breaker = read(name)
  if r.signal == 'account' then
    open(r, name, 'account')
    if not breaker then note(r, 'account') end
  elseif not breaker then
    if count(r, name) then
      open(r, name, r.signal)
      note(r, r.signal)
    end
  elseif r.signal == 'calls' and breaker.over <= now then
    if r.bad > 0 then
      open(r, name, breaker.cause)
    else
      redis.call('HDEL', all, name)
      note(r)
    end
  end
end

local breakers = {}
for _, packed in ipairs(redis.call('HVALS', all)) do
  local b = cjson.decode(packed)
  local wait = math.max(b.over - now, (b.probe or 0) - now, 0)
  table.insert(breakers, { provider = b.provider, country = b.country, cause = b.cause, wait = wait })
end
return cjson.encode({ open = #breakers > 0 and breakers or nil, changed = #changed > 0 and changed or nil })
`,
)

export const probe = script(
  { queue: 'text', provider: 'text', country: 'text', lease: 'number' },
  [],
  `${OPEN}
local name = a.provider .. ' ' .. a.country
local breaker = read(name)
if not breaker then return 'true' end
if breaker.over > now or (breaker.probe or 0) > now then return 'false' end
breaker.probe = now + a.lease
write(name, breaker)
return 'true'
`,
)

// The line never ends before now, less what may be caught up on: so that a millisecond's rounding costs nothing.
export const takeTurn = script(
  { queue: 'text', provider: 'text', rate: 'number', longest: 'number' },
  [],
  `
local t = key('t', a.queue .. ' ' .. a.provider)
local turn = math.max(tonumber(redis.call('GET', t)) or 0, now - 100)
local wait = math.max(0, math.ceil(turn - now))
if wait <= a.longest then redis.call('SET', t, string.format('%.3f', turn + 1000 / a.rate), 'PX', math.ceil(10000 + wait + 1000 / a.rate)) end
return tostring(wait)
`,
)
