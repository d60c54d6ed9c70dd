-- Reads a record. A script, because clients may answer a GET from a cache.
--
-- KEYS[1]  the record
--
-- Returns {frame, PTTL}, {'', -2} for an unknown key.

local f = redis.call('GET', KEYS[1])
if not f then return {'', -2} end
return {f, redis.call('PTTL', KEYS[1])}
