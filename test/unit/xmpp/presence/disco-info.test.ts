import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../../../src/cpim/xml.ts';
import { capsVer, isVerified, readDiscoInfo } from '../../../../src/xmpp/presence/disco-info.ts';
import { USER_CAPS, USER_INFO } from '../../../../src/xmpp/presence/own-caps.ts';

const query = (children: string): string => `<query xmlns='http://jabber.org/protocol/disco#info'>${children}</query>`;
const features = (...names: readonly string[]): string => names.map((name) => `<feature var='${name}'/>`).join('');
const DISCO = 'http://jabber.org/protocol/disco#info';
const SIMPLE =
  `<identity category='client' name='Exodus 0.9.1' type='pc'/>` +
  features(
    'http://jabber.org/protocol/caps',
    DISCO,
    'http://jabber.org/protocol/disco#items',
    'http://jabber.org/protocol/muc',
  );
const FORM =
  `<x xmlns='jabber:x:data' type='result'>` +
  `<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>` +
  `<field var='ip_version'><value>ipv4</value><value>ipv6</value></field>` +
  `<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>` +
  `<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x>`;
const COMPLEX =
  `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>` +
  `<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>` +
  features('http://jabber.org/protocol/caps', DISCO, 'http://jabber.org/protocol/disco#items', 'http://jabber.org/protocol/muc') +
  FORM; // prettier-ignore

for (const [what, children, ver] of [
  ['simple (XEP-0115, section 5.2)', SIMPLE, 'QgayPKawpkPSDYmwT/WM94uAlu0='],
  ['complex (XEP-0115, section 5.3)', COMPLEX, 'q07IKJEyjvHSyhy//CH0CxmKi8w='],
  ['a form without a hidden FORM_TYPE is ignored', SIMPLE + FORM.replace(` type='hidden'`, ''), 'QgayPKawpkPSDYmwT/WM94uAlu0='],
] as const) {
  test(`caps: ${what}`, () => {
    const info = readDiscoInfo(readXml(query(children)));
    assert.equal(capsVer(info!, 'sha-1'), ver);
    assert.equal(isVerified({ hash: 'sha-1', node: 'n', ver }, info!), true);
    assert.equal(isVerified({ hash: 'sha-256', node: 'n', ver }, info!), false);
    assert.equal(capsVer(info!, 'md5'), undefined);
  });
} // prettier-ignore

for (const [what, children] of [
  ['an identity that is there twice', `${SIMPLE}<identity category='client' name='Exodus 0.9.1' type='pc'/>`],
  ['a feature that is there twice', SIMPLE + features(DISCO)],
  ['a form that is there twice', COMPLEX + FORM],
  ['a FORM_TYPE of two kinds', SIMPLE + FORM.replace('<value>urn', '<value>x</value><value>urn')],
  ['too many features', Array.from({ length: 1_001 }, (_, number) => features(`f${number}`)).join('')],
] as const) {
  test(`caps: ${what} is ill-formed (XEP-0115, section 5.4)`, () => {
    assert.equal(readDiscoInfo(readXml(query(children))), undefined);
  });
}

test('caps: ours are what disco#info of our users says, and ask for what is mapped', () => {
  assert.equal(isVerified(USER_CAPS, USER_INFO), true);
  for (const node of ['mood', 'activity', 'geoloc', 'nick']) {
    assert.ok(USER_INFO.features.includes(`http://jabber.org/protocol/${node}+notify`), node);
  }
});
