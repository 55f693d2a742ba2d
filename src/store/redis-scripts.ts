/**
 * What must happen in Redis at once, or not at all. All keys begin with KEYS[1], in which the hash tag is, and `queue:`.
 *
 *   sequence        number of the last entry ever added
 *   entry:<id>      hash: lane hop owner sequence data attempts notBefore (ms, or 'held') sent acceptedAt expiresAt code reason
 *   lane:<lane>     list of ids, oldest first
 *   state:<lane>    hash: token (the id of the BullMQ job that may attempt the lane), waiting (hop it waits for)
 *   lanes           set of lanes with entries
 *   live, expiry    sorted sets of ids, by sequence and by the end of the lifetime
 *   hops, owners    hashes: live entries per hop, per owner
 *   waiting:<hop>   sorted set of lanes whose head waits, by when they began to
 *   wakes           hash: full wakes per hop
 *   left:<id>       ids that left, with an expiry
 *   dead, letters   sorted set of ids by when they died; hash of what they were
 *
 * A lane has at most one valid token. A job with another id than the one in state:<lane> does nothing.
 */
const HELPERS = `
local p = KEYS[1] .. 'queue:'
local call = redis.call
local function less(key, field)
  if call('HINCRBY', key, field, -1) <= 0 then call('HDEL', key, field) end
end
local function figures(hop)
  return { call('ZCARD', p .. 'live'), call('ZCARD', p .. 'dead'), hop, tonumber(call('HGET', p .. 'hops', hop) or 0) }
end
local function remove(id, seconds)
  local e = call('HMGET', p .. 'entry:' .. id, 'lane', 'hop', 'owner')
  if not e[1] then return nil end
  call('LREM', p .. 'lane:' .. e[1], 1, id)
  call('ZREM', p .. 'live', id)
  call('ZREM', p .. 'expiry', id)
  less(p .. 'hops', e[2])
  less(p .. 'owners', e[3])
  call('DEL', p .. 'entry:' .. id)
  call('SET', p .. 'left:' .. id, 1, 'EX', seconds)
  return e
end
local function release(lane, upTo)
  for _, id in ipairs(call('LRANGE', p .. 'lane:' .. lane, 0, 255)) do
    local key = p .. 'entry:' .. id
    if call('HGET', key, 'notBefore') ~= '0' then call('HSET', key, 'notBefore', '0') end
    if id == upTo then return end
  end
end
local function go(lane, job)
  local s = call('HMGET', p .. 'state:' .. lane, 'token', 'waiting')
  if s[1] and not s[2] then return 0 end
  if s[2] then
    call('ZREM', p .. 'waiting:' .. s[2], lane)
    call('HDEL', p .. 'state:' .. lane, 'waiting')
  end
  call('HSET', p .. 'state:' .. lane, 'token', job)
  return 1
end
`;

