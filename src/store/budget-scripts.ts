/**
 * What is counted over all numbers, in a slot of its own:
 *   b:BUDGET           string  an outer budget: the units spent, a counter as below.
 *   b:BUDGET:verified  string  what was verified of them, the same.
 *   b:BUDGET:KIND      string  there while it need not be told again that the budget is used up to 80 or 100 %, or converts badly.
 *   q:QUEUE            string  the deliveries settled.
 */
import { type Arguments, type Script, script, withConstants } from './script.ts'
import type { Budget } from './store.ts'

/** What scripts on budgets take: how many units of each, where it is not one of all of them. */
export const UNITS = { units: 'json' } satisfies Arguments

export const unitsOf = (budgets: readonly Budget[]): number[] | undefined =>
  budgets.every(({ units }) => units === 1) ? undefined : budgets.map(({ units }) => units)

const byRules = new WeakMap<Script, Map<string, Script>>()

/** The script for budgets of these rules, of which a process has few. Their keys are the script's, behind the first. */
export function withRules<Name extends string>(
  script: Script<Name>,
  budgets: readonly Budget[],
): Script<Name> {
  let name = ''
  for (const { window, max, share, conversion } of budgets) {
    name += `${window} ${max} ${share} ${conversion?.below} ${conversion?.least},`
  }
  const made = byRules.get(script) ?? new Map<string, Script>()
  byRules.set(script, made)
  const one = made.get(name) ?? withConstants(script, 'budgets', { rules: budgets.map(ruleOf) })
  made.set(name, one)
  return one as Script<Name>
}

const ruleOf = ({ window, max, share, conversion }: Budget) => ({
  ...{ window, max, share, below: conversion?.below, least: conversion?.least },
})

// The window is cut into N buckets, and N + 1 are counted, so that a unit counts for at least the whole window. A counter is
// one string of numbers: the sum, the newest bucket and the units in it, and then each older bucket with its units. As long
// as the bucket stays the same only the first three are written, so that the cost does not grow with the window.
export const COUNTERS = `
local N = 60
local HEAD, HEAD_SIZE = '<ddd', 24
local BUCKET, BUCKET_SIZE = '<dd', 16
local function bucket(b, at) return math.floor(at * N / b.window) end

-- Without what has left the window. What was never counted on leaves nothing behind: who is only refused must not fill Redis.
local function read_counter(b, packed)
  local this = bucket(b, now)
  if not packed then return { sum = 0, newest = this, inside = 0, older = '', moved = true } end
  local sum, newest, inside = struct.unpack(HEAD, packed)
  local older = string.sub(packed, HEAD_SIZE + 1)
  if newest == this then return { sum = sum, newest = newest, inside = inside, older = older } end
  older, inside = older .. struct.pack(BUCKET, newest, inside), 0
  local first, last = 1, #older - BUCKET_SIZE + 1
  while first <= last do
    local index, units = struct.unpack(BUCKET, older, first)
    if index >= this - N then break end
    sum, first = sum - units, first + BUCKET_SIZE
  end
  -- Where the clock was set back, what lies ahead of it counts as of now.
  while first <= last do
    local index, units = struct.unpack(BUCKET, older, last)
    if index < this then break end
    inside, last = inside + units, last - BUCKET_SIZE
  end
  older = string.sub(older, first, last + BUCKET_SIZE - 1)
  return { sum = sum, newest = this, inside = inside, older = older, moved = true }
end

local function write_counter(b, k, c)
  local head = struct.pack(HEAD, c.sum, c.newest, c.inside)
  if not c.moved then
    redis.call('SETRANGE', k, 0, head)
  else
    -- Kept until the last unit that can come into the newest bucket has left the window.
    redis.call('SET', k, head .. c.older, 'PX', math.ceil(b.window + 2 * b.window / N))
  end
end

local function add(b, k, c, units)
  c.sum, c.inside = c.sum + units, c.inside + units
  write_counter(b, k, c)
end

-- The units in a bucket, and where it stands among the older ones.
local function units_in(c, that)
  if that == c.newest then return c.inside end
  for i = 1, #c.older, BUCKET_SIZE do
    local index, units = struct.unpack(BUCKET, c.older, i)
    if index == that then return units, i end
  end
  return 0
end

-- Takes back what was added at that time, as far as it is still there.
local function take_back(b, k, c, at)
  local that = bucket(b, at)
  local units, i = units_in(c, that)
  local less = math.min(b.units, units)
  if less == 0 then return end
  if not i then return add(b, k, c, -less) end
  local rest = struct.pack(BUCKET, that, units - less)
  c.older = string.sub(c.older, 1, i - 1) .. rest .. string.sub(c.older, i + BUCKET_SIZE)
  c.sum, c.moved = c.sum - less, true
  write_counter(b, k, c)
end

-- Milliseconds until so many of the oldest units have left the window.
local function wait_for(b, c, units)
  local all = c.older .. struct.pack(BUCKET, c.newest, c.inside)
  local i, index, inside = 1
  repeat
    index, inside = struct.unpack(BUCKET, all, i)
    units, i = units - inside, i + BUCKET_SIZE
  until units <= 0 or i > #all
  return math.ceil((index + 1 + N) * b.window / N - now)
end
`

