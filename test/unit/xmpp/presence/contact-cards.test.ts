import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContactCard } from '../../../../src/cpim/presence/document.ts';
import { readXml, type XmlElement } from '../../../../src/cpim/xml.ts';
import { cardFromVcard, ContactCards } from '../../../../src/xmpp/presence/contact-cards.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { DOMAINS } from '../../../support/xmpp-presence-world.ts';

const card = (content: string): ContactCard | undefined =>
  cardFromVcard(readXml(`<vCard xmlns='vcard-temp'>${content}</vCard>`));

const ROWS: ReadonlyArray<readonly [content: string, card: ContactCard | undefined]> = [
  ['', undefined],
  ['<FN> Juliet\n Capulet </FN>', { displayName: 'Juliet  Capulet' }],
  ['<NICKNAME>jule</NICKNAME>', { displayName: 'jule' }],
  ['<FN/><NICKNAME>jule</NICKNAME>', { displayName: 'jule' }],
  [
    '<PHOTO><EXTVAL>https://a.example/x.png</EXTVAL></PHOTO><URL>http://j.example/</URL>',
    { icon: 'https://a.example/x.png', homepage: 'http://j.example/' },
  ],
  ['<PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO><URL>javascript:x</URL>', undefined],
];
for (const [content, expected] of ROWS) {
  test(`card of a contact: ${content || 'an empty vCard'}`, () => {
    const found = card(content);
    assert.deepEqual(found === undefined ? found : { ...found }, expected);
  });
}

test('cards: each contact is asked once, a few at a time; no answer is asked again, none at all is not', async () => {
  const clock = new FakeClock();
  const asked: string[] = [];
  const answer = (to: string): XmlElement | undefined =>
    to.startsWith('silent')
      ? undefined
      : to.startsWith('none')
        ? readXml(`<iq type='error'><error type='cancel'/></iq>`)
        : readXml(`<iq type='result'><vCard xmlns='vcard-temp'><FN>${to}</FN></vCard></iq>`);
  const cards = new ContactCards({
    linkOf: () => ({
      domains: DOMAINS,
      requests: {
        ask: (_from: unknown, { local = '' }: { local?: string }) => {
          asked.push(local);
          return Promise.resolve(answer(local));
        },
      } as never,
    }),
    clock,
  });
  const told: string[] = [];
  const want = (contact: string): void =>
    cards.want(
      { watcher: anAddress('romeo@sip.example'), presentity: anAddress(`${contact}@xmpp.example`), link: 'office' },
      ({ displayName = '' }) => void told.push(displayName),
    );
  for (const contact of ['a', 'b', 'c', 'd', 'none', 'silent', 'a']) want(contact);
  await clock.advanceAsync(2_900);
  assert.deepEqual(asked, []);
  await clock.advanceAsync(200);
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'none']);
  await clock.advanceAsync(600);
  assert.deepEqual(told, ['a', 'a', 'b', 'c', 'd']);
  for (const contact of ['a', 'none', 'silent']) want(contact);
  await clock.advanceAsync(4_000);
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'none', 'silent', 'silent']);
  assert.deepEqual(told.at(-1), 'a');
  cards.stop();
});
