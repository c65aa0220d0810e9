/**
 * Receipts. A vendor names an SMS by an id of its own, so what was sent by a name is in the name's slot, and what became of
 * it in the slot of the verification:
 *   m:NAME   string  packed: what was sent (id, version, attempt, country) and the state of it, each once it is known.
 */
import { script } from './script.ts'

const MESSAGE = `
local m = key('m', a.name)
local packed = redis.call('GET', m)
local t = packed and cjson.decode(packed) or {}
`

/** A receipt may come before the answer to the call that it is about; one of an SMS that is not ours is soon forgotten. */
export const noteReceipt = script(
  { name: 'text', state: 'json', keep: 'number', keepUnknown: 'number' },
  [],
  `${MESSAGE}
local repeated = t.state ~= nil
if not repeated then
  t.state = a.state
  redis.call('SET', m, cjson.encode(t), 'PX', t.sent and a.keep or a.keepUnknown)
end
t.repeated = repeated
return cjson.encode(t)
`,
)

export const noteSent = script(
  { name: 'text', sent: 'json', keep: 'number' },
  [],
  `${MESSAGE}
t.sent = a.sent
redis.call('SET', m, cjson.encode(t), 'PX', a.keep)
return cjson.encode(t)
`,
)

export const receive = script(
  { id: 'text', version: 'number', attempt: 'number', state: 'json' },
  [],
  `
local v = key('v', a.id)
local version, attempt, status, result, receipt = get(v, 'version', 'attempt', 'status', 'result', 'receipt')
if tonumber(version) ~= a.version or status == 'verified' or status == 'cancelled' then return cjson.encode('stale') end
if receipt then return cjson.encode('repeated') end
-- Another provider, or another try, may have brought it.
if a.state.state == 'failed' then
  if a.attempt ~= tonumber(attempt) then return cjson.encode('stale') end
  -- The doubt is over: it is going to be tried again anyway, by whomever.
  redis.call('HDEL', v, 'unsure')
  if result == 'retry' then return cjson.encode('recorded') end
end
redis.call('HSET', v, 'receipt', a.state.state, 'status', a.state.state)
if a.state.reason then redis.call('HSET', v, 'reason', a.state.reason) else redis.call('HDEL', v, 'reason') end
return cjson.encode('recorded')
`,
)
