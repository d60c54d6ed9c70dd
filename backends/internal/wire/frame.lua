-- Put before each script that looks into frames; frame.go has the layout.
local byte, sub, format = string.byte, string.sub, string.format

-- parse returns the state of a frame, the length of its header and the length of
-- fingerprint and metadata; nothing where it is no frame of this version.
local function parse(f)
  if #f < 32 then return nil end
  local magic, vs = byte(f, 1, 2)
  local state = vs - 16
  if magic ~= 193 or state < 0 or state > 3 then return nil end
  local fl, m1, m2 = byte(f, 30, 32)
  local ml = m1 * 256 + m2
  local size = 32
  if state ~= 3 then
    size = 37
    if #f ~= size + fl + ml or sub(f, 33, 37) == '\0\0\0\0\0' then return nil end
  elseif #f < size + fl + ml then
    return nil
  end
  local fence = sub(f, 23, 29)
  if fl > 64 or ml > 4096 or byte(fence) > 31 or fence == '\0\0\0\0\0\0\0'
    or sub(f, 3, 18) == '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' then return nil end
  return state, size, fl + ml
end

-- number reads a big-endian integer of at most 53 bits.
local function number(s)
  local n = 0
  for i = 1, #s do n = n * 256 + byte(s, i) end
  return n
end

-- bytes writes a big-endian integer of at most 53 bits.
local function bytes(n, size)
  local s = ''
  for _ = 1, size do
    local low = n % 256
    s = string.char(low) .. s
    n = (n - low) / 256
  end
  return s
end

local function corrupt()
  return redis.error_reply('BADFRAME the key holds no record of this version')
end

