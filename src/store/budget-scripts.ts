/**
 * What is counted over all numbers, in a slot of its own:
 *   b:BUDGET           string  an outer budget: the units spent, a counter as below.
 *   b:BUDGET:verified  string  what was verified of them, the same.
 *   b:BUDGET:older     string  the older buckets of a counter; and b:BUDGET:verified:older.
 *   b:BUDGET:KIND      string  there while it need not be told again that the budget is used up to 80 or 100 %, or converts badly.
 *   q:QUEUE            string  the deliveries settled.
 */
import { type Arguments, type Script, script, withConstants } from './script.ts'
import type { Budget } from './store.ts'

/** What scripts on budgets take: how many units of each, where it is not one of all of them. */
export const UNITS = { units: 'json' } satisfies Arguments

export const unitsOf = (budgets: readonly Budget[]): number[] | undefined =>
  budgets.every(({ units }) => units === 1) ? undefined : budgets.map(({ units }) => units)

/** Of a budget: for `each(budgets.rules, f)`, which calls f with its number in front of them. */
type Rules = [window: number, max: number, share: number, below: number, least: number]

const rulesOf = ({ window, max, share, conversion }: Budget): Rules => [
  ...([window, max, share] as const),
  ...([conversion?.below ?? 0, conversion?.least ?? 0] as const),
]

const made = new WeakMap<Script, { rules: Rules[]; script: Script }[]>()

/** The script for budgets of these rules, of which a process has few. Their keys are behind the first one of a request. */
export function withRules<Name extends string>(
  script: Script<Name>,
  budgets: readonly Budget[],
): Script<Name> {
  const known = made.get(script) ?? []
  // To compare numbers takes a tenth of the time of a text to look them up by.
  const found = known.find(({ rules }) => areThese(rules, budgets))
  if (found) return found.script as Script<Name>
  const rules = budgets.map(rulesOf)
  const one = withConstants(script, 'budgets', { count: rules.length, rules })
  made.set(script, [...known, { rules, script: one }])
  return one
}

function areThese(rules: Rules[], budgets: readonly Budget[]): boolean {
  if (rules.length !== budgets.length) return false
  for (const [i, [window, max, share, below, least]] of rules.entries()) {
    const budget = budgets[i] as Budget
    if (budget.window !== window || budget.max !== max || budget.share !== share) return false
    if ((budget.conversion?.below ?? 0) !== below) return false
    if ((budget.conversion?.least ?? 0) !== least) return false
  }
  return true
}

// The window is cut into N buckets, and N + 1 are counted, so that a unit counts for at least the whole window. A counter is
// its head, three numbers: the sum, the newest bucket and the units in it. The older buckets, each with its units, are in a key
// of their own, which is read only where a new bucket begins and where units are given back: so the cost of counting does not
// grow with the window.
export const COUNTERS = `
local N = 60
local HEAD, BUCKET, BUCKET_SIZE = '<ddd', '<dd', 16
local function bucket(window, at)
  local number = at * N / window
  return number - number % 1
end

-- Until the last unit that can come into the newest bucket has left the window.
local function keep(k, window, head, older)
  local time = whole(math.ceil(window + 2 * window / N))
  redis.call('SET', k, head, 'PX', time)
  if older then redis.call('SET', k .. ':older', older, 'PX', time) end
end

-- A new bucket begins: what has left the window is taken away.
local function roll(k, window, sum, newest, inside)
  local this = bucket(window, now)
  local older = (redis.call('GET', k .. ':older') or '') .. struct.pack(BUCKET, newest, inside)
  local first, last = 1, #older - BUCKET_SIZE + 1
  inside = 0
  while first <= last do
    local index, units = struct.unpack(BUCKET, older, first)
    if index >= this - N then break end
    sum, first = sum - units, first + BUCKET_SIZE
  end
  -- Where the clock was set back, what lies ahead of it counts as of now; for good, should the clock be put right again.
  while first <= last do
    local index, units = struct.unpack(BUCKET, older, last)
    if index < this then break end
    inside, last = inside + units, last - BUCKET_SIZE
  end
  if sum == 0 then
    redis.call('DEL', k, k .. ':older')
  else
    keep(k, window, struct.pack(HEAD, sum, this, inside), string.sub(older, first, last + BUCKET_SIZE - 1))
  end
  return sum, inside
end

-- The units as they are now, and how many of them are in the newest bucket, which is that of now.
local function current(k, window, head)
  if not head then return 0, 0 end
  local sum, newest, inside = struct.unpack(HEAD, head)
  if newest == bucket(window, now) then return sum, inside end
  return roll(k, window, sum, newest, inside)
end

local function read_counter(k, window) return current(k, window, redis.call('GET', k)) end

-- 'there' is whether anything was counted before.
local function write_counter(k, window, there, sum, inside)
  local head = struct.pack(HEAD, sum, bucket(window, now), inside)
  if there then redis.call('SETRANGE', k, '0', head) else keep(k, window, head) end
end

local function add(k, window, units)
  local sum, inside = read_counter(k, window)
  write_counter(k, window, sum > 0, sum + units, inside + units)
  return sum + units, inside + units
end
`

