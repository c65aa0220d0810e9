/**
 * What all Lua scripts have in common. Each takes a single key, the prefix of a shard's keys with its hash tag, so that
 * all keys it makes from it are in one slot of a cluster; and one JSON argument `a`, and answers JSON. What takes from budgets has a
 * second key and argument for them.
 */
import { createHash } from 'node:crypto'

export interface Script {
  lua: string
  sha: string
}

export const script = (...parts: string[]): Script => {
  const lua = parts.join('\n')
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * The script with `name` as a constant in its text, for what is the same in every call of a process: to send it along each
 * time and have it parsed takes longer than many a script.
 */
export function withConstant({ lua }: Script, name: string, value: object): Script {
  return script(`local ${name} = ${literal(value)}`, lua)
}

/** In Lua. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `{ ${value.map(literal).join(', ')} }`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(([name, field]) => `${name} = ${literal(field)}`)
  return `{ ${fields.join(', ')} }`
}

export const PRELUDE = `
local a = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(kind, name) return KEYS[1] .. kind .. ':' .. name end
local function get(k, ...) return unpack(redis.call('HMGET', k, ...)) end
`
