"""What happens at the server: GCRA in whole numbers, and leases of those that run.

A bucket is what is in use at a moment: whole units, and parts of one in sixty-millionths, for so many microseconds
has a minute. Numbers of Lua are doubles: every product here stays below 2^53, which limits up to `MOST` allow.

    KEYS[1]  a hash: `r` requests, `t` tokens, each "at units parts limit born". It goes when all is free again.
    KEYS[2]  a sorted set: requests that run, each with the moment at which its lease ends

`born` tells a bucket from one that took its place: claims on the old one are not given back to the new one.
"""

from __future__ import annotations

from hive_runtime.valkey import Script

MOST = 10**11
"""Units per minute; larger limits are never reached, and count as this one."""

SERVER_TIME = """
local function clock()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000000 + tonumber(now[2])
end
"""
"""Microseconds since the epoch, by the one clock that all processes share. It may be set back: nothing flows then."""

_BUCKETS = """
local MINUTE = 60000000
local now = clock()

local function flow(span, limit) -- what flows back in so many microseconds: units, parts
  local minutes = math.floor(span / MINUTE)
  local rest = span - minutes * MINUTE
  local ms = math.floor(rest / 1000)
  local by_ms = ms * limit
  local units = math.floor(by_ms / 60000)
  local parts = (by_ms - units * 60000) * 1000 + (rest - ms * 1000) * limit
  local carried = math.floor(parts / MINUTE)
  return minutes * limit + units + carried, parts - carried * MINUTE
end

local function lasting(units, parts, limit) -- how long it takes to flow back: microseconds, and whether a bit longer
  local minutes = math.floor(units / limit)
  local kilo = math.floor(parts / 1000)
  local ms_of = (units - minutes * limit) * 60000 + kilo
  local ms = math.floor(ms_of / limit)
  local us_of = (ms_of - ms * limit) * 1000 + (parts - kilo * 1000)
  local us = math.floor(us_of / limit)
  return minutes * MINUTE + ms * 1000 + us, us_of > us * limit
end

local function less(units, parts, than_units, than_parts)
  return units < than_units or (units == than_units and parts < than_parts)
end

local function lower(bucket, units, parts)
  bucket.units, bucket.parts = bucket.units - units, bucket.parts - parts
  if bucket.parts < 0 then bucket.units, bucket.parts = bucket.units - 1, bucket.parts + MINUTE end
  if bucket.units < 0 then bucket.units, bucket.parts = 0, 0 end
end

local function change(bucket, limit) -- what is in use stays; nobody waits longer than a minute, or than before
  if limit < bucket.limit then
    local span, more = lasting(bucket.units, bucket.parts, bucket.limit)
    if more then span = span + 1 end
    local units, parts = flow(math.max(MINUTE, span), limit)
    if less(units, parts, bucket.units, bucket.parts) then bucket.units, bucket.parts = units, parts end
  end
  bucket.limit = limit
end

local function read(text) -- the bucket as it is now
  local at, units, parts, limit, born = string.match(text, '(%d+) (%d+) (%d+) (%d+) (%d+)')
  local bucket = {units = tonumber(units), parts = tonumber(parts), limit = tonumber(limit), born = tonumber(born)}
  if now > tonumber(at) then lower(bucket, flow(now - tonumber(at), bucket.limit)) end
  return bucket
end

local function load(field, limit) -- with this limit; nil where there is none
  if limit == 0 then return nil end
  local text = redis.call('HGET', KEYS[1], field)
  if not text then return {units = 0, parts = 0, limit = limit, born = now} end
  local bucket = read(text)
  if bucket.limit ~= limit then change(bucket, limit) end
  return bucket
end

local function fits(bucket, units)
  if not bucket or units == 0 then return true end
  local total = bucket.units + units
  return total < bucket.limit or (total == bucket.limit and bucket.parts == 0)
end

local function take(bucket, units)
  if bucket then bucket.units = bucket.units + units end
end

local function give_back(bucket, units, claim) -- of a claim, what was not used and has not flowed back by itself
  if not bucket or bucket.born ~= claim.born then return end
  local left
  if bucket.limit == claim.limit then
    left = {units = claim.units, parts = claim.parts}
    if now > claim.at then lower(left, flow(now - claim.at, claim.limit)) end
  else
    local span = lasting(claim.units, claim.parts, claim.limit)
    local most_units, most_parts = flow(math.max(0, math.min(span, claim.at + span - now)), bucket.limit)
    left = {units = most_units, parts = most_parts}
  end
  if less(units, 0, left.units, left.parts) then left = {units = units, parts = 0} end
  lower(bucket, left.units, left.parts)
end

local function save(buckets) -- all that there are
  local longest = 0
  local fields = {}
  for field, bucket in pairs(buckets) do
    local text = string.format('%.0f %.0f %.0f %.0f %.0f', now, bucket.units, bucket.parts, bucket.limit, bucket.born)
    table.insert(fields, field)
    table.insert(fields, text)
    longest = math.max(longest, (lasting(bucket.units, bucket.parts, bucket.limit)))
  end
  if #fields > 0 then
    redis.call('HSET', KEYS[1], unpack(fields))
    local ms = math.min(math.floor(longest / 1000) + SPARE, 1e12)
    if ms > redis.call('PTTL', KEYS[1]) then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ms)) end
  end
end

local function told(bucket) -- as replies hold it
  if not bucket then return {} end
  return {bucket.units, bucket.parts, bucket.born}
end

local function claim_of(first) -- from the arguments: at, units, parts, limit, born
  if not ARGV[first] then return nil end
  return {
    at = tonumber(ARGV[first]), units = tonumber(ARGV[first + 1]), parts = tonumber(ARGV[first + 2]),
    limit = tonumber(ARGV[first + 3]), born = tonumber(ARGV[first + 4])
  }
end
"""

