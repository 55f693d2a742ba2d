import { LINK_LIMITS, xmppLinkContract, type LinkWorld } from '../../../contract/xmpp-link.ts';
import { FAR, OWN, s2sWorld } from '../../../support/s2s-world.ts';

for (const { name, sm } of [
  { name: 'with pings', sm: false },
  { name: 'with acknowledgements', sm: true },
]) {
  xmppLinkContract(`A link of S2sFederation ${name}`, async (): Promise<LinkWorld> => {
    const { link, peer, clock, end } = await s2sWorld({ limits: LINK_LIMITS, script: { sm } });
    const trusting = (trusts: boolean): void => void (peer.script.verdict = trusts ? 'valid' : 'invalid');
    return { link, peer, clock, own: OWN, far: FAR, trusting, end };
  });
}
