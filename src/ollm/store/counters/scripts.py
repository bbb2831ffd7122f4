"""What runs inside Valkey: one Lua script for each operation, so that each is one atomic step and one round trip.

Keys, all behind one prefix with a hash tag, so that they share a slot of a cluster:

    epoch          this memory's life: 16 hexadecimal digits, "-", Unix milliseconds at which it began. Gone when the memory was lost
    c:NAME         a counter: v value (spent and reserved), r reserved, l Unix milliseconds as of which it was loaded (money)
    q:REQUEST      a reservation: s h held | e settled | r released; o owner, n note, a 1 where it was adopted, c:NAME amount
    o:OWNER        ids of the owner's reservations; owners: all owners
    l:OWNER        the owner's lease, for as long as it lives

Numbers in Lua are doubles, exact only up to 2^53. So amounts stay decimal strings: Valkey adds them (HINCRBY, 64 bits), and `above` compares them.
Every key but two small ones (epoch, owners) ends by itself. Times are relative (PEXPIRE), so that no caller's clock decides.
"""

_COMMON = """
local p = KEYS[1]
local MOST = '9223372036854775807'
local function above(a, b)
  if string.sub(b, 1, 1) == '-' then return true end
  if #a ~= #b then return #a > #b end
  return a > b
end
local function add(key, field, by)
  if by == '0' then return end
  local done = redis.pcall('HINCRBY', key, field, by)
  if type(done) == 'table' and done.err then redis.call('HSET', key, field, MOST) end
end
local function keep(key, ms)
  if tonumber(ms) < 60000 then ms = '60000' end
  redis.call('PEXPIRE', key, ms)
end
local function give_back(name, amount)
  local key = p .. 'c:' .. name
  local reserved = redis.call('HGET', key, 'r')
  if not reserved then return end
  if above(amount, reserved) then amount = reserved end
  if amount ~= '0' then
    redis.call('HINCRBY', key, 'v', '-' .. amount)
    redis.call('HINCRBY', key, 'r', '-' .. amount)
  end
end
local function give_back_all(id)
  local fields = redis.call('HGETALL', p .. 'q:' .. id)
  local owner, state, adopted = '', '', false
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if field == 's' then state = value elseif field == 'o' then owner = value elseif field == 'a' then adopted = true end
  end
  if state == 'h' then
    for i = 1, #fields, 2 do
      if string.sub(fields[i], 1, 2) == 'c:' then give_back(string.sub(fields[i], 3), fields[i + 1]) end
    end
    redis.call('SREM', p .. 'o:' .. owner, id)
  end
  return state, adopted
end
local function over(id, state, ms)
  local key = p .. 'q:' .. id
  redis.call('DEL', key)
  redis.call('HSET', key, 's', state)
  redis.call('PEXPIRE', key, ms)
end
"""

_EPOCH = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', p .. 'epoch')
if not epoch then
  epoch = ARGV[1] .. '-' .. string.format('%.0f', now)
  redis.call('SET', p .. 'epoch', epoch)
end
"""

# ARGV: candidate for an epoch, owner ('' for none), lease in ms → the epoch
RENEW = (
    _COMMON
    + _EPOCH
    + """
if ARGV[2] ~= '' then
  redis.call('SET', p .. 'l:' .. ARGV[2], '1', 'PX', ARGV[3])
end
return epoch
"""
)

_HOLD = """
local function hold(id, owner, note, ms, lease, adopted)
  local key = p .. 'q:' .. id
  redis.call('HSET', key, 's', 'h', 'o', owner, 'n', note)
  if adopted then redis.call('HSET', key, 'a', '1') end
  for i = 10, #ARGV, 5 do redis.call('HSET', key, 'c:' .. ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIRE', key, ms)
  redis.call('SADD', p .. 'o:' .. owner, id)
  redis.call('PEXPIRE', p .. 'o:' .. owner, ms)
  redis.call('SADD', p .. 'owners', owner)
  redis.call('SET', p .. 'l:' .. owner, '1', 'PX', lease)
end
"""

# ARGV: candidate, epoch that the caller knows, ms that a new epoch grants nothing, request id, owner, note, ms to hold, lease in ms, '',
# then for each charge: name, amount, limit, ms to keep the counter, '1' for money → {word, …}
RESERVE = (
    _COMMON
    + _EPOCH
    + _HOLD
    + """
if epoch ~= ARGV[2] then return {'anew', epoch} end
local function values()
  local found = {}
  for i = 10, #ARGV, 5 do found[#found + 1] = redis.call('HGET', p .. 'c:' .. ARGV[i], 'v') or '0' end
  return found
end
local state = redis.call('HGET', p .. 'q:' .. ARGV[4], 's')
if state == 'r' then return {'released'} end
if state then return {'granted', values()} end
local began = tonumber(string.match(epoch, '%-(%d+)$'))
if began <= now and now < began + tonumber(ARGV[3]) then
  return {'young', string.format('%.0f', began + ARGV[3] - now)}