// What looks at single buckets.
export const BUCKETS = `
-- The units in a bucket, and where it stands among the older ones; 'inside' are those of the newest.
local function units_in(window, inside, older, that)
  if that == bucket(window, now) then return inside end
  for i = 1, #older, BUCKET_SIZE do
    local index, units = struct.unpack(BUCKET, older, i)
    if index == that then return units, i end
  end
  return 0
end
`

// How budgets are spent, by themselves or along with what is spent on. Their keys are behind the first one of the request. The
// requests that are answered together have most of them in common: each is read once for all, and written once when they are through.
export const BUDGETS = `
keys_each = 1 + budgets.count
-- By key: the head as it was read; whether anything was counted; the units as they are now; the window of what is to be written.
local heads, there, sums, insides, changed
-- What this request changes: the first so many places of a list that is used for each again, KEY, WINDOW, SUM, INSIDE by turns. It
-- counts once the request is answered, and not where it fails.
local changes, places = {}, 0
local over, reached
local function read_heads()
  local found, keys = {}, {}
  for n = 1, #KEYS do
    local k = KEYS[n]
    if (n - 1) % keys_each > 0 and found[k] == nil then
      found[k] = false
      keys[#keys + 1] = k
    end
  end
  local values = #keys > 0 and redis.call('MGET', unpack(keys)) or {}
  for i, head in ipairs(values) do found[keys[i]] = head end
  return found
end
local function read_budgets()
  over, reached, places = nil, nil, 0
  if heads then return end
  heads = read_heads()
  there, sums, insides, changed = {}, {}, {}, {}
end
on_answer = function(is_answer)
  for i = 1, is_answer and places or 0, 4 do
    local k = changes[i]
    changed[k], sums[k], insides[k] = changes[i + 1], changes[i + 2], changes[i + 3]
  end
  places = 0
end
at_end = function()
  for k, window in pairs(changed or {}) do write_counter(k, window, there[k], sums[k], insides[k]) end
end

local function units_of(i) return a.units and a.units[i] or 1 end

-- The units as of now. Before anything else is done with it.
local function open_budget(k, window)
  if not sums[k] then
    sums[k], insides[k] = current(k, window, heads[k])
    there[k] = sums[k] > 0
  end
  return sums[k]
end
local function change_budget(k, window, sum, inside)
  local n = places
  changes[n + 1], changes[n + 2], changes[n + 3], changes[n + 4] = k, window, sum, inside
  places = n + 4
end

local function verified_of(k, window) return (read_counter(k .. ':verified', window)) end
local function add_verified(i, window, _, share, _, least)
  if share == 0 and least == 0 then return end
  add(KEYS[first_key + i] .. ':verified', window, units_of(i))
end

-- How much there may be. What was verified is looked at only where it matters.
local function most_of(k, window, max, share)
  if share == 0 then return max end
  return math.max(max, math.floor(share * verified_of(k, window)))
end

-- Milliseconds until so many of the oldest units have left the window.
local function wait_for(k, window, units)
  local all = (redis.call('GET', k .. ':older') or '') .. struct.pack(BUCKET, bucket(window, now), insides[k])
  local at, index, gone = 1
  repeat
    index, gone = struct.unpack(BUCKET, all, at)
    units, at = units - gone, at + BUCKET_SIZE
  until units <= 0 or at > #all
  return math.ceil((index + 1 + N) * window / N - now)
end

local function look(i, window, max, share)
  local k = KEYS[first_key + i]
  local used = open_budget(k, window) + units_of(i)
  if used <= max then return end
  local most = most_of(k, window, max, share)
  if used <= most then return end
  if not a.softBudgets then return { budget = i - 1, wait = wait_for(k, window, used - most) } end
  over = over or {}
  table.insert(over, i - 1)
end

-- The first budget with too little left and how long it is so. Where nothing is to be refused, all that have too little are in 'over'.
local function find_full()
  read_budgets()
  return first(budgets.rules, look)
end

local function tell(i, window, max, share, name, kind, used, part)
  local k = KEYS[first_key + i]
  if not redis.call('SET', k .. ':' .. name, '1', 'NX', 'PX', whole(window)) then return end
  reached = reached or {}
  table.insert(reached, { budget = i - 1, kind = kind, used = used, max = most_of(k, window, max, share), share = part })
end

local function take_from(i, window, max, share, below, least)
  local k, units = KEYS[first_key + i], units_of(i)
  local sum, inside = sums[k], insides[k]
  local used = sum + units
  change_budget(k, window, used, inside + units)
  if used * 100 >= max * 80 then
    local most = most_of(k, window, max, share)
    if used * 100 >= most * 80 then tell(i, window, max, share, '80', 'used', used, 0.8) end
    if used >= most then tell(i, window, max, share, '100', 'used', used, 1) end
  end
  -- Of the newest bucket the codes may still be entered.
  local unverified = sum - inside
  if below > 0 and unverified > 0 then
    local verified = verified_of(k, window)
    local settled = unverified + verified
    local part = verified / settled
    if settled >= least and part < below then tell(i, window, max, share, 'conversion', 'conversion', settled, part) end
  end
end

-- After 'find_full'. What has happened to a budget for the first time in its window is in 'reached'.
local function take() each(budgets.rules, take_from) end
`

