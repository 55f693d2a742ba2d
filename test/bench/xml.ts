/**
 * How many 300-byte stanzas the stream reader takes in a second, and what reading and writing them back makes of it.
 * Prints one JSON line each.
 */
import { writeXml, XmlStreamReader } from '../../src/cpim/xml.ts';
import type { XmlElement } from '../../src/cpim/xml.ts';

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '2');
const BODY = 'Art thou not Romeo, and a Montague? '.repeat(3).trim();
const STANZA =
  '<message from="juliet@example.com/balcony" to="romeo@sip.example" type="chat" id="ktx72v49" xml:lang="en">' +
  `<body>${BODY}</body><thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread>` +
  '<active xmlns="http://jabber.org/protocol/chatstates"/></message>';
const PER_WRITE = 50;

const wire = STANZA.repeat(PER_WRITE);

/** Stanzas per second, by the clock and by CPU time (on a machine that others use the second is the true one). */
type Rate = { readonly perSecond: number; readonly perCpuSecond: number };

/** One run; `perElement` is done to each stanza read. */
function measured(perElement: (element: XmlElement) => void): Rate {
  let count = 0;
  const reader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: (element) => {
      count += 1;
      perElement(element);
    },
    onClose: () => undefined,
    onError: (error) => {
      throw error;
    },
  });
  reader.write('<stream:stream xmlns="jabber:component:accept" xmlns:stream="http://etherx.jabber.org/streams">');
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const stop = start + BigInt(Math.round(SECONDS * 1e9));
  let now = start;
  while (now < stop) {
    for (let turn = 0; turn < 20; turn += 1) reader.write(wire);
    now = process.hrtime.bigint();
  }
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: Math.round((count * 1e9) / Number(now - start)),
    perCpuSecond: Math.round((count * 1e6) / (user + system)),
  };
}

measured(() => undefined);
const bytes = Buffer.byteLength(STANZA);
process.stdout.write(`${JSON.stringify({ bench: 'xml-stream', ...measured(() => undefined), bytes })}\n`);
process.stdout.write(`${JSON.stringify({ bench: 'xml-stream-and-write', ...measured(writeXml), bytes })}\n`);
