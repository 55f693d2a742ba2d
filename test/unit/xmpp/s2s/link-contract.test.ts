import { xmppLinkContract, type LinkWorld } from '../../../contract/xmpp-link.ts';
import { FAR, OWN, s2sWorld } from '../../../support/s2s-world.ts';

const LIMITS = { window: 300, inboundMax: 20, stanzaBytesMax: 65_536, answerBytesMax: 200_000 };

for (const { name, sm } of [
  { name: 'with pings', sm: false },
  { name: 'with acknowledgements', sm: true },
]) {
  xmppLinkContract(`A link of S2sFederation ${name}`, async (): Promise<LinkWorld> => {
    const world = await s2sWorld({ limits: LIMITS, script: { sm } });
    const { link, peer, clock } = world;
    return {
      link,
      clock,
      own: OWN,
      far: FAR,
      window: LIMITS.window,
      inboundMax: LIMITS.inboundMax,
      stanzaBytesMax: LIMITS.stanzaBytesMax,
      end: () => world.end(),
      peer: {
        get received() {
          return peer.received;
        },
        get handshakes() {
          return peer.handshakes;
        },
        send: (stanza) => peer.send(stanza),
        sendRaw: (data) => peer.sendRaw(data),
        drop: () => peer.drop(),
        stop: () => peer.stop(),
        start: () => peer.start(),
        answering: (answers) => peer.answering(answers),
        freeze: () => peer.freeze(),
        thaw: () => peer.thaw(),
        trusting: (trusts) => {
          peer.script.verdict = trusts ? 'valid' : 'invalid';
        },
      },
    };
  });
}
