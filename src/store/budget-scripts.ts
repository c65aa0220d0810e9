/**
 * What is counted over all numbers, in a slot of its own:
 *   b:BUDGET hash    an outer budget: the units spent, by sixtieths of the window.
 *   q:QUEUE  string  the deliveries settled.
 */
import { PRELUDE, script } from './script.ts'

// The window is cut into N buckets, and N + 1 are counted, so that a unit counts for at least the whole window. A sum is
// kept beside them: the cost does not grow with the window. What was verified is kept the same way, its fields beginning
// with 'v'.
const BUCKETS = `
local N = 60
local function bucket(b, at) return math.floor(at * N / b.window) end

-- Drops the buckets that have left the window; answers the units in it and the oldest bucket that is left.
local function roll(b, of)
  local k, oldest = key('b', b.key), bucket(b, now) - N
  local sum, head = get(k, of .. 'sum', of .. 'head')
  -- Never ahead of the clock, which may have been set back.
  sum, head = tonumber(sum) or 0, math.min(tonumber(head) or oldest, oldest)
  while head < oldest do
    local units = redis.call('HGET', k, of .. head)
    if units then
      sum = sum - units
      redis.call('HDEL', k, of .. head)
    end
    head = head + 1
  end
  redis.call('HSET', k, of .. 'sum', sum, of .. 'head', head)
  redis.call('PEXPIRE', k, math.ceil(b.window + b.window / N))
  return sum, head
end

local function add(b, of, at, units)
  local k = key('b', b.key)
  redis.call('HINCRBY', k, of .. bucket(b, at), units)
  return redis.call('HINCRBY', k, of .. 'sum', units)
end

local function units_in(b, at) return tonumber(redis.call('HGET', key('b', b.key), bucket(b, at))) or 0 end

local function counts_verified(b) return b.share > 0 or b.conversion end
`

export const spend = script(
  PRELUDE,
  BUCKETS,
  `
local over, verified, max = {}, {}, {}
for i, b in ipairs(a.budgets) do
  local sum, head = roll(b, '')
  verified[i] = counts_verified(b) and roll(b, 'v') or 0
  max[i] = math.max(b.max, math.floor(b.share * verified[i]))
  if sum + b.units > max[i] then
    if not a.soft then
      local surplus, newest = sum + b.units - max[i], bucket(b, now)
      while surplus > 0 and head <= newest do
        surplus = surplus - (tonumber(redis.call('HGET', key('b', b.key), head)) or 0)
        head = head + 1
      end
      return cjson.encode({ verdict = 'wait', budget = i - 1, wait = math.ceil((head + N) * b.window / N - now) })
    end
    table.insert(over, i - 1)
  end
end

local reached = {}
for i, b in ipairs(a.budgets) do
  local function tell(name, kind, used, share)
    local k = key('b', b.key)
    local told = redis.call('HGET', k, name)
    if told and now - told < b.window then return end
    redis.call('HSET', k, name, now)
    table.insert(reached, { budget = i - 1, kind = kind, used = used, max = max[i], share = share })
  end
  local used = add(b, '', now, b.units)
  for _, percent in ipairs({ 80, 100 }) do
    if used * 100 >= max[i] * percent then tell('told' .. percent, 'used', used, percent / 100) end
  end
  if b.conversion then
    local settled = used - units_in(b, now) + verified[i]
    local share = verified[i] / settled
    if settled >= b.conversion.least and share < b.conversion.below then tell('told', 'conversion', settled, share) end
  end
end
return cjson.encode({
  verdict = 'spent', at = now, reached = #reached > 0 and reached or nil, over = #over > 0 and over or nil,
})
`,
)

export const refund = script(
  PRELUDE,
  BUCKETS,
  `
for _, b in ipairs(a.budgets) do
  local _, head = roll(b, '')
  if bucket(b, a.at) >= head then
    local units = math.min(b.units, units_in(b, a.at))
    if units > 0 then add(b, '', a.at, -units) end
  end
  if a.verified and counts_verified(b) then
    roll(b, 'v')
    add(b, 'v', now, b.units)
  end
end
return 'null'
`,
)

export const usage = script(
  PRELUDE,
  BUCKETS,
  `
local budgets = {}
for _, b in ipairs(a.budgets) do
  table.insert(budgets, { unverified = (roll(b, '')), verified = (roll(b, 'v')) })
end
return cjson.encode({ at = now, budgets = #budgets > 0 and budgets or nil })
`,
)

export const progress = script(
  PRELUDE,
  `
local q = key('q', a.queue)
local sum = a.more > 0 and redis.call('INCRBY', q, a.more) or redis.call('GET', q) or 0
if a.more > 0 then redis.call('PEXPIRE', q, 3600000) end
return tostring(sum)
`,
)
