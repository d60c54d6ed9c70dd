-- Takes a key, renews a lease, or says who has the key.
--
-- KEYS[1]  the record
-- ARGV[1]  the frame that an unknown key gets: claimed, with the caller's token
-- ARGV[2]  the lease in milliseconds
-- ARGV[3]  the fence that the caller saw and means to take, in 7 bytes, all zero
--          where the key must be unknown; empty: a renewal
--
-- Returns {frame, PTTL} as they stand afterwards, {'', -2} for an unknown key.
-- Errors, without effect: BADFRAME where the key holds no record, FENCESPENT where
-- its fence can't grow any more.

local key, mine, seen = KEYS[1], ARGV[1], ARGV[3]
local lease = tonumber(ARGV[2])

local function store(frame, keep)
  local ttl = lease + number(keep)
  redis.call('SET', key, frame, 'PX', format('%.0f', ttl))
  return {frame, ttl}
end

local f = redis.call('GET', key)
if not f then
  if seen == '' or seen == '\0\0\0\0\0\0\0' then
    return store(mine, sub(mine, 33, 37))
  end
  return {'', -2}
end

local state = parse(f)
if not state then return corrupt() end
local ttl = redis.call('PTTL', key)
if state == 1 and ttl < 0 then return corrupt() end

if sub(f, 3, 18) == sub(mine, 3, 18) then
  if state == 1 then
    ttl = lease + number(sub(f, 33, 37))
    redis.call('PEXPIRE', key, format('%.0f', ttl))
  end
  return {f, ttl}
end

local live = state == 1 and ttl > number(sub(f, 33, 37))
if seen == '' or live or state == 3 or sub(f, 23, 29) ~= seen then
  return {f, ttl}
end

local attempt = math.min(number(sub(f, 19, 22)) + 1, 4294967295)
local fence = math.max(number(seen) + 1, number(sub(mine, 23, 29)))
if fence > 9007199254740991 then
  return redis.error_reply('FENCESPENT the key has the highest fence that there is')
end
return store(sub(mine, 1, 18) .. bytes(attempt, 4) .. bytes(fence, 7) .. sub(mine, 30), sub(mine, 33, 37))
