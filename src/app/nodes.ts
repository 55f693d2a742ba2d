import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isNodeName, parseListen } from '../core/config/values.ts';
import { GatewayError } from '../core/errors.ts';
import type { DeliveryElsewhere, DeliveryService } from '../core/delivery-service.ts';
import { LeaseSpread } from '../core/nodes/lease-spread.ts';
import { Membership } from '../core/nodes/membership.ts';
import { NodeBus } from '../core/nodes/node-bus.ts';
import { errorFrom, plainError, type PlainError } from '../core/nodes/plain-error.ts';
import type { Settlement } from '../core/settlements.ts';
import type { Address } from '../cpim/address.ts';
import type { NodesReport } from '../http/routes-nodes.ts';
import type { NonceOptions, NonceUse } from '../sip/nonces.ts';
import type { SipListener } from '../sip/stack.ts';
import type { RedisConnection } from '../store/redis-connection.ts';
import { isLinkLease } from '../xmpp/owned-link.ts';
import type { AppOptions } from './options.ts';
import { PRESENCE_LEASE } from './presence-keeper.ts';

const RUN_BYTES = 9;
const SECRET_BYTES = 32;
/** A sender waits no longer for the outcome; he is told otherwise then. */
const SETTLE_MS = 2_000;
/** Links are spread no sooner than this after a node has come or gone, and one after the other with a pause between, ms. */
const SPREAD = { quietMs: 30_000, pauseMs: 5_000 };

/** This node and the way to the others. */
export type Nodes = {
  readonly members: Membership;
  readonly bus: NodeBus;
  /** Lets links go to nodes that have fewer. */
  readonly spread: LeaseSpread;
  /** Of all nodes: each takes a nonce that another has issued, and knows the device that another has given a GRUU. */
  readonly secrets: { readonly nonce: Uint8Array; readonly gruu: Uint8Array };
  close(): Promise<void>;
};

/**
 * Joins the nodes on the Redis of the configuration.
 *
 * @throws GatewayError 'conflict' when a node of this name runs already, 'store-unavailable'.
 */
export async function joinNodes({ config, version, clock, log, spread: pace }: AppOptions): Promise<Nodes | undefined> {
  if (config.store === undefined) return undefined;
  // Loaded when wanted: a server on the embedded store does not pay for it at its start.
  const [{ RedisConnection }, { RedisLedger, RedisWire }] = await Promise.all([
    import('../store/redis-connection.ts'),
    import('../store/redis-nodes.ts'),
  ]);
  const connection = await RedisConnection.open(config.store, log);
  const self = {
    name: config.node ?? hostName(),
    run: randomBytes(RUN_BYTES).toString('base64url'),
    startedAtMs: clock.nowMs(),
    version,
  };
  const members: Membership = new Membership({
    ledger: new RedisLedger(connection),
    nudge: () => bus.nudge(),
    self,
    clock,
    log,
  });
  const bus: NodeBus = new NodeBus({
    wire: new RedisWire(connection),
    self,
    nodeOf: (name) => members.node(name),
    onNudge: () => void members.look(),
    clock,
    log,
  });
  const spread = new LeaseSpread({
    members,
    bus,
    // There is one at a time, and it is known to all who that is.
    decides: () => members.holderOf(PRESENCE_LEASE)?.run === members.run,
    isMovable: isLinkLease,
    ...(pace ?? SPREAD),
    clock,
    log,
  });
  try {
    await bus.open();
    await members.join();
    spread.start();
    members.onChange(() => bus.nodesChanged(new Set(members.nodes.map(({ run }) => run))));
    const secrets = { nonce: await sharedSecret(connection, 'nonce'), gruu: await sharedSecret(connection, 'gruu') };
    log.info({ node: self.name, nodes: members.nodes.length }, 'node has joined');
    return {
      members,
      bus,
      spread,
      secrets,
      close: async () => {
        spread.stop();
        await members.leave();
        await bus.close();
        connection.close();
      },
    };
  } catch (thrown) {
    spread.stop();
    members.abandon();
    await bus.close();
    connection.close();
    throw thrown;
  }
}

