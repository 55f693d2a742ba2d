import { xmppLinkContract, type LinkWorld } from '../../contract/xmpp-link.ts';
import { componentWorld } from '../../support/component-world.ts';

const LIMITS = { window: 300, inboundMax: 20, stanzaBytesMax: 65_536, answerBytesMax: 200_000 };

xmppLinkContract('ComponentLink', async (): Promise<LinkWorld> => {
  const world = await componentWorld({ limits: LIMITS });
  const { link, server, clock } = world;
  return {
    link,
    clock,
    own: 'sip.xmpp.example',
    far: 'xmpp.example',
    window: LIMITS.window,
    inboundMax: LIMITS.inboundMax,
    stanzaBytesMax: LIMITS.stanzaBytesMax,
    end: () => world.end(),
    peer: {
      get received() {
        return server.received;
      },
      get handshakes() {
        return server.handshakes;
      },
      send: (stanza) => server.send(stanza),
      sendRaw: (data) => server.sendRaw(data),
      drop: () => server.drop(),
      stop: () => server.stop(),
      start: () => server.start(),
      answering: (answers) => server.answering(answers),
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      trusting: (trusts) => {
        server.script.secret = trusts ? 'a shared secret' : 'another secret';
      },
    },
  };
});
