/**
 * What all Lua scripts have in common. A request has the prefix of a shard's keys with its hash tag as its first key, so that all
 * keys that are made from it are in one slot of a cluster; has named arguments, `a.NAME`; and is answered in JSON.
 */
import { hash } from 'node:crypto'

/** What is undefined or null is an empty one. */
const asText = (value: unknown) => (value as string | null | undefined) ?? ''

/** How an argument is written for a script, and what becomes of the text there. */
const KINDS = {
  text: {
    write: asText,
    read: undefined,
  },
  number: {
    write: (value: unknown) => String(value),
    read: (text: string) => `tonumber(${text})`,
  },
  flag: {
    write: (value: unknown) => (value ? '1' : ''),
    read: (text: string) => `${text} == '1'`,
  },
  /** The same, but an empty one is nil. */
  optional: {
    write: asText,
    read: (text: string) => `${text} ~= '' and ${text} or nil`,
  },
  /** Texts without a comma; `is_one_of` looks for one. */
  list: {
    write: (value: unknown) => `,${(value as readonly string[]).join()},`,
    read: undefined,
  },
  /** Any value; what is undefined or null is nil. */
  json: {
    write: (value: unknown) => (value === undefined || value === null ? '' : JSON.stringify(value)),
    read: (text: string) => `${text} ~= '' and cjson.decode(${text}) or nil`,
  },
}

export type Arguments = Record<string, keyof typeof KINDS>

export interface Script<Name extends string = string> {
  readonly takes: readonly (readonly [Name, keyof typeof KINDS])[]
  readonly lua: string
  readonly sha: string
}

/** What an answer begins with that says why there is none: no JSON does. */
export const FAILED = '!'

/**
 * A script that answers one or more requests, one after the other: `body` answers one with what `definitions` define, which by
 * themselves do nothing. To ask for several at once saves both sides most of what a command costs. Where one fails the others
 * are answered; where all do, as on a Redis that takes no writes, the script itself fails.
 */
export function script<Takes extends Arguments>(
  takes: Takes,
  definitions: string[],
  body: string,
): Script<keyof Takes & string> {
  const names = Object.entries(takes) as [keyof Takes & string, keyof typeof KINDS][]
  const all = names.map(([name]) => local(name)).join(', ')
  const takeApart = all && `${all} = struct.unpack('${'s'.repeat(names.length)}', ARGV[n])`
  const read = names.flatMap(([name, kind]) => {
    const value = KINDS[kind].read?.(local(name))
    return value ? `${local(name)} = ${value}` : []
  })
  const each = `
local function respond()
${body}
end
local answers, failed = {}, 0
for n = 1, #KEYS / keys_each do
  first_key = (n - 1) * keys_each + 1
  prefix = KEYS[first_key]
  ${takeApart}
  ${read.join('\n  ')}
  local is_answer, answer = pcall(respond)
  answers[n] = answer
  on_answer(is_answer)
  if not is_answer then
    local reason = type(answer) == 'table' and answer.err or tostring(answer)
    failed = failed + 1
    if failed == #KEYS / keys_each then return { err = reason } end
    answers[n] = '${FAILED}' .. reason
  end
end
at_end()
return answers
`
  const lua = [PRELUDE, all && `local ${all}`, ...definitions, each].join('\n')
  // A table of them would be made for each request.
  return compiled(
    names,
    lua.replace(/\ba\.(\w+)/g, (_, name) => local(name)),
  )
}

/** What an argument is called once the script is put together: `a.NAME` is a local. */
const local = (name: string): string => `a_${name}`

function compiled<Name extends string>(takes: Script<Name>['takes'], lua: string): Script<Name> {
  return { takes, lua, sha: hash('sha1', lua) }
}

/**
 * The arguments of one request in their order, each with a zero byte behind it: to take one text apart costs Redis and the client
 * far less than to be handed each by itself. Throws where one is no text or has a zero byte in it, which would move the others.
 */
export function packed<Name extends string>(
  { takes }: Script<Name>,
  request: { readonly [name in Name]?: unknown },
): string {
  let all = ''
  for (const [name, kind] of takes) {
    const text: unknown = KINDS[kind].write(request[name])
    if (typeof text !== 'string' || text.includes(ZERO)) {
      throw new Error(`${name}: expected a text without a zero byte`)
    }
    all += text + ZERO
  }
  return all
}

const ZERO = '\0'

/**
 * The script with values in its text, for what is the same in every call of a process: to send them along each time, or to
 * make a table of them, takes longer than many a script.
 *   NAME.FIELD            the value: a number, a text or a list of numbers.
 *   each(NAME.FIELD, f)   of a list of lists: calls f with the number of each, from 1, and what is in it.
 *   first(NAME.FIELD, f)  the same as an expression, up to the first call that answers something.
 */
export function withConstants<Name extends string>(
  { takes, lua }: Script<Name>,
  name: string,
  values: Readonly<Record<string, Constant>>,
): Script<Name> {
  const calls = (field: string, f: string) =>
    (values[field] as Constant[][]).map((each, i) => `${f}(${[i + 1, ...each].map(literal)})`)
  const text = lua
    .replace(new RegExp(`\\beach\\(${name}\\.(\\w+), (\\w+)\\)`, 'g'), (_, field, f) =>
      calls(field, f).join(' '),
    )
    .replace(
      new RegExp(`\\bfirst\\(${name}\\.(\\w+), (\\w+)\\)`, 'g'),
      (_, field, f) => `(${[...calls(field, f), 'nil'].join(' or ')})`,
    )
    .replace(new RegExp(`\\b${name}\\.(\\w+)`, 'g'), (_, field) => literal(values[field]))
  return compiled(takes, text)
}

type Constant = number | string | boolean | readonly Constant[]

/** In Lua. */
const literal = (value: Constant | undefined): string =>
  Array.isArray(value) ? `{ ${value.map(literal).join(', ')} }` : JSON.stringify(value)

// The first key of the request is in 'prefix'. A number that a command takes is best given as a text: Redis writes
// numbers as C does, with 17 digits.
const PRELUDE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first_key, prefix
local keys_each = 1
-- After each request, which may have failed, and after all.
local function on_answer(_) end
local function at_end() end
local function key(kind, name) return prefix .. kind .. ':' .. name end
local function get(k, ...) return unpack(redis.call('HMGET', k, ...)) end
local function whole(number) return string.format('%d', number) end
local function is_one_of(list, text) return string.find(list, ',' .. text .. ',', 1, true) ~= nil end
`
