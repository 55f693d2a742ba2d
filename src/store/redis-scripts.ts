/**
 * What must happen in Redis at once, or not at all. All keys begin with KEYS[1], in which the hash tag is, and `queue:`.
 *
 *   sequence        number of the last entry ever added
 *   entry:<id>      hash: lane hop owner sequence data attempts notBefore (ms, or 'held') sent acceptedAt expiresAt code reason
 *   lane:<lane>     list of ids, oldest first
 *   state:<lane>    hash: token (who may attempt the lane: the id of a BullMQ job, or `<process>.<number>`), waiting (hop
 *                   it waits for)
 *   processes       sorted set: processes that attempt lanes, by the time until which they count as there
 *   dead-processes  set: those whose lanes may not all be in other hands yet
 *   lanes           set of lanes with entries
 *   live, expiry    sorted sets of ids, by sequence and by the end of the lifetime
 *   hops, owners    hashes: live entries per hop, per owner
 *   waiting:<hop>   sorted set of lanes whose head waits, by when they began to
 *   wakes           hash: full wakes per hop
 *   left:<id>       ids that left, with an expiry
 *   dead, letters   sorted set of ids by when they died; hash of what they were
 *
 * A lane has at most one valid token. Whoever has another than the one in state:<lane> does nothing.
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
local function forget(lane, id)
  call('LREM', p .. 'lane:' .. lane, 1, id)
  call('ZREM', p .. 'live', id)
  call('ZREM', p .. 'expiry', id)
end
-- delivered id seconds | drop id seconds | dead id seconds letter now | again id attempts notBefore code reason |
-- held id sent -> hop
local function settle(kind, id, a, b, c, d)
  local key = p .. 'entry:' .. id
  local hop = call('HGET', key, 'hop')
  if not hop then return '' end
  if kind == 'delivered' or kind == 'drop' then
    remove(id, a)
  elseif kind == 'dead' then
    remove(id, a)
    call('HSET', p .. 'letters', id, b)
    call('ZADD', p .. 'dead', c, id)
  elseif kind == 'again' then
    call('HSET', key, 'attempts', a, 'notBefore', b, 'code', c, 'reason', d, 'sent', 1)
  else
    call('HSET', key, 'notBefore', 'held', 'sent', a)
  end
  return hop
end
-- the outcomes that stand among the arguments from that place on
local function settleAll(from)
  for at = from, #ARGV, 6 do
    settle(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
  end
end
-- adds { id data attempts sent sequence expiresAt } for those that may be attempted now
local function take(rows, lane, hop, from, limit, now)
  for _, id in ipairs(call('LRANGE', p .. 'lane:' .. lane, from, limit - 1)) do
    local key = p .. 'entry:' .. id
    local e = call('HMGET', key, 'hop', 'notBefore', 'data', 'attempts', 'sent', 'sequence', 'expiresAt')
    if not e[1] then
      forget(lane, id)
    else
      if e[1] ~= hop or e[2] == 'held' or tonumber(e[2]) > now then break end
      if e[5] ~= '1' then call('HSET', key, 'sent', 1) end
      rows[#rows + 1] = { id, e[3], e[4], e[5], e[6], e[7] }
    end
  end
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
  /**
   * id lane hop owner expiresAt acceptedAt data total perHop perOwner job isOwn
   * -> known | full what | added granted figures sequence wakes
   *
   * `isOwn`: whoever adds attempts the lane himself if it is granted, beginning with this entry.
   */
  append: `
local id, lane, hop, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if call('EXISTS', p .. 'entry:' .. id, p .. 'left:' .. id) > 0 then return { 'known' } end
if call('ZCARD', p .. 'live') >= tonumber(ARGV[8]) then return { 'full', 'in total' } end
if tonumber(call('HGET', p .. 'hops', hop) or 0) >= tonumber(ARGV[9]) then return { 'full', 'for ' .. hop } end
if tonumber(call('HGET', p .. 'owners', owner) or 0) >= tonumber(ARGV[10]) then return { 'full', 'of ' .. owner } end
local sequence = call('INCR', p .. 'sequence')
local s = call('HMGET', p .. 'state:' .. lane, 'token', 'waiting')
local granted = not s[1] and not s[2]
call('HSET', p .. 'entry:' .. id, 'lane', lane, 'hop', hop, 'owner', owner, 'sequence', sequence, 'data', ARGV[7],
  'attempts', 0, 'notBefore', '0', 'sent', granted and ARGV[12] or 0, 'acceptedAt', ARGV[6], 'expiresAt', ARGV[5])
call('RPUSH', p .. 'lane:' .. lane, id)
call('SADD', p .. 'lanes', lane)
call('ZADD', p .. 'live', sequence, id)
call('ZADD', p .. 'expiry', ARGV[5], id)
call('HINCRBY', p .. 'hops', hop, 1)
call('HINCRBY', p .. 'owners', owner, 1)
if granted then call('HSET', p .. 'state:' .. lane, 'token', ARGV[11]) end
return { 'added', granted and 1 or 0, figures(hop), sequence, tonumber(call('HGET', p .. 'wakes', hop) or 0) }
`,
  /**
   * lane job hop limit now wakesSeen newJob { outcome of six values }...
   * -> figures, then: lost | empty | held | hop other | delayed job at | handed job | run wakes { id data attempts sent
   * sequence expiresAt }...
   *
   * Notes what came of the last attempts and goes on with the lane: the next run, or what it has to wait for. With a
   * limit of 0 the lane is left to the new job. `wakesSeen`: full wakes of the hop when the last attempts began.
   */
  next: `
local lane, hop, limit, now = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local state = p .. 'state:' .. lane
settleAll(8)
local said = figures(hop)
local s = call('HMGET', state, 'token', 'waiting')
if s[1] == ARGV[7] then
  -- Done before, and the answer was lost.
  local first = call('LINDEX', p .. 'lane:' .. lane, 0)
  return { said, 'delayed', ARGV[7], first and call('HGET', p .. 'entry:' .. first, 'notBefore') or '0' }
end
if s[1] ~= ARGV[2] then return { said, 'lost' } end
if s[2] then
  call('ZREM', p .. 'waiting:' .. s[2], lane)
  call('HDEL', state, 'waiting')
end
local head
while true do
  local id = call('LINDEX', p .. 'lane:' .. lane, 0)
  if not id then
    call('DEL', state)
    call('SREM', p .. 'lanes', lane)
    return { said, 'empty' }
  end
  head = call('HMGET', p .. 'entry:' .. id, 'hop', 'notBefore')
  if head[1] then break end
  forget(lane, id)
end
if limit == 0 then
  call('HSET', state, 'token', ARGV[7])
  return { said, 'handed', ARGV[7] }
end
local isHeld = head[2] == 'held'
if isHeld and ARGV[6] ~= '' and tonumber(call('HGET', p .. 'wakes', head[1]) or 0) ~= tonumber(ARGV[6]) then
  release(lane)
elseif isHeld then
  call('HDEL', state, 'token')
  call('HSET', state, 'waiting', head[1])
  call('ZADD', p .. 'waiting:' .. head[1], now, lane)
  return { said, 'held' }
elseif tonumber(head[2]) > now then
  call('HSET', state, 'token', ARGV[7], 'waiting', head[1])
  call('ZADD', p .. 'waiting:' .. head[1], now, lane)
  return { said, 'delayed', ARGV[7], head[2] }
end
if head[1] ~= hop then return { said, 'hop', head[1] } end
local run = { said, 'run', tonumber(call('HGET', p .. 'wakes', hop) or 0) }
take(run, lane, hop, 0, limit, now)
return run
`,
  /**
   * lane token hop begun last limit now { outcome of six values }... -> rows that may be begun behind the `begun` first,
   * the last of which is `last`
   *
   * Notes outcomes first; `begun` counts those that are left then.
   */
  more: `
local rows, lane, begun = {}, ARGV[1], tonumber(ARGV[4])
settleAll(8)
if call('HGET', p .. 'state:' .. lane, 'token') ~= ARGV[2] then return rows end
if begun > 0 and call('LINDEX', p .. 'lane:' .. lane, begun - 1) ~= ARGV[5] then return rows end
take(rows, lane, ARGV[3], begun, tonumber(ARGV[6]), tonumber(ARGV[7]))
return rows
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
  /** One outcome of five values, as `settle` above takes them -> figures */
  settle: `