# ARGV: requests, tokens and concurrency allowed (0: no limit), tokens wanted, the entry, microseconds of its lease.
# Gives: whether it was let in, now, the bucket of requests, the bucket of tokens.
_ENTER = """
local requests_limit, tokens_limit, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, lease = tonumber(ARGV[4]), tonumber(ARGV[6])
local requests, tokens = load('r', requests_limit), load('t', tokens_limit)
local enough = true
if most > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  -- A lease that ends later than any that is given now is from before the clock was set back.
  local latest = string.format('%.0f', now + 2 * lease)
  enough = redis.call('ZCOUNT', KEYS[2], '-inf', latest) < most
end
local enters = enough and fits(requests, 1) and fits(tokens, wanted)
if enters then
  take(requests, 1)
  take(tokens, wanted)
  if most > 0 then
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease), ARGV[5])
    redis.call('PEXPIRE', KEYS[2], string.format('%.0f', math.ceil(2 * lease / 1000)))
  end
end
if requests_limit == 0 then redis.call('HDEL', KEYS[1], 'r') end
if tokens_limit == 0 then redis.call('HDEL', KEYS[1], 't') end
save({r = requests, t = tokens})
return {enters and 1 or 0, now, told(requests), told(tokens)}
"""

# ARGV: requests and tokens allowed, tokens wanted, and the claim on a request, if any, that is given back where the
# tokens do not fit. Gives the same as `ENTER`.
_WEIGH = """
local requests, tokens = load('r', tonumber(ARGV[1])), load('t', tonumber(ARGV[2]))
local wanted = tonumber(ARGV[3])
local enters = fits(tokens, wanted)
if enters then
  take(tokens, wanted)
else
  local claim = claim_of(4)
  if claim then give_back(requests, 1, claim) end
end
save({r = requests, t = tokens})
return {enters and 1 or 0, now, told(requests), told(tokens)}
"""

# ARGV: the entry, tokens reserved and used, and the claim on them, if any.
_LEAVE = """
redis.call('ZREM', KEYS[2], ARGV[1])
local claim = claim_of(4)
if claim then
  local reserved, used = tonumber(ARGV[2]), tonumber(ARGV[3])
  local text = redis.call('HGET', KEYS[1], 't')
  local tokens = nil
  if text then
    tokens = read(text)
  elseif redis.call('EXISTS', KEYS[1]) == 0 then -- all was free; else the limit is gone, and its debts too
    tokens = {units = 0, parts = 0, limit = claim.limit, born = now}
  end
  if tokens then
    if used > reserved then take(tokens, used - reserved) else give_back(tokens, reserved - used, claim) end
    save({t = tokens})
  end
end
return 1
"""

# ARGV: microseconds of a lease, whether those that have none any more get one (1 or 0), and the entries.
# Gives those that have none.
_RENEW = """
local until_then = string.format('%.0f', clock() + tonumber(ARGV[1]))
local missing = {}
for index = 3, #ARGV do
  if ARGV[2] == '1' or redis.call('ZSCORE', KEYS[1], ARGV[index]) then
    redis.call('ZADD', KEYS[1], until_then, ARGV[index])
  else
    table.insert(missing, ARGV[index])
  end
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(2 * tonumber(ARGV[1]) / 1000)))
return missing
"""


class Scripts:
    """The four of them. clock: Lua that defines `clock()`, in microseconds; tests hold it still.

    spare_seconds: how long a bucket is kept that is free again.
    """

    def __init__(self, clock: str = SERVER_TIME, spare_seconds: int = 1) -> None:
        # They take next to nothing, and go on where answers that are kept have filled the memory.
        head = f"#!lua flags=allow-oom\nlocal SPARE = {spare_seconds * 1000}\n{clock}"
        self.enter = Script(head + _BUCKETS + _ENTER)
        self.weigh = Script(head + _BUCKETS + _WEIGH)
        self.leave = Script(head + _BUCKETS + _LEAVE)
        self.renew = Script(head + _RENEW)
