-- Makes a key unknown, whatever it holds, and wakes its waiters.
--
-- KEYS[1]  the record, and the channel of its waiters
-- ARGV[1]  PUBLISH or SPUBLISH
--
-- Returns how many keys were removed.

local removed = redis.call('DEL', KEYS[1])
redis.pcall(ARGV[1], KEYS[1], '')
return removed