return figures(settle(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]))
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
  /** lane... -> of each its token, or '' */
  tokens: `
local found = {}
for at = 1, #ARGV do found[at] = call('HGET', p .. 'state:' .. ARGV[at], 'token') or '' end
return found
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
  /**
   * process termMs former -> figures, acceptedAt of the oldest entry or '', processes that are gone and may have lanes left
   *
   * `former`: a process that is known to be gone. When this one was itself not heard of in time, so may all have been,
   * and nobody is given up yet.
   */
  beat: `
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = call('ZSCORE', p .. 'processes', ARGV[1])
call('ZADD', p .. 'processes', now + tonumber(ARGV[2]), ARGV[1])
if ARGV[3] ~= '' and call('ZREM', p .. 'processes', ARGV[3]) == 1 then call('SADD', p .. 'dead-processes', ARGV[3]) end
if known and tonumber(known) > now then
  for _, process in ipairs(call('ZRANGEBYSCORE', p .. 'processes', '-inf', now)) do
    call('ZREM', p .. 'processes', process)
    call('SADD', p .. 'dead-processes', process)
  end
end
local first = call('ZRANGE', p .. 'live', 0, 0)[1]
local acceptedAt = first and call('HGET', p .. 'entry:' .. first, 'acceptedAt')
return { figures(''), acceptedAt or '', unpack(call('SMEMBERS', p .. 'dead-processes')) }
`,
  /** process -> nothing: it has no lane any more */
  leave: `
call('ZREM', p .. 'processes', ARGV[1])
call('SREM', p .. 'dead-processes', ARGV[1])
`,
  /**
   * cursor count isStart own -> cursor { lane token }...
   *
   * Lanes of a part of all lanes whose token has no other process that is there: those of a BullMQ job, to be asked after
   * there, those of a process that is gone, and those of the own one. At a start also lanes that wait with no token.
   */
  suspects: `
local found = call('SSCAN', p .. 'lanes', ARGV[1], 'COUNT', ARGV[2])
local answer = { found[1] }
for _, lane in ipairs(found[2]) do
  local s = call('HMGET', p .. 'state:' .. lane, 'token', 'waiting')
  local process = s[1] and string.match(s[1], '^(.+)%.%d+$')
  local isThere = process and process ~= ARGV[4] and call('ZSCORE', p .. 'processes', process)
  if not isThere and (s[1] or not s[2] or ARGV[3] == '1') then answer[#answer + 1] = { lane, s[1] or '' } end
end
return answer
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
