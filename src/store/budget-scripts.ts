/**
 * What is counted over all numbers, in a slot of its own:
 *   b:BUDGET hash    an outer budget: the units spent, by sixtieths of the window.
 *   q:QUEUE  string  the deliveries settled.
 */
import { PRELUDE, script } from './script.ts'

// The window is cut into N buckets, and N + 1 are counted, so that a unit counts for at least the whole window. A sum is
// kept beside them: the cost does not grow with the window.
const BUCKETS = `
local N = 60
local function bucket(b, at) return math.floor(at * N / b.window) end

-- Drops the buckets that have left the window; answers the units spent and the oldest bucket that is left.
local function roll(b)
  local k, oldest = key('b', b.key), bucket(b, now) - N
  local sum, head = get(k, 'sum', 'head')
  -- Never ahead of the clock, which may have been set back.
  sum, head = tonumber(sum) or 0, math.min(tonumber(head) or oldest, oldest)
  while head < oldest do
    local units = redis.call('HGET', k, head)
    if units then
      sum = sum - units
      redis.call('HDEL', k, head)
    end
    head = head + 1
  end
  redis.call('HSET', k, 'sum', sum, 'head', head)
  redis.call('PEXPIRE', k, math.ceil(b.window + b.window / N))
  return sum, head
end
`

export const spend = script(
  PRELUDE,
  BUCKETS,
  `
for i, b in ipairs(a.budgets) do
  local sum, head = roll(b)
  if sum >= b.max then
    local surplus, newest = sum - b.max + 1, bucket(b, now)
    while surplus > 0 and head <= newest do
      surplus = surplus - (tonumber(redis.call('HGET', key('b', b.key), head)) or 0)
      head = head + 1
    end
    return cjson.encode({ verdict = 'wait', budget = i - 1, wait = math.ceil((head + N) * b.window / N - now) })
  end
end

local reached = {}
for i, b in ipairs(a.budgets) do
  local k = key('b', b.key)
  redis.call('HINCRBY', k, bucket(b, now), 1)
  local used = redis.call('HINCRBY', k, 'sum', 1)
  for _, share in ipairs({ 80, 100 }) do
    if used * 100 >= b.max * share then
      local told = redis.call('HGET', k, 'told' .. share)
      if not told or now - told >= b.window then
        redis.call('HSET', k, 'told' .. share, now)
        table.insert(reached, { budget = i - 1, used = used, share = share / 100 })
      end
    end
  end
end
return cjson.encode({ verdict = 'spent', at = now, reached = #reached > 0 and reached or nil })
`,
)

export const refund = script(
  PRELUDE,
  BUCKETS,
  `
for _, b in ipairs(a.budgets) do
  local k, i = key('b', b.key), bucket(b, a.at)
  local sum, head = roll(b)
  local units = tonumber(redis.call('HGET', k, i)) or 0
  if i >= head and units > 0 then
    redis.call('HINCRBY', k, i, -1)
    redis.call('HSET', k, 'sum', sum - 1)
  end
end
return 'null'
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