end
local unloaded = {}
for i = 10, #ARGV, 5 do
  if ARGV[i + 4] == '1' and redis.call('HEXISTS', p .. 'c:' .. ARGV[i], 'l') == 0 then unloaded[#unloaded + 1] = (i - 10) / 5 end
end
if #unloaded > 0 then return {'unloaded', unloaded} end
local refused = nil
local taken = 0
for i = 10, #ARGV, 5 do
  local key = p .. 'c:' .. ARGV[i]
  if above(ARGV[i + 1], ARGV[i + 2]) then refused = i break end
  local before = redis.call('HGET', key, 'v') or '0'
  if above(before, ARGV[i + 2]) then refused = i break end
  redis.call('HINCRBY', key, 'v', ARGV[i + 1])
  taken = i
  if above(redis.call('HGET', key, 'v'), ARGV[i + 2]) then refused = i break end
end
if refused then
  for i = 10, taken, 5 do
    local key = p .. 'c:' .. ARGV[i]
    if ARGV[i + 1] ~= '0' then redis.call('HINCRBY', key, 'v', '-' .. ARGV[i + 1]) end
    if redis.call('PTTL', key) == -1 then redis.call('DEL', key) end
  end
  return {'refused', (refused - 10) / 5, values()}
end
for i = 10, #ARGV, 5 do
  local key = p .. 'c:' .. ARGV[i]
  add(key, 'r', ARGV[i + 1])
  keep(key, ARGV[i + 3])
end
hold(ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], false)
return {'granted', values()}
"""
)

# ARGV as for RESERVE; limits and the epoch that is known don't matter → the epoch
ADOPT = (
    _COMMON
    + _EPOCH
    + _HOLD
    + """
if redis.call('EXISTS', p .. 'q:' .. ARGV[4]) == 1 then return epoch end
for i = 10, #ARGV, 5 do
  local key = p .. 'c:' .. ARGV[i]
  add(key, 'v', ARGV[i + 1])
  add(key, 'r', ARGV[i + 1])
  if redis.call('EXISTS', key) == 1 then keep(key, ARGV[i + 3]) end
end
hold(ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], true)
return epoch
"""
)

# ARGV: epoch of the reservation ('' where it isn't known), request id, Unix ms at which the request ended, ms to remember the id,
# then for each charge: name, amount, ms to keep the counter, '1' for money
SETTLE = (
    _COMMON
    + """
local state, adopted = give_back_all(ARGV[2])
if state == 'e' or state == 'r' then return 'ended' end
local known = state == 'h'
if not known and ARGV[1] ~= '' and ARGV[1] == redis.call('GET', p .. 'epoch') then return 'ended' end
for i = 5, #ARGV, 4 do
  local key = p .. 'c:' .. ARGV[i]
  local there = redis.call('EXISTS', key) == 1
  if ARGV[i + 3] == '1' and (adopted or not known) then
    local loaded = redis.call('HGET', key, 'l')
    if loaded and above(ARGV[3], loaded) then add(key, 'v', ARGV[i + 1]) end
  elseif there then
    add(key, 'v', ARGV[i + 1])
  elseif not known and tonumber(ARGV[i + 2]) > 0 and ARGV[i + 1] ~= '0' then
    add(key, 'v', ARGV[i + 1])
    keep(key, ARGV[i + 2])
  end
end
over(ARGV[2], 'e', ARGV[4])
return 'settled'
"""
)

# ARGV: request id, ms to remember it
RELEASE = (
    _COMMON
    + """
local state = give_back_all(ARGV[1])
if state == 'e' or state == 'r' then return 'ended' end
over(ARGV[1], 'r', ARGV[2])
return 'released'
"""
)

# ARGV: how many of each owner at most → {{request id, owner, {field, value, …}}, …}
ORPHANS = (
    _COMMON
    + """
local found = {}
for _, owner in ipairs(redis.call('SMEMBERS', p .. 'owners')) do
  if redis.call('EXISTS', p .. 'l:' .. owner) == 0 then
    local ids = redis.call('SRANDMEMBER', p .. 'o:' .. owner, ARGV[1])
    if #ids == 0 then redis.call('SREM', p .. 'owners', owner) end
    for _, id in ipairs(ids) do
      if redis.call('HGET', p .. 'q:' .. id, 's') == 'h' then
        found[#found + 1] = {id, owner, redis.call('HGETALL', p .. 'q:' .. id)}
      else
        redis.call('SREM', p .. 'o:' .. owner, id)
      end
    end
  end
end
return found
"""
)

# ARGV: names → {value, reserved, …}
READ = (
    _COMMON
    + """
local found = {}
for i = 1, #ARGV do
  local both = redis.call('HMGET', p .. 'c:' .. ARGV[i], 'v', 'r')
  found[#found + 1] = both[1] or '0'
  found[#found + 1] = both[2] or '0'
end
return found
"""
)

# ARGV: Unix ms as of which, then for each counter: name, amount, ms to keep it
LOAD = (
    _COMMON
    + """
for i = 2, #ARGV, 3 do
  local key = p .. 'c:' .. ARGV[i]
  if redis.call('HSETNX', key, 'l', ARGV[1]) == 1 then
    add(key, 'v', ARGV[i + 1])
    keep(key, ARGV[i + 2])
  end
end
return 'loaded'
"""
)
