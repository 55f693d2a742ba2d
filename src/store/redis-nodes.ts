import type {
  LeaseView,
  LedgerAnswer,
  LedgerRequest,
  NodeLedger,
  NodeView,
  NodeWire,
} from '../core/nodes/node-ports.ts';
import type { RedisConnection } from './redis-connection.ts';
import { RedisEar } from './redis-ear.ts';

/**
 * One hash holds it all, so that a cluster has it in one place: `member:<name>`, `lease:<name>`, `fence`, the last number
 * given, and `lostUntil`, for a term after the ledger was found to have lost what it had. Times are those of the server,
 * one for all nodes.
 */
const TICK = `
local key = KEYS[1] .. 'nodes'
-- A Redis that is full refuses a script its first write, if that may need memory, and then no other: leases go on.
redis.call('HDEL', key, '')
local asked = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local me = asked.self
local members, leases, held, kept = {}, {}, {}, {}
-- What is of no form that a node writes holds nothing, and keeps nobody from anything.
local function read(kind, name, text)
  local isJson, entry = pcall(cjson.decode, text)
  if not isJson or type(entry) ~= 'table' or entry.name ~= name then return nil end
  if type(entry.run) ~= 'string' or type(entry.untilMs) ~= 'number' then return nil end
  if kind == 'member' then
    local isMember = type(entry.wants) == 'table' and type(entry.startedAtMs) == 'number'
    return isMember and type(entry.version) == 'string' and entry or nil
  end
  return type(entry.fence) == 'number' and type(entry.node) == 'string' and entry or nil
end
local unreadable = 0
local given, lostUntil = 0, 0
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  if all[i] == 'fence' then given = tonumber(all[i + 1]) or 0 end
  if all[i] == 'lostUntil' then lostUntil = tonumber(all[i + 1]) or 0 end
  local field, kind, name = all[i], string.match(all[i], '^(%a+):(.*)$')
  if kind == 'member' or kind == 'lease' then
    local entry = read(kind, name, all[i + 1])
    if not entry then unreadable = unreadable + 1
    elseif kind == 'member' then
      if entry.untilMs > now then members[name] = entry
      elseif entry.untilMs + 3600000 < now then redis.call('HDEL', key, field) end
    else
      leases[name] = entry
    end
  end
end
local known = members[me.name]
if known and known.run ~= me.run then return cjson.encode({ taken = known }) end
-- Whoever knows of a higher number than was ever given has it from before: of that term others may have to say, too.
local highest, isElsewhere = given, {}
for _, hold in ipairs(asked.holds) do highest = math.max(highest, hold.fence) end
for _, lease in ipairs(asked.seen or {}) do
  highest = math.max(highest, lease.fence)
  isElsewhere[lease.name] = true
end
if highest > given then
  lostUntil = now + asked.termMs
  redis.call('HSET', key, 'fence', highest, 'lostUntil', lostUntil)
end
local isLost = lostUntil > now
local function keep(lease)
  leases[lease.name] = lease
  redis.call('HSET', key, 'lease:' .. lease.name, cjson.encode(lease))
end
local function isWantedBy(member, name)
  if member.isLeaving then return false end
  for _, want in ipairs(member.wants) do
    if want == name then return true end
  end
  return false
end
for _, release in ipairs(asked.releases) do
  local lease = leases[release.name]
  if lease and lease.run == me.run and lease.fence == release.fence then
    leases[release.name] = nil
    redis.call('HDEL', key, 'lease:' .. release.name)
    for _, member in pairs(members) do
      if member.run == release.to and isWantedBy(member, release.name) then
        local fence = redis.call('HINCRBY', key, 'fence', 1)
        keep({ name = release.name, node = member.name, run = member.run, fence = fence, untilMs = now + asked.termMs })
      end
    end
  end
end
if asked.isLast then
  redis.call('HDEL', key, 'member:' .. me.name)
  members[me.name] = nil
else
  me.untilMs = now + asked.termMs
  members[me.name] = me
  redis.call('HSET', key, 'member:' .. me.name, cjson.encode(me))
end
for _, hold in ipairs(asked.holds) do
  local lease = leases[hold.name]
  if not lease and isLost then lease = { name = hold.name, node = me.name, run = me.run, fence = hold.fence } end
  if lease and lease.run == me.run and lease.fence == hold.fence then
    lease.note = hold.note
    lease.untilMs = now + asked.termMs
    kept[hold.name] = true
    keep(lease)
  end
end
for name, lease in pairs(leases) do
  if lease.untilMs > now then held[lease.run] = (held[lease.run] or 0) + 1 end
end
if not asked.isLast and not me.isLeaving then
  for _, name in ipairs(me.wants) do
    local lease = leases[name]
    -- What is its own and was not named as held is held by it anew.
    local isFree
    if lease then isFree = lease.untilMs <= now or (lease.run == me.run and not kept[name])
    else isFree = not (isLost and isElsewhere[name]) end
    if isFree then
      local mine = held[me.run] or 0
      local isFewest = true
      for _, member in pairs(members) do
        if member.run ~= me.run and (held[member.run] or 0) < mine and isWantedBy(member, name) then isFewest = false end
      end
      if isFewest then
        held[me.run] = mine + 1
        local fence = redis.call('HINCRBY', key, 'fence', 1)
        keep({ name = name, node = me.name, run = me.run, fence = fence, untilMs = now + asked.termMs })
      end
    end
  end
end
local answer = { nodes = {}, leases = {}, unreadable = unreadable }
for _, member in pairs(members) do answer.nodes[#answer.nodes + 1] = member end
for _, lease in pairs(leases) do
  if lease.untilMs > now then answer.leases[#answer.leases + 1] = lease end
end
return cjson.encode(answer)
`;