export const spend = script(
  { ...UNITS, softBudgets: 'flag' },
  [COUNTERS, BUDGETS],
  `
local full = find_full()
if full then return cjson.encode({ verdict = 'wait', budget = full.budget, wait = full.wait }) end
take()
return cjson.encode({ verdict = 'spent', at = now, reached = reached, over = over })
`,
)

export const refund = script(
  { ...UNITS, at: 'number', verified: 'flag' },
  [COUNTERS, BUCKETS, BUDGETS],
  `
read_budgets()
-- Takes back what was added at that time, as far as it is still there.
local function take_back(k, window, units)
  local older_key, that = k .. ':older', bucket(window, a.at)
  local units_there, byte = units_in(window, insides[k], redis.call('GET', older_key) or '', that)
  local less = math.min(units, units_there)
  if less == 0 then return end
  if byte then redis.call('SETRANGE', older_key, byte - 1, struct.pack(BUCKET, that, units_there - less)) end
  change_budget(k, window, sums[k] - less, insides[k] - (byte and 0 or less))
end

local function one(i, window, max, share, below, least)
  local k = KEYS[first_key + i]
  if open_budget(k, window) > 0 then take_back(k, window, units_of(i)) end
  if a.verified then add_verified(i, window, max, share, below, least) end
end
each(budgets.rules, one)
return 'null'
`,
)

export const usage = script(
  {},
  [COUNTERS, BUDGETS],
  `
read_budgets()
local used
local function one(i, window)
  local k = KEYS[first_key + i]
  used = used or {}
  used[i] = { unverified = open_budget(k, window), verified = verified_of(k, window) }
end
each(budgets.rules, one)
return cjson.encode({ at = now, budgets = used })
`,
)

export const progress = script(
  { queue: 'text', more: 'number' },
  [],
  `
local q = key('q', a.queue)
local sum = a.more > 0 and redis.call('INCRBY', q, a.more) or redis.call('GET', q) or 0
if a.more > 0 then redis.call('PEXPIRE', q, 3600000) end
return tostring(sum)
`,
)
