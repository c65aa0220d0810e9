/** The Redis side of the store for the worker half: what a consumer may send, and what came of it. */
import { CODE } from './records.ts'
import { script } from './script.ts'

export const claim = script(
  {
    ...{ id: 'text', version: 'number', attempt: 'number', maxAttempt: 'number', holder: 'text' },
    ...{ minRemaining: 'number', lease: 'number', again: 'flag', dryRun: 'flag', grant: 'flag' },
  },
  [CODE],
  `
local v, c = key('v', a.id), key('c', a.id)
local version, status, purpose, attempt, granted, by, receipt = get(v, 'version', 'status', 'purpose', 'attempt', 'granted',
  'by', 'receipt')
local holder, lease, again, result, reason, unsure
if attempt or receipt then
  holder, lease, again, result, reason, unsure = get(v, 'holder', 'lease', 'again', 'result', 'reason', 'unsure')
end
version, attempt = tonumber(version), tonumber(attempt) or 0
local function answer(verdict, more)
  local t = more or {}
  t.verdict = verdict
  return cjson.encode(t)
end

if not version or a.version > version then return answer('unknown') end
if a.version < version or status == 'cancelled' then return answer('superseded') end
if status == 'verified' or receipt == 'delivered' then
  -- Said once, and to the same delivery each time that it asks.
  local said = attempt == 0 or result == 'sent' or result == 'unknown' or (result == 'arrived' and holder ~= a.holder)
  if a.dryRun or said then return answer('done', { result = 'sent' }) end
  redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'result', 'arrived')
  return answer('arrived')
end
if a.attempt < attempt then return answer('duplicate') end
-- What has failed for good gets a further attempt only where an operator replays its dead letter.
if result and (a.attempt == attempt or result == 'sent' or result == 'unknown') then
  if result == 'unknown' and holder == a.holder then return answer('unanswered') end
  return answer('done', { result = result })
end

if not a.dryRun and a.attempt > a.maxAttempt and a.attempt ~= tonumber(granted) then
  return answer('done', { result = 'failed' })
end

local mine = a.attempt == attempt and holder == a.holder
local unanswered = attempt > 0 and not result and not mine
-- Looked at first: whoever holds the attempt may be sending the code right now.
if unanswered and tonumber(lease) > now then return answer('busy', { wait = lease - now }) end

local mac, sealed, code, undo = read_code(a.id)
local left = redis.call('PTTL', c)
if not mac or code == '' or left < a.minRemaining then
  if a.dryRun then return answer('expired') end
  if mac and attempt > 0 then
    -- An earlier attempt may have arrived: what it brought goes on verifying.
    drop_code(a.id, mac, sealed)
    redis.call('HSET', v, 'status', 'failed', 'reason', 'late')
  else
    redis.call('DEL', c)
    redis.call('HSET', v, 'status', 'expired', 'reason', 'late')
  end
  return answer('expired')
end

if a.dryRun then
  if a.grant then redis.call('HSET', v, 'granted', a.attempt) end
  return answer('free', { expiresIn = left })
end
if unanswered and not a.again then
  redis.call('HSET', v, 'attempt', a.attempt, 'holder', a.holder, 'result', 'unknown', 'status', 'sent')
  drop_code(a.id, mac, sealed)
  return answer('unanswered')
end
if not mine then again = unanswered and '1' or '0' end
redis.call('HSET', v, 'attempt', whole(a.attempt), 'holder', a.holder, 'lease', whole(now + a.lease), 'again', again,
  'status', 'sending')
if result or reason or receipt then redis.call('HDEL', v, 'result', 'reason', 'receipt') end
-- The version before cannot come back any more.
if #undo > UNDO_SIZE then redis.call('SET', c, pack_code(mac, sealed, code), 'KEEPTTL') end
local previous = by and ',"previous":' .. cjson.encode({ provider = by, unsure = unsure == '1' }) or ''
return string.format('{"verdict":"send","purpose":"%s","code":"%s","expiresIn":%d,"again":%s%s}', purpose, code, left,
  tostring(again == '1'), previous)
`,
)

export const complete = script(
  {
    ...{ id: 'text', version: 'number', attempt: 'number', holder: 'text', result: 'text' },
    ...{ reason: 'optional', sentBy: 'json', unsure: 'flag' },
  },
  [CODE],
  `
local v = key('v', a.id)
local version, attempt, holder, status, receipt = get(v, 'version', 'attempt', 'holder', 'status', 'receipt')
attempt = tonumber(attempt) or 0
if tonumber(version) ~= a.version or attempt < a.attempt then return '"gone"' end
if attempt > a.attempt or holder ~= a.holder then return '"taken"' end

local held = a.result == 'held'
if receipt == 'failed' and a.result == 'retry' then
  -- It was told before the call had ended that it came to nothing, so that anybody may send it now.
  redis.call('HDEL', v, 'receipt', 'reason', 'unsure')
  status = 'sending'
elseif a.unsure then
  redis.call('HSET', v, 'unsure', '1')
end
if status == 'sending' then
  status = 'sent'
  if held or a.result == 'retry' then status = 'queued' elseif a.result == 'failed' then status = 'failed' end
  if a.reason then redis.call('HSET', v, 'reason', a.reason) end
end
if held then redis.call('HSET', v, 'attempt', attempt - 1) end
if a.sentBy then redis.call('HSET', v, 'by', a.sentBy.provider) end
if a.sentBy and a.sentBy.messageId then redis.call('HSET', v, 'message', a.sentBy.messageId) end
redis.call('HSET', v, 'result', held and 'retry' or a.result, 'status', status)

if a.result == 'sent' or a.result == 'unknown' then
  local mac, sealed = read_mac_and_phone(a.id)
  if mac then drop_code(a.id, mac, sealed) end
end
return '"recorded"'
`,
)