/** The NodeLedger in Redis: one script for each look, carried out at once or not at all. */
export class RedisLedger implements NodeLedger {
  readonly #connection: RedisConnection;
  #unreadable = 0;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    connection.define('tick', TICK);
  }

  async tick(request: LedgerRequest): Promise<LedgerAnswer> {
    const said = await this.#connection.run('tick', JSON.stringify(request));
    const answer = JSON.parse(String(said)) as Readonly<{
      taken?: NodeView;
      nodes?: unknown;
      leases?: unknown;
      unreadable?: number;
    }>;
    this.#tell(answer.unreadable ?? 0);
    if (answer.taken !== undefined) return { kind: 'taken', by: nodeFrom(answer.taken) };
    const nodes = listOf(answer.nodes).map((node) => nodeFrom(node as NodeView));
    const leases = listOf(answer.leases) as readonly LeaseView[];
    return { kind: 'done', nodes: nodes.sort(byName), leases: leases.map(leaseFrom).sort(byName) };
  }

  /** Once for each number of them, not with each look. */
  #tell(unreadable: number): void {
    if (unreadable === this.#unreadable) return;
    this.#unreadable = unreadable;
    if (unreadable === 0) return;
    const fields = {
      key: this.#connection.key('nodes'),
      count: unreadable,
      remedy: 'see who else writes there, give him another prefix, and delete the fields that are not JSON of a node',
    };
    this.#connection.log.warn(fields, 'entries of nodes cannot be read and count as not there');
  }
}

/** An empty list comes out of Lua as an empty object. */
function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function nodeFrom({ name, run, startedAtMs, version, addresses, isLeaving, wants }: NodeView): NodeView {
  return {
    name,
    run,
    startedAtMs,
    version,
    addresses: listOf(addresses) as readonly string[],
    isLeaving,
    wants: listOf(wants) as readonly string[],
  };
}

function leaseFrom({ name, node, run, fence, note }: LeaseView): LeaseView {
  return { name, node, run, fence, ...(note === undefined ? {} : { note }) };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** The NodeWire over the channels of Redis: one for each process, one for all. */
export class RedisWire implements NodeWire {
  readonly #connection: RedisConnection;
  readonly #all: string;
  #ear: RedisEar | undefined;
  #run = '';

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#all = connection.key('nodes:all');
  }

  async open(run: string, { onText, onInterrupted }: Parameters<NodeWire['open']>[1]): Promise<void> {
    this.#run = run;
    this.#ear = new RedisEar(this.#connection, [this.#channelOf(run), this.#all], {
      onText: (channel, text) => {
        // To all is told with the sender's run before it: he is not told himself.
        if (channel !== this.#all) onText(text);
        else if (!text.startsWith(`${run} `)) onText(text.slice(text.indexOf(' ') + 1));
      },
      onInterrupted,
    });
    await this.#ear.open();
  }

  async send(run: string, text: string): Promise<boolean> {
    const listeners = await this.#connection.publish(this.#channelOf(run), text);
    return listeners > 0 || this.#connection.isCluster;
  }

  sendAll(text: string): void {
    this.#connection.publish(this.#all, `${this.#run} ${text}`).catch((error: unknown) => {
      this.#connection.log.debug({ error }, 'word to all nodes was not sent');
    });
  }

  close(): Promise<void> {
    this.#ear?.close();
    return Promise.resolve();
  }

  #channelOf(run: string): string {
    return this.#connection.key(`node:${run}`);
  }
}