export const REDIS_SCRIPTS = {
  /** id lane hop owner expiresAt acceptedAt data total perHop perOwner job -> known | full what | added granted figures */
  append: `
local id, lane, hop, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if call('EXISTS', p .. 'entry:' .. id, p .. 'left:' .. id) > 0 then return { 'known' } end
if call('ZCARD', p .. 'live') >= tonumber(ARGV[8]) then return { 'full', 'in total' } end
if tonumber(call('HGET', p .. 'hops', hop) or 0) >= tonumber(ARGV[9]) then return { 'full', 'for ' .. hop } end
if tonumber(call('HGET', p .. 'owners', owner) or 0) >= tonumber(ARGV[10]) then return { 'full', 'of ' .. owner } end
local sequence = call('INCR', p .. 'sequence')
call('HSET', p .. 'entry:' .. id, 'lane', lane, 'hop', hop, 'owner', owner, 'sequence', sequence, 'data', ARGV[7],
  'attempts', 0, 'notBefore', '0', 'sent', 0, 'acceptedAt', ARGV[6], 'expiresAt', ARGV[5])
call('RPUSH', p .. 'lane:' .. lane, id)
call('SADD', p .. 'lanes', lane)
call('ZADD', p .. 'live', sequence, id)
call('ZADD', p .. 'expiry', ARGV[5], id)
call('HINCRBY', p .. 'hops', hop, 1)
call('HINCRBY', p .. 'owners', owner, 1)
local s = call('HMGET', p .. 'state:' .. lane, 'token', 'waiting')
local granted = 0
if not s[1] and not s[2] then
  call('HSET', p .. 'state:' .. lane, 'token', ARGV[11])
  granted = 1
end
return { 'added', granted, figures(hop) }
`,
  /** lane job hop limit now -> lost | hop other | run wakes { id data attempts sent sequence expiresAt }... */
  take: `
local lane, hop = ARGV[1], ARGV[3]
local s = call('HMGET', p .. 'state:' .. lane, 'token', 'waiting')
if s[1] ~= ARGV[2] then return { 'lost' } end
if s[2] then
  call('ZREM', p .. 'waiting:' .. s[2], lane)
  call('HDEL', p .. 'state:' .. lane, 'waiting')
end
local run = { 'run', tonumber(call('HGET', p .. 'wakes', hop) or 0) }
for _, id in ipairs(call('LRANGE', p .. 'lane:' .. lane, 0, tonumber(ARGV[4]) - 1)) do
  local key = p .. 'entry:' .. id
  local e = call('HMGET', key, 'hop', 'notBefore', 'data', 'attempts', 'sent', 'sequence', 'expiresAt')
  if not e[1] then
    call('LREM', p .. 'lane:' .. lane, 1, id)
    call('ZREM', p .. 'live', id)
    call('ZREM', p .. 'expiry', id)
  else
    if e[1] ~= hop then
      if #run == 2 then return { 'hop', e[1] } end
      break
    end
    if e[2] == 'held' or tonumber(e[2]) > tonumber(ARGV[5]) then break end
    call('HSET', key, 'sent', 1)
    run[#run + 1] = { id, e[3], e[4], e[5], e[6], e[7] }
  end
end
return run
`,
  /** id -> data attempts sent sequence expiresAt, once a minute */
  hand: `
local id = ARGV[1]
local e = call('HMGET', p .. 'entry:' .. id, 'data', 'attempts', 'sent', 'sequence', 'expiresAt')
if not e[1] then
  call('ZREM', p .. 'expiry', id)
  return {}
end
if not call('SET', p .. 'handing:' .. id, 1, 'NX', 'EX', 45) then return {} end
return { id, e[1], e[2], e[3], e[4], e[5] }
`,
  /** delivered id seconds | dead id seconds letter now | again id attempts notBefore code reason | held id sent -> figures */
  settle: `
local kind, id = ARGV[1], ARGV[2]
local key = p .. 'entry:' .. id
local hop = call('HGET', key, 'hop')
if not hop then return figures('') end
if kind == 'delivered' then
  remove(id, ARGV[3])
elseif kind == 'dead' then
  remove(id, ARGV[3])
  call('HSET', p .. 'letters', id, ARGV[4])
  call('ZADD', p .. 'dead', ARGV[5], id)
elseif kind == 'again' then
  call('HSET', key, 'attempts', ARGV[3], 'notBefore', ARGV[4], 'code', ARGV[5], 'reason', ARGV[6], 'sent', 1)
else
  call('HSET', key, 'notBefore', 'held', 'sent', ARGV[3])
end
return figures(hop)
`,
  /** lane job now wakesSeen newJob -> lost | empty | go | held | delayed job at */
  release: `
local lane = ARGV[1]
local state = p .. 'state:' .. lane
if call('HGET', state, 'token') ~= ARGV[2] then return { 'lost' } end
local id = call('LINDEX', p .. 'lane:' .. lane, 0)
if not id then
  call('DEL', state)
  call('SREM', p .. 'lanes', lane)
  return { 'empty' }
end
local e = call('HMGET', p .. 'entry:' .. id, 'hop', 'notBefore')
if not e[1] then return { 'go' } end
if e[2] == 'held' then
  if tonumber(call('HGET', p .. 'wakes', e[1]) or 0) ~= tonumber(ARGV[4]) then
    release(lane)
    return { 'go' }
  end
  call('HDEL', state, 'token')
  call('HSET', state, 'waiting', e[1])
  call('ZADD', p .. 'waiting:' .. e[1], ARGV[3], lane)
  return { 'held' }
end
if tonumber(e[2]) <= tonumber(ARGV[3]) then return { 'go' } end
call('HSET', state, 'token', ARGV[5], 'waiting', e[1])
call('ZADD', p .. 'waiting:' .. e[1], ARGV[3], lane)
return { 'delayed', ARGV[5], e[2] }
`,
  /** hop lanesMax before isFull nonce -> { lane job }... */
  wake: `
local hop = ARGV[1]
if ARGV[4] == '1' then call('HINCRBY', p .. 'wakes', hop, 1) end
local granted = {}
for n, lane in ipairs(call('ZRANGEBYSCORE', p .. 'waiting:' .. hop, '-inf', ARGV[3], 'LIMIT', 0, ARGV[2])) do
  release(lane)
  local job = lane .. '-' .. ARGV[5] .. '-' .. n
  if go(lane, job) == 1 then granted[#granted + 1] = { lane, job } end
  call('ZREM', p .. 'waiting:' .. hop, lane)
end
return granted
`,
  /** lane job expected isForced -> 1 | 0: a new token in the place of one that has no job any more */
  grant: `
local lane, force = ARGV[1], ARGV[4] == '1'
local state = p .. 'state:' .. lane
if call('LLEN', p .. 'lane:' .. lane) == 0 then
  call('SREM', p .. 'lanes', lane)
  call('DEL', state)
  return 0
end
local s = call('HMGET', state, 'token', 'waiting')
if (s[1] or '') ~= ARGV[3] then return 0 end
if s[2] and not s[1] then
  if not force then return 0 end
  release(lane)
end
if s[2] then call('ZREM', p .. 'waiting:' .. s[2], lane) end
call('HDEL', state, 'waiting')
call('HSET', state, 'token', ARGV[2])
return 1
`,
  /** lane job -> 1 | 0: lets a lane go on whose waiting head is gone */
  resume: `
local id = call('LINDEX', p .. 'lane:' .. ARGV[1], 0)
if not id or call('HGET', p .. 'entry:' .. id, 'notBefore') ~= '0' then return 0 end
return go(ARGV[1], ARGV[2])
`,
  /** id job -> lane granted | nothing */
  retry: `
local lane = call('HGET', p .. 'entry:' .. ARGV[1], 'lane')
if not lane then return {} end
release(lane, ARGV[1])
return { lane, go(lane, ARGV[2]) }
`,
  /** id lane hop owner sequence data attempts acceptedAt expiresAt job -> granted figures | nothing */
  raise: `
local id, lane, hop = ARGV[1], ARGV[2], ARGV[3]
if call('ZREM', p .. 'dead', id) == 0 then return {} end
call('HDEL', p .. 'letters', id)
local list = p .. 'lane:' .. lane
local before
for _, other in ipairs(call('LRANGE', list, 0, -1)) do
  if tonumber(call('HGET', p .. 'entry:' .. other, 'sequence') or 0) > tonumber(ARGV[5]) then
    before = other
    break
  end
end
if before then call('LINSERT', list, 'BEFORE', before, id) else call('RPUSH', list, id) end
call('HSET', p .. 'entry:' .. id, 'lane', lane, 'hop', hop, 'owner', ARGV[4], 'sequence', ARGV[5], 'data', ARGV[6],
  'attempts', ARGV[7], 'notBefore', '0', 'sent', 1, 'acceptedAt', ARGV[8], 'expiresAt', ARGV[9])
call('SADD', p .. 'lanes', lane)
call('ZADD', p .. 'live', ARGV[5], id)
call('ZADD', p .. 'expiry', ARGV[9], id)
call('HINCRBY', p .. 'hops', hop, 1)
call('HINCRBY', p .. 'owners', ARGV[4], 1)
return { go(lane, ARGV[10]), figures(hop) }
`,
  /** id seconds -> live lane figures | dead figures | nothing */
  drop: `
local e = remove(ARGV[1], ARGV[2])
if e then return { 'live', e[1], figures(e[2]) } end
if call('ZREM', p .. 'dead', ARGV[1]) == 0 then return {} end
call('HDEL', p .. 'letters', ARGV[1])
return { 'dead', '', figures('') }
`,
  /** before -> how many dead letters went */
  purge: `
local old = call('ZRANGEBYSCORE', p .. 'dead', '-inf', ARGV[1], 'LIMIT', 0, 1000)
for _, id in ipairs(old) do
  call('HDEL', p .. 'letters', id)
  call('ZREM', p .. 'dead', id)
end
return #old
`,
} as const;

export type RedisScript = keyof typeof REDIS_SCRIPTS;

/** The whole text of a script. */
export function scriptText(name: RedisScript): string {
  return `${HELPERS}${REDIS_SCRIPTS[name]}`;
}
