/**
 * What is counted over all numbers, in a slot of its own:
 *   b:BUDGET hash    an outer budget: the units spent, by sixtieths of the window.
 *   q:QUEUE  string  the deliveries settled.
 */
import { PRELUDE, script } from './script.ts'
import type { Budget } from './store.ts'

/** A budget as the scripts take it: short, since some go along with every request. */
export const packBudget = ({ key, window, max, share, units, conversion }: Budget) => [
  ...[key, window, max, share, units],
  ...(conversion ? [conversion.below, conversion.least] : []),
]

// The window is cut into N buckets, and N + 1 are counted, so that a unit counts for at least the whole window. A sum is
// kept beside them: the cost does not grow with the window. What was verified is kept the same way, its fields beginning
// with 'v'. The prefix of budgets is the last one of a script's keys; that of a number's shard may be in front.
export const BUCKETS = `
local N = 60
local function bucket(b, at) return math.floor(at * N / b.window) end
local function bucket_key(b)
  b.full = b.full or KEYS[#KEYS] .. 'b:' .. b.key
  return b.full
end

-- Drops the buckets that have left the window; answers the units in it and the oldest bucket that is left. What was never
-- spent on leaves nothing behind: who is only refused must not fill Redis.
local function roll(b, of, sum, first)
  local k, oldest = bucket_key(b), bucket(b, now) - N
  if sum == nil then sum, first = get(k, of .. 'sum', of .. 'head') end
  if not sum then return 0, oldest end
  -- Never ahead of the clock, which may have been set back.
  local head = math.min(first, oldest)
  sum = tonumber(sum)
  while head < oldest do
    local units = redis.call('HGET', k, of .. head)
    if units then
      sum = sum - units
      redis.call('HDEL', k, of .. head)
    end
    head = head + 1
  end
  if head ~= tonumber(first) then redis.call('HSET', k, of .. 'sum', sum, of .. 'head', head) end
  return sum, head
end

-- To what 'roll' has answered. Answers the units in the window, and those in the bucket.
local function add(b, of, head, at, units)
  local k = bucket_key(b)
  local inside = redis.call('HINCRBY', k, of .. bucket(b, at), units)
  if inside == units then
    -- A new one. Kept until the last unit that can come into it has left the window.
    redis.call('HSET', k, of .. 'head', head)
    redis.call('PEXPIRE', k, math.ceil(b.window + 2 * b.window / N))
  end
  return redis.call('HINCRBY', k, of .. 'sum', units), inside
end

local function units_in(b, at) return tonumber(redis.call('HGET', bucket_key(b), bucket(b, at))) or 0 end
`

// How budgets are spent, by themselves or along with what is spent on.
export const BUDGETS = `
local function open_budgets(packed)
  local budgets = {}
  for i, b in ipairs(packed) do
    budgets[i] = { key = b[1], window = b[2], max = b[3], share = b[4], units = b[5], below = b[6], least = b[7] }
  end
  return budgets
end

local function counts_verified(b) return b.share > 0 or b.least end

-- What is used of it, what was verified, and how much there may be.
local function look(b)
  local sum, head, vsum, vhead = get(bucket_key(b), 'sum', 'head', 'vsum', 'vhead')
  b.used, b.head = roll(b, '', sum, head)
  b.verified, b.vhead = roll(b, 'v', vsum, vhead)
  b.most = math.max(b.max, math.floor(b.share * b.verified))
end

-- The first budget with too little left and how long it is so; or, where nothing is to be refused, all those with too little.
local function find_room(budgets, soft)
  local over = {}
  for i, b in ipairs(budgets) do
    look(b)
    local surplus, head = b.used + b.units - b.most, b.head
    if surplus > 0 and not soft then
      while surplus > 0 and head <= bucket(b, now) do
        surplus = surplus - (tonumber(redis.call('HGET', bucket_key(b), head)) or 0)
        head = head + 1
      end
      return { budget = i - 1, wait = math.ceil((head + N) * b.window / N - now) }
    end
    if surplus > 0 then table.insert(over, i - 1) end
  end
  return nil, over
end

-- After 'find_room'. Answers what has happened to a budget for the first time in its window.
local function take(budgets)
  local reached = {}
  local function tell(i, name, kind, used, share)
    local b = budgets[i]
    local told = redis.call('HGET', bucket_key(b), name)
    if told and now - told < b.window then return end
    redis.call('HSET', bucket_key(b), name, now)
    table.insert(reached, { budget = i - 1, kind = kind, used = used, max = b.most, share = share })
  end
  for i, b in ipairs(budgets) do
    local used, newest = add(b, '', b.head, now, b.units)
    if used * 100 >= b.most * 80 then tell(i, 'told80', 'used', used, 0.8) end
    if used >= b.most then tell(i, 'told100', 'used', used, 1) end
    if b.least then
      local settled = used - newest + b.verified
      local share = b.verified / settled
      if settled >= b.least and share < b.below then tell(i, 'told', 'conversion', settled, share) end
    end
  end
  return reached
end

-- An empty list would become an object in JSON.
local function listed(list) return #list > 0 and list or nil end
`

export const spend = script(
  PRELUDE,
  BUCKETS,
  BUDGETS,
  `
local budgets = open_budgets(a.budgets)
local full, over = find_room(budgets, a.soft)
if full then return cjson.encode({ verdict = 'wait', budget = full.budget, wait = full.wait }) end
local reached = take(budgets)
return cjson.encode({ verdict = 'spent', at = now, reached = listed(reached), over = listed(over) })
`,
)

export const refund = script(
  PRELUDE,
  BUCKETS,
  BUDGETS,
  `
for _, b in ipairs(open_budgets(a.budgets)) do
  local _, head = roll(b, '')
  if bucket(b, a.at) >= head then
    local units = math.min(b.units, units_in(b, a.at))
    if units > 0 then add(b, '', head, a.at, -units) end
  end
  if a.verified and counts_verified(b) then
    local _, oldest = roll(b, 'v')
    add(b, 'v', oldest, now, b.units)
  end
end
return 'null'
`,
)

export const usage = script(
  PRELUDE,
  BUCKETS,
  BUDGETS,
  `
local budgets = open_budgets(a.budgets)
for i, b in ipairs(budgets) do
  look(b)
  budgets[i] = { unverified = b.used, verified = b.verified }
end
return cjson.encode({ at = now, budgets = listed(budgets) })
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
