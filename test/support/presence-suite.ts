import { after, before, describe } from 'node:test';
import { needs } from './peers.ts';
import { presenceDetailTests } from './presence-detail-tests.ts';
import { presenceOutageTests } from './presence-outage-tests.ts';
import { presenceRosterTests } from './presence-roster-tests.ts';
import { RosterStage } from './roster-stage.ts';
import type { ComponentHost, XmppServerOptions } from './xmpp-server.ts';

/**
 * What every XMPP server's rosters and we must agree on, seen from phones and from two XMPP clients, `@xmpp/client` and
 * slixmpp.
 */
export function presenceSuite(
  name: 'prosody' | 'ejabberd',
  startXmppServer: (options: XmppServerOptions) => Promise<ComponentHost>,
): void {
  describe(`${name}: presence`, needs(name, 'slixmpp'), () => {
    let stage: RosterStage;

    before(async () => {
      stage = await RosterStage.open(name, startXmppServer);
    });
    after(() => stage.close());

    presenceRosterTests(name, () => stage);
    presenceDetailTests(name, () => stage);
    // Last: they stop and kill what the others use.
    presenceOutageTests(name, () => stage);
  });
}
