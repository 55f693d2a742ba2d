import { hidesAuthor } from '../cpim/privacy.ts';
import { GatewayError } from '../core/errors.ts';
import type { Clock, Delivery, OperationSender, Route } from '../core/ports.ts';
import type { ReceiptNames } from '../core/receipts/receipt-names.ts';
import type { XmppLink } from './link.ts';
import type { ComponentDomains } from './map-address.ts';
import { stanzaFromDisposition, stanzaFromMessage, stanzaFromReport } from './map-message.ts';
import { elementFromMessage } from './stanza.ts';

export type LinkSenderDeps = {
  /** A link by its name in the configuration, and the names of the domain it stands for. */
  readonly linkOf: (name: string) =>
    | {
        readonly link: XmppLink;
        readonly domains: ComponentDomains;
        /** Whose account it is, where it is one's: everything over it is from him. */
        readonly owner?: string;
      }
    | undefined;
  /** What a message is called by which its recipient may tell what became of it; absent: nobody is asked. */
  readonly nameOf?: ReceiptNames['nameOf'];
  readonly clock: Pick<Clock, 'nowMs'>;
};

/**
 * Sends operations over links: a message as a message stanza, a report as the error stanza for the stanza it is about.
 *
 * `send` has given the stanza to the link before it returns, so that the order of calls is the order on the stream.
 * It resolves when the link has confirmed it.
 */
export function linkSender(deps: LinkSenderDeps): OperationSender {
  return {
    async send(delivery: Delivery, route: Route): Promise<void> {
      if (route.kind !== 'link') throw new GatewayError('internal', 'route does not lead over a link');
      const found = deps.linkOf(route.link);
      if (found === undefined) throw new GatewayError('peer-unknown', `no link ${route.link}`);
      const { link, domains, owner } = found;
      const { operation, maybeSent } = delivery;
      if (operation.op === 'report') {
        await link.send(elementFromMessage(stanzaFromReport(operation, domains)));
        return;
      }
      if (operation.op === 'disposition') {
        await link.send(elementFromMessage(stanzaFromDisposition(operation, domains)));
        return;
      }
      // RFC 7247, section 8: what was asked to be secure all the way does not go on into XMPP.
      if (operation.secure === true) throw new GatewayError('scheme-unsupported', 'sips message for an XMPP recipient');
      if (owner !== undefined && hidesAuthor(operation.privacy)) {
        // RFC 3323, section 5: what cannot be kept from others is not sent to them.
        const text = 'An account on an XMPP service cannot write without its name.';
        throw new GatewayError('policy-violated', 'a sender without a name over his account', {
          details: { status: 500, text },
        });
      }
      const name = deps.nameOf?.(operation);
      const context = { domains, maybeSent, nowMs: deps.clock.nowMs(), ...(name === undefined ? {} : { name }) };
      await link.send(elementFromMessage(stanzaFromMessage(operation, context)));
    },
  };
}
