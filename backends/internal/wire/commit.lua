-- Ends a claim: Complete, Release or Abandon, as the state of ARGV[1] says.
--
-- KEYS[1]  the record, and the channel of its waiters
-- ARGV[1]  the frame that an unknown key gets: completed, released or abandoned,
--          with the caller's token
-- ARGV[2]  its time to live in milliseconds
-- ARGV[3]  PUBLISH or SPUBLISH
-- ARGV[4]  1 where the caller held the lease when it sent this, otherwise 0
--
-- Returns 1 where the ending is the record's, 0 where it was superseded. Error
-- BADFRAME, without effect, where the key holds no record.

local key, mine = KEYS[1], ARGV[1]
local ending, size, rest = parse(mine)
if not ending then return corrupt() end

local function store(frame, known)
  local ok = redis.pcall('SET', key, frame, 'PX', ARGV[2])
  if type(ok) == 'table' and ok.err then
    -- Out of memory: the outcome of a claim that the store knows is worth more
    -- than the limit. A script that has written once may go on writing.
    if not known or not string.find(ok.err, 'OOM', 1, true) then return ok end
    redis.call('PEXPIRE', key, ARGV[2])
    redis.call('SET', key, frame, 'PX', ARGV[2])
  end
  -- Up to here carrying it costs the server less than a microsecond, and each
  -- waiting process a look less.
  local message = ''
  if ending == 3 and #frame <= 4096 then message = frame end
  redis.pcall(ARGV[3], key, message)
  return 1
end

local f = redis.call('GET', key)
if not f then
  if ending == 0 or ARGV[4] == '1' then return store(mine, false) end
  if ending == 2 then return 1 end
  return 0
end

local state, fsize, frest = parse(f)
if not state then return corrupt() end
if sub(f, 3, 18) ~= sub(mine, 3, 18) then return 0 end

if state == 3 then
  if ending == 3 and sub(f, fsize + frest + 1) == sub(mine, size + rest + 1) then return 1 end
  return 0
end
if state == 0 then
  if ending == 0 then return 1 end
  return 0
end

-- Claimed or abandoned by the caller: what the claim stored stays.
local head = sub(mine, 1, 2) .. sub(f, 3, 32) .. sub(mine, 33, size) .. sub(f, fsize + 1)
if sub(mine, 1, #head) == head then return store(mine, true) end
return store(head .. sub(mine, size + rest + 1), true)
