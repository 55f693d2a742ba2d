import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../src/cpim/xml.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { until } from '../support/until.ts';

test('what an XMPP contact is called in his vCard reaches SIP watchers as RFC 4482 has it; a nick counts before it', async () => {
  const stage = await PresenceStage.open({ presence: 'notifyIntervalSeconds: 0' });
  try {
    const { xmpp } = stage.world;
    const juliet = stage.contact('juliet@xmpp.example');
    const watching = await stage.watch('alice', 'sip:juliet@xmpp.example');
    await juliet.untilNews(1, 'she is asked');
    juliet.say({ to: 'alice', type: 'subscribed' });
    juliet.say({ to: 'alice', resource: 'balcony' });
    await watching.until(({ body }) => body.includes('open'));
    stage.clock.jump(3_000);
    const asked = await until(
      () =>
        xmpp.received.find(({ name, children }) => name === 'iq' && JSON.stringify(children).includes('vcard-temp')),
      { what: 'her vCard is asked for', withinMs: 5_000 },
    );
    assert.equal(asked.attrs['to'], 'juliet@xmpp.example');
    const card = `<FN>Juliet Capulet</FN><PHOTO><EXTVAL>https://capulet.example/j.png</EXTVAL></PHOTO>`;
    const back = `id='${asked.attrs['id']}' from='${asked.attrs['to']}' to='${asked.attrs['from']}'`;
    xmpp.send(readXml(`<iq type='result' ${back}><vCard xmlns='vcard-temp'>${card}</vCard></iq>`));
    const { body } = await watching.until(({ body }) => body.includes('Juliet Capulet'));
    assert.match(body, /display-name>Juliet Capulet</);
    assert.match(body, /icon>https:\/\/capulet\.example\/j\.png</);
    xmpp.send(
      readXml(
        `<message from='juliet@xmpp.example' to='${asked.attrs['from']}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/nick'><item id='1'><nick xmlns='http://jabber.org/protocol/nick'>Jule</nick></item></items></event></message>`,
      ),
    );
    const renamed = await watching.until(({ body }) => body.includes('display-name>Jule<'));
    assert.match(renamed.body, /icon>/);
  } finally {
    await stage.stop();
  }
});
