import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receiptNames } from '../../../src/app/receipt-names.ts';
import { addressKey } from '../../../src/cpim/address.ts';
import type { Wants } from '../../../src/cpim/operation.ts';
import type { Origin } from '../../../src/core/admission.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { QueueEntry } from '../../../src/core/ports.ts';
import { ReceiptService } from '../../../src/core/receipts/receipt-service.ts';
import { aMessage, anAddress } from '../../support/builders.ts';
import { CoreWorld } from '../../support/core-world.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const NOW = 1_700_000_000_000;
const OFFICE: Origin = { kind: 'link', link: 'office', domain: 'xmpp.example' };
const names = receiptNames(Buffer.alloc(32, 7));
const asks: Wants = { as: 'stanza', id: 'from-juliet', delivered: true };
const toAlice = aMessage({ from: 'juliet@xmpp.example', to: 'alice@sip.example', wants: asks });
const toJuliet = aMessage({ wants: { as: 'imdn', id: '34jk324j', displayed: true } });

function aService({ isFull = false, isRefused = false, maySee = true } = {}): [ReceiptService, QueueEntry[]] {
  const added: QueueEntry[] = [];
  const service = new ReceiptService({
    names,
    admission: {
      admitReceipt: () => {
        if (isRefused) throw new GatewayError('rate-exceeded', 'too many');
      },
    },
    router: new CoreWorld().router,
    maySee: () => maySee,
    isOwn: (domain) => domain === 'sip.example',
    queue: {
      add: (entry) => {
        if (isFull) return Promise.reject(new GatewayError('queue-full', 'no room'));
        added.push(entry);
        return Promise.resolve('added');
      },
    },
    clock: { nowMs: () => NOW },
    log: new RecordingLog(),
    lifetimeMs: 7 * 86_400_000,
  });
  return [service, added];
}

const said = (status: 'delivered' | 'displayed', from = 'juliet@xmpp.example', to = 'alice@sip.example') => ({
  name: names.nameOf(toJuliet) ?? '',
  status,
  source: { address: anAddress(from) },
  destination: { address: anAddress(to) },
});

test('receipts: what a phone has taken is told who asked, for an hour, and counted for nobody’s messages', async () => {
  const [service, added] = aService();
  await service.delivered(toAlice);
  const [entry] = added;
  assert.equal(entry?.expiresAtMs, NOW + 3_600_000);
  assert.equal(entry.owner, 'receipts juliet@xmpp.example');
  assert.equal(entry.hop, 'link:office');
  assert.equal(addressKey(entry.operation.destination.address), 'juliet@xmpp.example');
  assert.deepEqual(entry.operation.op === 'disposition' && entry.operation.about, { as: 'stanza', id: 'from-juliet' });
});

test('receipts: nothing is told on behalf of a phone that was asked itself, or of one who may not be seen', async () => {
  const [service, added] = aService();
  await service.delivered({ ...toAlice, wants: { ...asks, as: 'imdn' } });
  await service.delivered(aMessage());
  const [hidden, ofHidden] = aService({ maySee: false });
  await hidden.delivered(toAlice);
  assert.deepEqual([...added, ...ofHidden], []);
});

test('receipts: an alias is whom the author knows', async () => {
  const [service, added] = aService();
  await service.delivered({ ...toAlice, writtenTo: { address: anAddress('info@sip.example') } });
  assert.equal(added[0]?.operation.source.address, 'info@sip.example');
});

test('receipts: only of the kind that was asked for, by whom it was for, to who asked, within the rate', async () => {
  const [service, added] = aService();
  await service.came(said('delivered'), OFFICE);
  await service.came(said('displayed', 'tybalt@xmpp.example'), OFFICE);
  await service.came(said('displayed', 'juliet@xmpp.example', 'bob@sip.example'), OFFICE);
  const [limited, ofLimited] = aService({ isRefused: true });
  await limited.came(said('displayed'), OFFICE);
  assert.deepEqual([...added, ...ofLimited], []);
  await service.came(said('displayed'), OFFICE);
  assert.deepEqual(
    added.map(({ id, hop }) => [id, hop]),
    [['s-m1', 'user:alice@sip.example']],
  );
});

test('receipts: no room for one is nobody’s failure', async () => {
  const [service] = aService({ isFull: true });
  await service.delivered(toAlice);
  await service.came(said('displayed'), OFFICE);
});
