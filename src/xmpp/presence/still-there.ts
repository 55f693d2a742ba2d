import type { XmlElement } from '../../cpim/xml.ts';
import { type Pair, reversed, type Subscription } from '../../core/presence/subscription.ts';
import { bareJid, type Jid } from '../jid.ts';
import { jidFromAddress } from '../map-address.ts';
import { stanzaErrorIn, type Condition } from '../stanza-error.ts';
import { linkLeaseFrom, linkOfLease } from './link-lease.ts';
import { PING_NAMESPACE } from './own-caps.ts';
import type { LinkWay } from './presence-notifier.ts';
import type { XmppUpstream } from './xmpp-upstream.ts';

export type StillThereDeps = {
  readonly linkOf: (name: string) => LinkWay | undefined;
  readonly upstream: Pick<XmppUpstream, 'resourcesOf'>;
  /** The subscription of an XMPP watcher, over whichever link. */
  readonly subscriptionOf: (pair: Pair) => Subscription | undefined;
};

const PING: XmlElement = { name: 'ping', attrs: { xmlns: PING_NAMESPACE }, children: [] };

/** What is said of a client, or an account, that is not there. */
const ABSENT: ReadonlySet<Condition> = new Set([
  'gone',
  'item-not-found',
  'jid-malformed',
  'recipient-unavailable',
  'redirect',
  'service-unavailable',
]);

/**
 * Whether an XMPP watcher is still there to see what is asked for on his behalf: looked at before that is asked for again
 * (RFC 8048, section 8.1).
 *
 * Yes where he shows the presentity that he is available. Else the client from which he asked last is pinged (XEP-0199).
 * Where he never asked from one, his server is: an account of a server that answers counts as there until his client
 * has shown itself.
 *
 * Yes, too, where nobody can say: a client that has stayed does not ask again when the way to it is back, so that what
 * was let go meanwhile would be lost to it. Whoever left meanwhile is found out with the next look.
 */
export function stillThere(deps: StillThereDeps): (pair: Pair) => Promise<boolean> {
  return async (pair) => {
    const { watcher, presentity } = pair;
    const shown = deps.upstream.resourcesOf(reversed(pair));
    if (shown.some(({ isAvailable }) => isAvailable)) return true;
    const lease = linkLeaseFrom(deps.subscriptionOf(pair)?.lease);
    const way = lease === undefined ? undefined : deps.linkOf(linkOfLease(lease));
    if (lease === undefined || way === undefined) return false;
    const from = jidFromAddress(presentity, way.domains);
    const account = jidFromAddress(watcher, way.domains);
    if (from === undefined || account === undefined) return false;
    if (way.link.state().at !== 'up') return true;
    const { askedFrom } = lease;
    const to: Jid = askedFrom === undefined ? bareJid(account) : { ...account, resource: askedFrom };
    const answer = await way.requests.ask(from, to, PING);
    if (answer === undefined || answer.attrs['type'] === 'result') return true;
    const { condition } = stanzaErrorIn(answer);
    // A server need not serve pings to an account, and says the same then as for a client that is not there.
    return !ABSENT.has(condition) || (askedFrom === undefined && condition === 'service-unavailable');
  };
}
