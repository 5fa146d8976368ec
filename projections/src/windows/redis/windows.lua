#!lua name=danmu_windows_1
--[[
The windows in Redis: every change of a slot, and every read of it, as one function and so one moment.

Functions check all that they are given before their first write, because nothing is rolled back. Every
key of a slot begins with its base, KEYS[1], which has the slot's hash tag. A base of `b` and a room `r`:

  b           hash    `at` (the position) and `log`; how many `rooms` there are and how many are `live`;
                      `fill`, the refill that gave the position, and `filled`, which position it gave;
                      while a refill is under way, its `token` and the number `n` of rooms it has put
  b:rooms     set     the slot's rooms
  b:live      zset    those with an open broadcast, all with score 0 and so by name
  b:room:r    hash    `core`, the fields `f1` to `f7`, `at` (the append that changed the room last; not
                      there since a refill put it), `live`, and what the lists must hold
  b:chunks:r  list    chunks, each after its mark: epoch, last offset, last log time, count, and a digest
                      of its header
  b:events:r  list    blocks of the memory of events, each after the log clock of its last entry
  b:gifts:r   list    blocks of the memory of gifts, likewise

A slot that lacks any key that it should have is *torn*: who finds it takes its position away, so that it
is refilled. A slot without a position shows nothing. A change of this file needs another name.
]]