// How budgets are spent, by themselves or along with what is spent on.
export const BUDGETS = `
local function open_budgets()
  local opened = budgets.rules
  local counters = #opened > 0 and redis.call('MGET', unpack(KEYS, 2))
  for i, b in ipairs(opened) do
    b.key, b.units = KEYS[i + 1], a.units and a.units[i] or 1
    b.spent = read_counter(b, counters[i])
  end
  return opened
end

local function counts_verified(b) return b.share > 0 or b.least end

local function verified_of(b)
  b.verified = b.verified or read_counter(b, redis.call('GET', b.key .. ':verified'))
  return b.verified
end
local function add_verified(b)
  if counts_verified(b) then add(b, b.key .. ':verified', verified_of(b), b.units) end
end

-- How much there may be. What was verified is looked at only where it matters.
local function most_of(b)
  if b.share == 0 then return b.max end
  return math.max(b.max, math.floor(b.share * verified_of(b).sum))
end

-- The first budget with too little left and how long it is so; or, where nothing is to be refused, all those with too little.
local function find_room(budgets, soft)
  local over = {}
  for i, b in ipairs(budgets) do
    local used = b.spent.sum + b.units
    if used > b.max and used > most_of(b) then
      if not soft then return { budget = i - 1, wait = wait_for(b, b.spent, used - most_of(b)) } end
      table.insert(over, i - 1)
    end
  end
  return nil, over
end

-- After 'find_room'. Answers what has happened to a budget for the first time in its window.
local function take(budgets)
  local reached = {}
  local function tell(i, name, kind, used, share)
    local b = budgets[i]
    if redis.call('SET', b.key .. ':' .. name, 1, 'NX', 'PX', b.window) then
      table.insert(reached, { budget = i - 1, kind = kind, used = used, max = most_of(b), share = share })
    end
  end
  for i, b in ipairs(budgets) do
    add(b, b.key, b.spent, b.units)
    local used = b.spent.sum
    if used * 100 >= b.max * 80 then
      if used * 100 >= most_of(b) * 80 then tell(i, '80', 'used', used, 0.8) end
      if used >= most_of(b) then tell(i, '100', 'used', used, 1) end
    end
    if b.least and b.below > 0 then
      local verified = verified_of(b).sum
      local settled = used - b.spent.inside + verified
      local share = verified / settled
      if settled >= b.least and share < b.below then tell(i, 'conversion', 'conversion', settled, share) end
    end
  end
  return reached
end

-- An empty list would become an object in JSON.
local function listed(list) return #list > 0 and list or nil end
`

export const spend = script(
  { ...UNITS, soft: 'flag' },
  COUNTERS,
  BUDGETS,
  `
local budgets = open_budgets()
local full, over = find_room(budgets, a.soft)
if full then return cjson.encode({ verdict = 'wait', budget = full.budget, wait = full.wait }) end
local reached = take(budgets)
return cjson.encode({ verdict = 'spent', at = now, reached = listed(reached), over = listed(over) })
`,
)

export const refund = script(
  { ...UNITS, at: 'number', verified: 'flag' },
  COUNTERS,
  BUDGETS,
  `
for _, b in ipairs(open_budgets()) do
  take_back(b, b.key, b.spent, a.at)
  if a.verified then add_verified(b) end
end
return 'null'
`,
)

export const usage = script(
  {},
  COUNTERS,
  BUDGETS,
  `
local budgets = open_budgets()
for i, b in ipairs(budgets) do
  budgets[i] = { unverified = b.spent.sum, verified = verified_of(b).sum }
end
return cjson.encode({ at = now, budgets = listed(budgets) })
`,
)

export const progress = script(
  { queue: 'text', more: 'number' },
  `
local q = key('q', a.queue)
local sum = a.more > 0 and redis.call('INCRBY', q, a.more) or redis.call('GET', q) or 0
if a.more > 0 then redis.call('PEXPIRE', q, 3600000) end
return tostring(sum)
`,
)
