import { LINK_LIMITS, xmppLinkContract, type LinkWorld } from '../../contract/xmpp-link.ts';
import { componentWorld } from '../../support/component-world.ts';

xmppLinkContract('ComponentLink', async (): Promise<LinkWorld> => {
  const { link, server, clock, end, trusting } = await componentWorld({ limits: LINK_LIMITS });
  return { link, peer: server, clock, own: 'sip.xmpp.example', far: 'xmpp.example', trusting, end };
});
