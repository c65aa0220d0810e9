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
local function bucket(window, at) return math.floor(at * N / window) end

-- Until the last unit that can come into the newest bucket has left the window.
local function keep(k, window, head, older)
  local time = whole(math.ceil(window + 2 * window / N))
  redis.call('SET', k, head, 'PX', time)
  if older then redis.call('SET', k .. ':older', older, 'PX', time) end
end

-- The head as it is now, without what has left the window; false where nothing is counted.
local function roll(k, window, head)
  local this = bucket(window, now)
  local sum, newest, inside = struct.unpack(HEAD, head)
  if newest == this then return head end
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
    return false
  end
  head = struct.pack(HEAD, sum, this, inside)
  keep(k, window, head, string.sub(older, first, last + BUCKET_SIZE - 1))
  return head
end

local function read_counter(k, window)
  local head = redis.call('GET', k)
  return head and roll(k, window, head)
end

local function sum_of(head) return head and struct.unpack(HEAD, head) or 0 end

-- Answers the sum, and how much of it is in older buckets.
local function add(k, window, head, units)
  if not head then
    keep(k, window, struct.pack(HEAD, units, bucket(window, now), units))
    return units, 0
  end
  local sum, newest, inside = struct.unpack(HEAD, head)
  redis.call('SETRANGE', k, '0', struct.pack(HEAD, sum + units, newest, inside + units))
  return sum + units, sum - inside
end
`

// What looks at single buckets.
export const BUCKETS = `
-- The units in a bucket, and where it stands among the older ones.
local function units_in(head, older, that)
  local _, newest, inside = struct.unpack(HEAD, head)
  if that == newest then return inside end
  for i = 1, #older, BUCKET_SIZE do
    local index, units = struct.unpack(BUCKET, older, i)
    if index == that then return units, i end
  end
  return 0
end
`

// How budgets are spent, by themselves or along with what is spent on. Their keys are behind the first one of the request.
export const BUDGETS = `
keys_each = 1 + budgets.count
local function key_of(i) return KEYS[first_key + i] end
local heads
local function read_budgets()
  heads = budgets.count > 0 and redis.call('MGET', unpack(KEYS, first_key + 1, first_key + budgets.count)) or {}
end
local function units_of(i) return a.units and a.units[i] or 1 end

-- Its units as of now. Before anything else is done with it.
local function open(i, window)
  local head = heads[i]
  if not head then return 0 end
  head = roll(key_of(i), window, head)
  heads[i] = head
  return sum_of(head)
end

local function verified_of(i, window) return sum_of(read_counter(key_of(i) .. ':verified', window)) end
local function add_verified(i, window, _, share, _, least)
  if share == 0 and least == 0 then return end
  local k = key_of(i) .. ':verified'
  add(k, window, read_counter(k, window), units_of(i))
end

-- How much there may be. What was verified is looked at only where it matters.
local function most_of(i, window, max, share)
  if share == 0 then return max end
  return math.max(max, math.floor(share * verified_of(i, window)))
end

-- Milliseconds until so many of the oldest units have left the window.
local function wait_for(i, window, units)
  local _, newest, inside = 0, bucket(window, now), 0
  if heads[i] then _, newest, inside = struct.unpack(HEAD, heads[i]) end
  local all = (redis.call('GET', key_of(i) .. ':older') or '') .. struct.pack(BUCKET, newest, inside)
  local at, index, gone = 1
  repeat
    index, gone = struct.unpack(BUCKET, all, at)
    units, at = units - gone, at + BUCKET_SIZE
  until units <= 0 or at > #all
  return math.ceil((index + 1 + N) * window / N - now)
end

-- The first budget with too little left and how long it is so; or, where nothing is to be refused, nil and all that have too little.
local function find_room(soft)
  local over
  local function look(i, window, max, share)
    local used = open(i, window) + units_of(i)
    if used <= max then return end
    local most = most_of(i, window, max, share)
    if used <= most then return end
    if not soft then return { budget = i - 1, wait = wait_for(i, window, used - most) } end
    over = over or {}
    table.insert(over, i - 1)
  end
  local full = first(budgets.rules, look)
  return full, over
end

-- After 'find_room'. Answers what has happened to a budget for the first time in its window, nil if nothing.
local function take()
  local reached
  local function tell(i, window, max, share, name, kind, used, part)
    if not redis.call('SET', key_of(i) .. ':' .. name, '1', 'NX', 'PX', whole(window)) then return end
    reached = reached or {}
    table.insert(reached, { budget = i - 1, kind = kind, used = used, max = most_of(i, window, max, share), share = part })
  end
  local function one(i, window, max, share, below, least)
    local used, unverified = add(key_of(i), window, heads[i], units_of(i))
    if used * 100 >= max * 80 then
      local most = most_of(i, window, max, share)
      if used * 100 >= most * 80 then tell(i, window, max, share, '80', 'used', used, 0.8) end
      if used >= most then tell(i, window, max, share, '100', 'used', used, 1) end
    end
    -- Of the newest bucket the codes may still be entered.
    if below > 0 and unverified > 0 then
      local verified = verified_of(i, window)
      local settled = unverified + verified
      local part = verified / settled
      if settled >= least and part < below then tell(i, window, max, share, 'conversion', 'conversion', settled, part) end
    end
  end
  each(budgets.rules, one)
  return reached
end
`

export const spend = script(
  { ...UNITS, soft: 'flag' },
  [COUNTERS, BUDGETS],
  `
read_budgets()
local full, over = find_room(a.soft)
if full then return cjson.encode({ verdict = 'wait', budget = full.budget, wait = full.wait }) end
return cjson.encode({ verdict = 'spent', at = now, reached = take(), over = over })
`,
)

export const refund = script(
  { ...UNITS, at: 'number', verified: 'flag' },
  [COUNTERS, BUCKETS, BUDGETS],
  `
read_budgets()
-- Takes back what was added at that time, as far as it is still there.
local function take_back(k, window, head, units)
  local older_key, that = k .. ':older', bucket(window, a.at)
  local inside, byte = units_in(head, redis.call('GET', older_key) or '', that)
  local less = math.min(units, inside)
  if less == 0 then return end
  local sum, newest, newest_inside = struct.unpack(HEAD, head)
  if byte then
    redis.call('SETRANGE', older_key, byte - 1, struct.pack(BUCKET, that, inside - less))
  else
    newest_inside = newest_inside - less
  end
  redis.call('SETRANGE', k, '0', struct.pack(HEAD, sum - less, newest, newest_inside))
end

local function one(i, window, max, share, below, least)
  open(i, window)
  if heads[i] then take_back(key_of(i), window, heads[i], units_of(i)) end
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
  used = used or {}
  used[i] = { unverified = open(i, window), verified = verified_of(i, window) }
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
