/**
 * What all Lua scripts have in common. Each has the prefix of a shard's keys with its hash tag as its first key, so that all
 * keys it makes from it are in one slot of a cluster; takes named arguments, which it finds in `a`; and answers JSON.
 */
import { createHash } from 'node:crypto'

/** How an argument is written for a script, and read in it. What is undefined or null becomes nil, and as a flag false. */
const KINDS = {
  text: {
    write: (value: unknown) => value as string,
    read: (arg: string) => arg,
  },
  number: {
    write: (value: unknown) => value as number,
    read: (arg: string) => `tonumber(${arg})`,
  },
  flag: {
    write: (value: unknown) => (value ? '1' : ''),
    read: (arg: string) => `${arg} == '1'`,
  },
  /** A text that may be missing, and is nil then or when it is empty. */
  optional: {
    write: (value: unknown) => (value as string | null | undefined) ?? '',
    read: (arg: string) => `${arg} ~= '' and ${arg} or nil`,
  },
  json: {
    write: (value: unknown) => (value === undefined || value === null ? '' : JSON.stringify(value)),
    read: (arg: string) => `${arg} ~= '' and cjson.decode(${arg}) or nil`,
  },
}

export type Arguments = Record<string, keyof typeof KINDS>

export interface Script<Name extends string = string> {
  readonly takes: readonly (readonly [Name, keyof typeof KINDS])[]
  readonly lua: string
  readonly sha: string
}

/** A script from its parts, with the arguments that it takes. */
export function script<Takes extends Arguments>(
  takes: Takes,
  ...parts: string[]
): Script<keyof Takes & string> {
  const names = Object.entries(takes) as [keyof Takes & string, keyof typeof KINDS][]
  const fields = names.map(
    ([name, kind], i) => `['${name}'] = ${KINDS[kind].read(`ARGV[${i + 1}]`)}`,
  )
  return compiled(names, [`local a = { ${fields.join(', ')} }`, PRELUDE, ...parts].join('\n'))
}

function compiled<Name extends string>(takes: Script<Name>['takes'], lua: string): Script<Name> {
  return { takes, lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/** The arguments in their order. */
export function argumentsOf<Name extends string>(
  { takes }: Script<Name>,
  request: { readonly [name in Name]?: unknown },
): (string | number)[] {
  return takes.map(([name, kind]) => KINDS[kind].write(request[name]))
}

/**
 * The script with the values of `NAME.FIELD` in its text, for what is the same in every call of a process: to send it along
 * each time and have it parsed takes longer than many a script.
 */
export function withConstants<Name extends string>(
  { takes, lua }: Script<Name>,
  name: string,
  values: object,
): Script<Name> {
  const fields = new Map(Object.entries(values))
  const text = lua.replace(new RegExp(`\\b${name}\\.(\\w+)`, 'g'), (_, field: string) =>
    constant(fields.get(field)),
  )
  return compiled(takes, text)
}

/** In parentheses, since Lua takes no field of a table that is written out without. */
const constant = (value: unknown): string =>
  typeof value === 'object' ? `(${literal(value)})` : literal(value)

/** In Lua. */
function literal(value: unknown): string {
  if (value === undefined) return 'nil'
  if (Array.isArray(value)) return `{ ${value.map(literal).join(', ')} }`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(([name, field]) => `${name} = ${literal(field)}`)
  return `{ ${fields.join(', ')} }`
}

const PRELUDE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(kind, name) return KEYS[1] .. kind .. ':' .. name end
local function get(k, ...) return unpack(redis.call('HMGET', k, ...)) end
`
