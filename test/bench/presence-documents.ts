/**
 * How long it takes to read and to write a usual PIDF document of about 1 kB, and the small one that stands for one XMPP
 * resource. Prints one JSON line each.
 */
import { readPidf, writePidf } from '../../src/cpim/presence/pidf.ts';

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '2');

/** What a phone with a screen publishes. */
const USUAL = `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:juliet@example.com">
 <tuple id="t4109">
  <status><basic>open</basic></status>
  <service-description xmlns="urn:oma:xml:prs:pidf:oma-pres"><service-id>org.3gpp.urn:urn-7:3gpp-application.ims.iari.rcse.im</service-id><version>1.0</version></service-description>
  <dm:deviceID>urn:uuid:d27459b7-8213-4395-aa77-ed859a3e5b3a</dm:deviceID>
  <contact priority="0.8">sip:juliet@example.com;gr=urn:uuid:d27459b7-8213-4395-aa77-ed859a3e5b3a</contact>
  <note xml:lang="en">On the balcony</note>
  <timestamp>2025-10-27T16:49:29Z</timestamp>
 </tuple>
 <dm:person id="p4159">
  <rpid:activities><rpid:on-the-phone/></rpid:activities>
  <rpid:mood><rpid:in_love/></rpid:mood>
  <dm:note xml:lang="en">On the phone</dm:note>
  <dm:timestamp>2025-10-27T16:49:29Z</dm:timestamp>
 </dm:person>
</presence>`;
const SMALL =
  `<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:juliet@example.com'>` +
  `<tuple id='ID-yn0cl4bnw0yr3vym'><status><basic>open</basic><show xmlns='jabber:client'>away</show></status></tuple></presence>`;

/** Microseconds for one, by the clock and by CPU time. */
function measured(act: () => unknown): { readonly us: number; readonly cpuUs: number } {
  const stop = process.hrtime.bigint() + BigInt(Math.round(SECONDS * 1e9));
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  let count = 0;
  let now = start;
  while (now < stop) {
    for (let turn = 0; turn < 200; turn += 1) act();
    count += 200;
    now = process.hrtime.bigint();
  }
  const { user, system } = process.cpuUsage(cpu);
  const rounded = (us: number): number => Math.round(us * 100) / 100;
  return { us: rounded(Number(now - start) / 1e3 / count), cpuUs: rounded((user + system) / count) };
}

for (const [name, text] of Object.entries({ usual: USUAL, small: SMALL })) {
  const document = readPidf(text);
  measured(() => readPidf(text));
  const read = measured(() => readPidf(text));
  measured(() => writePidf(document));
  const write = measured(() => writePidf(document));
  const bytes = { read: Buffer.byteLength(text), written: Buffer.byteLength(writePidf(document)) };
  process.stdout.write(`${JSON.stringify({ bench: 'presence-documents', document: name, read, write, bytes })}\n`);
}