local MARK = '>I4i8i8I4'
local MARK_LEN = 32
local CLOCK = '>i8'
local LISTED = {
  'at', 'live', 'chunks', 'bytes', 'counted', 'oldest', 'newest', 'events', 'events_from', 'gifts',
  'gifts_from',
}
local STATE = {'core', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f7'}

-- The slot's head, where it has a position and is whole; else nil, and whether it is torn.
local function head_of(base)
  local found = redis.call('HMGET', base, 'at', 'log', 'fill', 'filled', 'rooms', 'live')
  if not found[1] then
    return nil, false
  end
  local rooms = redis.call('SCARD', base .. ':rooms')
  local live = redis.call('ZCARD', base .. ':live')
  if tonumber(found[5] or 0) ~= rooms or tonumber(found[6] or 0) ~= live then
    return nil, true
  end
  return {at = found[1], log = found[2], fill = found[3], filled = found[4]}, false
end

-- Takes a torn slot's position away.
local function lose(base)
  redis.call('HDEL', base, 'at')
  redis.call('PUBLISH', base, '')
end

-- A room's keys and what they must hold, none of it where the room is new; nil where it is torn.
local function room_of(base, name)
  local room = {
    name = name,
    key = base .. ':room:' .. name,
    chunks = {key = base .. ':chunks:' .. name, len = 0},
    events = {key = base .. ':events:' .. name, len = 0},
    gifts = {key = base .. ':gifts:' .. name, len = 0},
    bytes = 0,
    counted = 0,
    live = '0',
  }
  if redis.call('SISMEMBER', base .. ':rooms', name) == 0 then
    room.is_new = true
    return room
  end
  local found = redis.call('HMGET', room.key, unpack(LISTED))
  if not found[3] then
    return nil
  end
  room.at, room.live = found[1], found[2]
  room.bytes, room.counted = tonumber(found[4]), tonumber(found[5])
  room.oldest, room.newest = tonumber(found[6]), tonumber(found[7])
  room.chunks.len = tonumber(found[3])
  room.events.len, room.events.from = tonumber(found[8]), tonumber(found[9])
  room.gifts.len, room.gifts.from = tonumber(found[10]), tonumber(found[11])
  for _, list in ipairs({room.chunks, room.events, room.gifts}) do
    if redis.call('LLEN', list.key) ~= list.len then
      return nil
    end
  end
  return room
end

local function remove(room)
  redis.call('UNLINK', room.key, room.chunks.key, room.events.key, room.gifts.key)
end

local function is_after(epoch, offset, other_epoch, other_offset)
  return epoch > other_epoch or (epoch == other_epoch and offset > other_offset)
end

-- The index of the first chunk whose last record stands after a position, looked for from the end.
local function place_after(chunks, epoch, offset)
  local function is_news(index)
    local chunk = redis.call('LINDEX', chunks.key, index)
    local last_epoch, last_offset = struct.unpack(MARK, chunk)
    return is_after(last_epoch, last_offset, epoch, offset)
  end
  local low, high, stride = 0, chunks.len, 1
  while low < high do
    local probe = math.max(high - stride, low)
    if not is_news(probe) then
      low = probe + 1
      break
    end
    high, stride = probe, stride * 2
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_news(middle) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- The index of the stored chunk with the same mark; nil where there is none.
local function place_of(chunks, blanked)
  local epoch, offset = struct.unpack(MARK, blanked)
  local place = place_after(chunks, epoch, offset - 1)
  if place == chunks.len then
    return nil
  end
  local stored = redis.call('LINDEX', chunks.key, place)
  if stored:sub(1, MARK_LEN) ~= blanked:sub(1, MARK_LEN) then
    return nil
  end
  return place, #stored
end

-- Reads arguments one after the other, and runs of them that begin with their length.
local function arguments(args, from)
  local next_one = from
  local function one()
    local value = args[next_one]
    if value == nil then
      error('too few arguments')
    end
    next_one = next_one + 1
    return value
  end
  local function run()
    local values = {}
    for n = 1, tonumber(one()) do
      values[n] = one()
    end
    return values
  end
  return one, run
end

-- What a step or a refill changes in one room.
local function change_of(one, run)
  return {
    name = one(),
    live = one(),
    events_since = tonumber(one()),
    gifts_since = tonumber(one()),
    state = run(),
    events = run(),
    gifts = run(),
    blanked = run(),
    chunks = run(),
  }
end

local function limits_of(one)
  return {
    counted = tonumber(one()),
    bytes = tonumber(one()),
    age = tonumber(one()),
    hard_bytes = tonumber(one()),
    epoch = tonumber(one()),
    offset = tonumber(one()),
  }
end

-- Appends blocks of memory; lets those go whose last entry is older than `since`.
local function remember(list, blocks, since)
  for _, block in ipairs(blocks) do
    redis.call('RPUSH', list.key, block)
    if list.len == 0 then
      list.from = struct.unpack(CLOCK, block)
    end
    list.len = list.len + 1
  end
  while list.len > 0 and list.from < since do
    redis.call('LPOP', list.key)
    list.len = list.len - 1
    if list.len > 0 then
      list.from = struct.unpack(CLOCK, redis.call('LINDEX', list.key, 0))
    end
  end
end

-- Appends chunks.
local function extend(room, chunks)
  for _, chunk in ipairs(chunks) do
    local _, _, logged_at, count = struct.unpack(MARK, chunk)
    redis.call('RPUSH', room.chunks.key, chunk)
    if room.chunks.len == 0 then
      room.oldest = logged_at
    end
    room.newest = logged_at
    room.chunks.len = room.chunks.len + 1
    room.bytes = room.bytes + #chunk - MARK_LEN
    room.counted = room.counted + count
  end
end

-- Lets chunks go from the front, those that the history has, beyond the hard cap any; the newest stays.
local function trim(room, limits)
  while room.chunks.len > 1 do
    local is_too_much = room.counted > limits.counted or room.bytes > limits.bytes
      or room.newest - room.oldest > limits.age
    local is_far_too_much = room.bytes > limits.hard_bytes
    if not is_too_much and not is_far_too_much then
      return
    end
    local front = redis.call('LINDEX', room.chunks.key, 0)
    local epoch, offset, _, count = struct.unpack(MARK, front)
    local is_in_history = not is_after(epoch, offset, limits.epoch, limits.offset)
    if not is_far_too_much and not is_in_history then
      return
    end
    redis.call('LPOP', room.chunks.key)
    room.chunks.len = room.chunks.len - 1
    room.bytes = room.bytes - (#front - MARK_LEN)
    room.counted = room.counted - count
    local _, _, logged_at = struct.unpack(MARK, redis.call('LINDEX', room.chunks.key, 0))
    room.oldest = logged_at
  end
end

local function index(base, room, change)
  if room.is_new then
    redis.call('SADD', base .. ':rooms', room.name)
    redis.call('HINCRBY', base, 'rooms', 1)
  end
  if change.live ~= room.live then
    if change.live == '1' then
      redis.call('ZADD', base .. ':live', 0, room.name)
      redis.call('HINCRBY', base, 'live', 1)
    else
      redis.call('ZREM', base .. ':live', room.name)
      redis.call('HINCRBY', base, 'live', -1)
    end
  end
end

-- Stores a change that was checked; `at` is nil where a refill puts it.
local function store(base, room, change, limits, at)
  if room.is_new then
    remove(room)
  end
  index(base, room, change)
  for n, chunk in ipairs(change.blanked) do
    redis.call('LSET', room.chunks.key, room.places[n], chunk)
    room.bytes = room.bytes + #chunk - room.replaced[n]
  end
  remember(room.events, change.events, change.events_since)
  remember(room.gifts, change.gifts, change.gifts_since)
  extend(room, change.chunks)
  trim(room, limits)
  local stored = change.state
  local held = {
    live = change.live, chunks = room.chunks.len, bytes = room.bytes, counted = room.counted,
    oldest = room.oldest or 0, newest = room.newest or 0, events = room.events.len,
    events_from = room.events.from or 0, gifts = room.gifts.len, gifts_from = room.gifts.from or 0,
    at = at,
  }
  for name, value in pairs(held) do
    stored[#stored + 1] = name
    stored[#stored + 1] = value
  end
  redis.call('HSET', room.key, unpack(stored))
end

-- Finds a change's room and the chunks that it blanks. Nil and true where the room is torn, nil and
-- false where a chunk is missing.
local function find(base, change)
  local room = room_of(base, change.name)
  if not room then
    return nil, true
  end
  room.places, room.replaced = {}, {}
  for n, chunk in ipairs(change.blanked) do
    room.places[n], room.replaced[n] = place_of(room.chunks, chunk)
    if not room.places[n] then
      return nil, false
    end
  end
  return room, false
end

-- log, expected, to, whether it moves; limits; the number of changes; changes
-- → `stored`; `already`; or `other` and where the slot is
local function append(keys, args)
  local base = keys[1]
  local head, is_torn = head_of(base)
  if is_torn then
    lose(base)
  end
  local one, run = arguments(args, 1)
  local log, expected, to, moves = one(), one(), one(), one()
  if not head or head.log ~= log then
    return {'other'}
  end
  if head.at == to and moves == '1' then
    return {'already'}
  end
  if head.at ~= expected then
    return {'other', head.at}
  end
  local limits = limits_of(one)
  local changes, rooms, names = {}, {}, {}
  for n = 1, tonumber(one()) do
    local change = change_of(one, run)
    local room, is_room_torn = find(base, change)
    if is_room_torn then
      lose(base)
      return {'other'}
    elseif not room then
      return {'other', head.at}
    end
    changes[n], rooms[n], names[n] = change, room, change.name
  end
  for n, change in ipairs(changes) do
    store(base, rooms[n], change, limits, to)
  end
  redis.call('HSET', base, 'at', to)
  if #names > 0 then
    redis.call('PUBLISH', base, head.fill .. ' ' .. to .. ' ' .. table.concat(names, ' '))
  end
  return {'stored'}
end

local function clear(base)
  for _, name in ipairs(redis.call('SMEMBERS', base .. ':rooms')) do
    redis.call('UNLINK', base .. ':room:' .. name, base .. ':chunks:' .. name,
      base .. ':events:' .. name, base .. ':gifts:' .. name)
  end
  redis.call('UNLINK', base, base .. ':rooms', base .. ':live')
end

-- Loses the slot with all that is in it.
local function wipe(keys)
  clear(keys[1])
  redis.call('PUBLISH', keys[1], '')
  return 1
end

-- token → whether the slot has no position; then it is empty
local function begin(keys, args)
  local base = keys[1]
  if redis.call('HEXISTS', base, 'at') == 1 then
    return 0
  end
  clear(base)
  redis.call('HSET', base, 'token', args[1], 'n', 0)
  return 1
end

-- Where the refill of that token is; nil where the slot is not being refilled by it.
local function put_by(base, token)
  local found = redis.call('HMGET', base, 'at', 'token', 'n')
  if found[1] or found[2] ~= token then
    return nil
  end
  return tonumber(found[3])
end

-- token, n; limits; a change → whether the refill is exactly there, or was by this very call
local function put(keys, args)
  local base = keys[1]
  local one, run = arguments(args, 1)
  local token, n = one(), tonumber(one())
  local limits = limits_of(one)
  local change = change_of(one, run)
  local held = put_by(base, token)
  if held == n + 1 then
    return 1
  end
  local room = held == n and room_of(base, change.name)
  if not room then
    return 0
  end
  store(base, room, change, limits, nil)
  redis.call('HSET', base, 'n', n + 1)
  return 1
end

-- token, n, position, log → whether the refill is exactly there; then the slot has its position
local function finish(keys, args)
  local base = keys[1]
  if put_by(base, args[1]) ~= tonumber(args[2]) then
    return 0
  end
  redis.call('HDEL', base, 'token', 'n')
  redis.call('HSET', base, 'at', args[3], 'log', args[4], 'fill', args[1], 'filled', args[3])
  redis.call('PUBLISH', base, '')
  return 1
end

-- → position and log; nothing where there is none
local function position(keys)
  local head, is_torn = head_of(keys[1])
  if is_torn then
    lose(keys[1])
  end
  return head and {head.at, head.log} or {}
end

-- rooms → the position, and for each its state, memory of events and memory of gifts, or false; nothing
-- where there is no position
local function load(keys, args)
  local base = keys[1]
  local head, is_torn = head_of(base)
  local reply = {head and head.at}
  for n, name in ipairs(head and args or {}) do
    local room = room_of(base, name)
    is_torn = is_torn or not room
    reply[n + 1] = room and not room.is_new and {
      redis.call('HMGET', room.key, unpack(STATE)),
      redis.call('LRANGE', room.events.key, 0, -1),
      redis.call('LRANGE', room.gifts.key, 0, -1),
    }
  end
  if is_torn then
    lose(base)
    return {}
  end
  return reply
end

-- room, epoch, offset → position, refill and the position it gave; where the slot has the room, also what
-- changed it last, its state, and its chunks with a record after that position; nothing without a position,
-- `torn` where the room is torn, which only a function that writes can do something about
local function since(keys, args)
  local base = keys[1]
  local head = head_of(base)
  if not head then
    return {}
  end
  local room = room_of(base, args[1])
  if not room then
    return {'torn'}
  end
  local reply = {head.at, head.fill, head.filled}
  if not room.is_new then
    local place = place_after(room.chunks, tonumber(args[2]), tonumber(args[3]))
    reply[4] = room.at
    reply[5] = redis.call('HMGET', room.key, unpack(STATE))
    reply[6] = place < room.chunks.len and redis.call('LRANGE', room.chunks.key, place, -1) or {}
  end
  return reply
end

-- rooms → refill, the position it gave, and for each room what changed it last, or false; nothing without
-- a position
local function versions(keys, args)
  local base = keys[1]
  local head = head_of(base)
  if not head then
    return {}
  end
  local reply = {head.fill, head.filled}
  for n, name in ipairs(args) do
    reply[n + 2] = redis.call('HGET', base .. ':room:' .. name, 'at')
  end
  return reply
end

-- after (or nothing), limit → rooms with an open broadcast, by name; none without a position
local function live(keys, args)
  if not head_of(keys[1]) then
    return {}
  end
  local from = args[1] == '' and '-' or '(' .. args[1]
  return redis.call('ZRANGE', keys[1] .. ':live', from, '+', 'BYLEX', 'LIMIT', 0, args[2])
end

local function register(name, callback, flags)
  name = 'danmu_windows_1_' .. name
  redis.register_function({function_name = name, callback = callback, flags = flags})
end

register('append', append)
register('begin', begin)
register('put', put)
register('end', finish)
register('wipe', wipe)
register('position', position)
register('load', load)
register('since', since, {'no-writes'})
register('versions', versions, {'no-writes'})
register('live', live, {'no-writes'})