/** What `interpres nodes` and `GET /nodes` show. */
export function nodesReport({ members, spread }: Nodes): NodesReport {
  const { count, last } = spread.report;
  return {
    node: members.name,
    isHeard: members.isHeard,
    handOvers: { count, ...(last === undefined ? {} : { last }) },
    nodes: members.nodes.map(({ name, startedAtMs, version, addresses, isLeaving, run }) => ({
      name,
      startedAtMs,
      version,
      addresses,
      isLeaving,
      owns: members.leases.filter((lease) => lease.run === run).map((lease) => lease.name),
    })),
  };
}

/** What the delivery service says to other nodes, and hears of them. */
export function deliveryElsewhere(
  { members, bus }: Nodes,
  delivery: () => Pick<DeliveryService, 'settledElsewhere' | 'failedHere'>,
): DeliveryElsewhere {
  bus.serve('delivery:settled', (value) => {
    const { id, settlement } = value as { id: string; settlement: PlainSettlement };
    return delivery().settledElsewhere(id, settlementFrom(settlement));
  });
  bus.serve('delivery:failed', (value) => {
    const { id, error, from } = value as { id: string; error: PlainError; from: Address };
    delivery().failedHere(id, errorFrom(error), from);
  });
  return {
    node: members.name,
    settle: (node, id, settlement) =>
      bus.call(node, 'delivery:settled', { id, settlement: plainSettlement(settlement) }, SETTLE_MS).then(
        (isTold) => isTold === true,
        () => false,
      ),
    failedLater: (id, error, from) => bus.tell('delivery:failed', { id, error: plainError(error), from }),
  };
}

/** What nodes share of their nonces: `usedElsewhere` hears what others say. */
export function sharedNonces(
  { bus, secrets }: Nodes,
  usedElsewhere: (use: NonceUse) => void,
): Pick<NonceOptions, 'secret' | 'onUsed'> {
  bus.serve('nonce:used', (use) => usedElsewhere(use as NonceUse));
  return { secret: secrets.nonce, onUsed: (use) => bus.tell('nonce:used', use) };
}

/** Listeners as all nodes see them. */
export function shownAddresses(listeners: readonly SipListener[]): readonly string[] {
  return listeners.map(({ transport, address, port }) => {
    const host = address.includes(':') ? `[${address}]` : address;
    return `${transport}://${host}:${port}`;
  });
}

/** Where the other nodes listen: no contact may lead there. */
export function otherListeners(nodes: Nodes | undefined): readonly SipListener[] {
  if (nodes === undefined) return [];
  return nodes.members.nodes.flatMap(({ addresses }) => addresses.flatMap((text) => parseListen(text) ?? []));
}

type PlainSettlement =
  { readonly kind: 'delivered' | 'pending' } | { readonly kind: 'failed'; readonly error: PlainError };

function plainSettlement(settlement: Settlement): PlainSettlement {
  return settlement.kind === 'failed' ? { kind: 'failed', error: plainError(settlement.error) } : settlement;
}

function settlementFrom(settlement: PlainSettlement): Settlement {
  return settlement.kind === 'failed'
    ? { kind: 'failed', error: errorFrom(settlement.error) }
    : { kind: settlement.kind };
}

/** A secret that the first node has made. */
async function sharedSecret(connection: RedisConnection, name: string): Promise<Uint8Array> {
  const key = connection.key(`secret:${name}`);
  const secret = await connection.ask(async (client) => {
    await client.set(key, randomBytes(SECRET_BYTES).toString('base64url'), 'NX');
    return client.get(key);
  });
  if (secret === null) throw new GatewayError('store-unavailable', 'Redis keeps no secret for the nodes');
  return Buffer.from(secret, 'base64url');
}

/** The host's name as a node's. */
function hostName(): string {
  const name = hostname().slice(0, 63);
  return isNodeName(name) ? name : 'node';
}
