/**
 * Changes of records in Redis. KEYS[1] is what all keys begin with, the hash tag in it.
 *
 *   kind:<kind>    hash: records of one kind; each value is `<version> <JSON>`
 *   kinds          set of kinds that have or had records
 *   version        number of the last batch of changes, of all processes
 *   changes        stream: one entry per batch: `version`, `writer`, and a pair `<kind>`, `<key>` per changed record, or
 *                  `<kind>`, '*' where too many of a kind changed at once
 *   birth          a random text: made with the store, so that one that was emptied is not taken for the same
 *   writer:<id>    hash: epoch, batch, version, results: what a process had stored last
 *   fences         hash: by name, the fence of whoever holds that lease: those of lower ones are barred
 *
 * A batch is applied whole or not at all, and once: a process that had no answer asks with a new epoch what became of
 * it, and from then on what it sent in the old one, and is still on its way, is refused.
 */
const CHANGES_KEPT = 5_000;
const LISTED_MAX = 1_000;
const WRITER_KEPT_SECONDS = 7 * 86_400;

export const CHANGE_SCRIPTS = {
  /**
   * writer epoch previous batch guard fence { op kind key value }... -> barred | fenced | done version results
   *
   * `previous` is the batch of the writer that was confirmed last: where that is not the last there is, a failover has
   * lost some, and the writer is to ask.
   *
   * The op is + (put) or - (remove). `=<version>` behind it: only if the record is of that version, 0: not there;
   * `<<version>`: only if it is of none later. `results`: for each change x where it was not done for that, else 1 where
   * a put made the record or a remove found it, 0 where not.
   */
  apply: `
local p, call = KEYS[1], redis.call
local writer = p .. 'writer:' .. ARGV[1]
local previous, batch, guard, fence = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if guard ~= '' and tonumber(call('HGET', p .. 'fences', guard) or 0) > fence then return { 'barred' } end
local known = call('HMGET', writer, 'epoch', 'batch', 'version', 'results')
if known[1] ~= ARGV[2] then return { 'fenced' } end
if known[2] == batch then return { 'done', tonumber(known[3]), known[4] } end
if (known[2] or '0') ~= previous then return { 'fenced' } end
-- First what is refused when memory is full, so that the rest is not begun.
call('HSET', writer, 'batch', batch)
local version = call('INCR', p .. 'version')
local entry = { 'version', version, 'writer', ARGV[1] }
local results, kinds = {}, {}
local isListed = (#ARGV - 6) / 4 <= ${LISTED_MAX}
for at = 7, #ARGV, 4 do
  local op, kind, key = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local hash = p .. 'kind:' .. kind
  local how, limit = string.sub(op, 2, 2), tonumber(string.sub(op, 3))
  local stands = limit and tonumber(string.match(call('HGET', hash, key) or '0', '^%d+'))
  if limit and ((how == '=' and stands ~= limit) or stands > limit) then
    results[#results + 1] = 'x'
  elseif string.sub(op, 1, 1) == '+' then
    results[#results + 1] = call('HSET', hash, key, version .. ' ' .. ARGV[at + 3])
  else
    results[#results + 1] = call('HDEL', hash, key)
  end
  if isListed then
    entry[#entry + 1] = kind
    entry[#entry + 1] = key
  end
  kinds[kind] = true
end
for kind in pairs(kinds) do
  call('SADD', p .. 'kinds', kind)
  if not isListed then
    entry[#entry + 1] = kind
    entry[#entry + 1] = '*'
  end
end
call('XADD', p .. 'changes', 'MAXLEN', '~', ${CHANGES_KEPT}, '*', unpack(entry))
results = table.concat(results)
call('HSET', writer, 'version', version, 'results', results)
call('EXPIRE', writer, ${WRITER_KEPT_SECONDS})
return { 'done', version, results }
`,
  /** guard fence -> the highest fence: whoever writes under this guard with a lower one is barred from now on */
  bar: `
local highest = tonumber(redis.call('HGET', KEYS[1] .. 'fences', ARGV[1]) or 0)
if highest >= tonumber(ARGV[2]) then return highest end
redis.call('HSET', KEYS[1] .. 'fences', ARGV[1], ARGV[2])
return tonumber(ARGV[2])
`,
  /** writer epoch newBirth -> batch version results birth storeVersion */
  recover: `
local p, call = KEYS[1], redis.call
local writer = p .. 'writer:' .. ARGV[1]
call('SET', p .. 'birth', ARGV[3], 'NX')
local known = call('HMGET', writer, 'batch', 'version', 'results')
call('HSET', writer, 'epoch', ARGV[2])
call('EXPIRE', writer, ${WRITER_KEPT_SECONDS})
return { known[1] or '', tonumber(known[2] or 0), known[3] or '', call('GET', p .. 'birth'),
  tonumber(call('GET', p .. 'version') or 0) }
`,
} as const;

/** One change of a record. */
export type RedisChange = {
  readonly kind: string;
  readonly key: string;
  /** JSON; undefined: removed. */
  readonly text: string | undefined;
  /** Only if the record is of this version, 0: not there. */
  readonly ifVersion?: number;
  /** Only if the record is of no later version. */
  readonly ifUpTo?: number;
};

/** The arguments of a change in `apply`. */
export function changeArguments({ kind, key, text, ifVersion, ifUpTo }: RedisChange): readonly string[] {
  const condition = ifVersion !== undefined ? `=${ifVersion}` : ifUpTo !== undefined ? `<${ifUpTo}` : '';
  return [`${text === undefined ? '-' : '+'}${condition}`, kind, key, text ?? ''];
}
