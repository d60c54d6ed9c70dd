-- Completes a claim with an outcome that was sent ahead under a side key, so
-- that Lua doesn't copy it.
--
-- KEYS[1]  the record, and the channel of its waiters
-- KEYS[2]  the side key: a completed frame
-- ARGV[1]  that frame without its outcome
-- ARGV[2]  the retention in milliseconds
-- ARGV[3]  PUBLISH or SPUBLISH
-- ARGV[4]  1 where the caller held the lease when it sent this, otherwise 0
--
-- Returns 1 where the outcome is the record's, 0 where it was superseded, 2,
-- without effect, where the side key is missing. The side key is gone
-- afterwards. Error BADFRAME, without effect, where the key holds no record.

local key, side, mine = KEYS[1], KEYS[2], ARGV[1]

local function leave(reply)
  redis.call('DEL', side)
  return reply
end

local function publish()
  redis.pcall(ARGV[3], key, '')
  return 1
end

local function rename()
  if redis.pcall('RENAME', side, key).err then return 2 end
  redis.call('PEXPIRE', key, ARGV[2])
  return publish()
end

local f = redis.pcall('GETRANGE', key, 0, 4196)
if type(f) == 'table' then return leave(f) end
if f == '' and redis.call('EXISTS', key) == 0 then
  if ARGV[4] == '1' then return rename() end
  return redis.call('DEL', side) == 1 and 0 or 2
end

-- A completed record may be longer than what was read; its head never is.
local whole = #f < 4197
local state, fsize, frest = parse(f)
if not state then return leave(corrupt()) end
if sub(f, 3, 18) ~= sub(mine, 3, 18) or state == 0 then
  return redis.call('DEL', side) == 1 and 0 or 2
end

if state ~= 3 and sub(mine, 3) == sub(f, 3, 32) .. sub(f, fsize + 1) then return rename() end
if redis.call('STRLEN', side) < #mine then return 2 end
local outcome = redis.call('GETRANGE', side, #mine, -1)
redis.call('DEL', side)

if state == 3 then
  if not whole then f = redis.call('GET', key) end
  return sub(f, fsize + frest + 1) == outcome and 1 or 0
end
-- What the claim stored stays, whatever the caller remembers of it.
redis.call('SET', key, sub(mine, 1, 2) .. sub(f, 3, 32) .. sub(f, fsize + 1) .. outcome, 'PX', ARGV[2])
return publish()
