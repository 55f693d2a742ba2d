import type { LocalizedText } from '../operation.ts';
import { type XmlElement, writeXml } from '../xml.ts';
import type { Basic, Person, PresenceDocument, Show, Tuple } from './document.ts';
import { priorityText, thousandthsOf } from './priority.ts';
import { Reading, readPresenceXml, tokenOf } from './reading.ts';
import { type Child, childIn, Scope } from './scope.ts';

/** The one document type declaration that these documents have; there is nothing in it to be read. */
const DOCTYPE =
  /^(\s{0,64}(?:<\?xml [^<>]{0,200}\?>\s{0,64})?)<!DOCTYPE\s+presence\s+PUBLIC\s+"[^"<>[\]]{0,200}"\s+"[^"<>[\]]{0,200}"\s*>/;

/** A status of Windows Messenger, with which the format lived on, and what it says in ours. */
type Substatus = { readonly show?: Show; readonly activity?: string };
const SUBSTATUS: ReadonlyMap<string, Substatus> = new Map([
  ['away', { show: 'away', activity: 'away' }],
  ['berightback', { show: 'away', activity: 'away' }],
  ['busy', { show: 'dnd', activity: 'busy' }],
  ['idle', { show: 'away' }],
  ['onthephone', { show: 'dnd', activity: 'on-the-phone' }],
  ['outtolunch', { show: 'away', activity: 'meal' }],
]);
const SUBSTATUS_OF_ACTIVITY: ReadonlyMap<string, string> = new Map([
  ['on-the-phone', 'onthephone'],
  ['meal', 'outtolunch'],
  ['breakfast', 'outtolunch'],
  ['dinner', 'outtolunch'],
]);

/**
 * Reads `application/xpidf+xml`, the presence format of before RFC 3863 that old phones, Windows Messenger and exchanges
 * send: `presence`, `presentity uri`, and an `atom` with addresses for each service.
 *
 * Each address becomes a tuple, its substatus the show and, where it names what somebody does, an activity of a person.
 * Atom ids are any text; one that is no XML ID is encoded as that of an instance.
 *
 * @throws ContentError 'malformed', naming place and fault
 */
export function readXpidf(text: string): PresenceDocument {
  return xpidfFromXml(readPresenceXml(withoutDoctype(text), 'XPIDF'));
}

/** The text without the document type declaration of XPIDF; any other one stays, and is refused. */
export function withoutDoctype(text: string): string {
  return text.replace(DOCTYPE, '$1');
}

export function xpidfFromXml(root: XmlElement): PresenceDocument {
  const reading = new Reading('XPIDF', true);
  const { scope, local, element } = childIn(Scope.outside(), root);
  if (local !== 'presence') throw reading.fault('root', 'expected presence');
  const tuples: Tuple[] = [];
  let entity: string | undefined;
  let activity: string | undefined;
  for (const child of scope.childrenOf(element)) {
    if (child.local === 'presentity') entity ??= withoutMethod(child.element.attrs['uri'] ?? '');
    else if (child.local === 'atom') {
      for (const { tuple, doing } of readAtom(child, reading, tuples.length)) {
        reading.addTo(tuples, tuple, `atom ${tuples.length + 1}`, 'addresses');
        activity ??= doing;
      }
    }
  }
  if (entity === undefined || entity === '') throw reading.fault('presence', 'has no presentity with a uri');
  const persons: Person[] = [];
  if (activity !== undefined) {
    const rich = { activities: { values: [{ name: activity }] } };
    persons.push({ id: reading.id(undefined, 'person'), rich, notes: [], extensions: [] });
  }
  return { entity, tuples, persons, devices: [], notes: [], extensions: [] };
}

/** `sip:a@b;method=SUBSCRIBE`, also as `sip:a@b;method="SUBSCRIBE"`. */
function withoutMethod(uri: string): string {
  return uri.trim().replace(/;method=[^;?]*/i, '');
}

function readAtom(atom: Child, reading: Reading, before: number): Array<{ tuple: Tuple; doing: string | undefined }> {
  const read: Array<{ tuple: Tuple; doing: string | undefined }> = [];
  for (const address of atom.scope.childrenOf(atom.element)) {
    if (address.local !== 'address') continue;
    const where = `atom ${before + read.length + 1}`;
    // Of several addresses the first has the id of the atom.
    const id = reading.id(read.length === 0 ? atom.element.attrs['id'] : undefined, where);
    read.push(readAddress(address, id, reading, where));
  }
  return read;
}

function readAddress(
  address: Child,
  id: string,
  reading: Reading,
  where: string,
): { tuple: Tuple; doing: string | undefined } {
  const notes: LocalizedText[] = [];
  let basic: Basic | undefined;
  let substatus: Substatus | undefined;
  for (const child of address.scope.childrenOf(address.element)) {
    if (child.local === 'status') {
      const status = (child.element.attrs['status'] ?? tokenOf(child)).trim().toLowerCase();
      // Exchanges say `inuse` of a phone that is busy, and so reachable.
      basic = status === 'open' || status === 'inuse' ? 'open' : 'closed';
      if (status === 'inuse') substatus ??= SUBSTATUS.get('busy');
    } else if (child.local === 'msnsubstatus') {
      const named = child.element.attrs['substatus']?.trim().toLowerCase() ?? '';
      substatus = SUBSTATUS.get(named) ?? substatus;
    } else if (child.local === 'note') reading.addNote(notes, child, where);
  }
  if (basic === undefined) throw reading.fault(where, 'has an address without status');
  const uri = address.element.attrs['uri']?.trim() ?? '';
  const priority = thousandthsOf(address.element.attrs['priority']);
  const contact = uri === '' ? undefined : { uri, ...(priority === undefined ? {} : { priority }) };
  const tuple: Tuple = {
    id,
    basic,
    ...(basic === 'open' && substatus?.show !== undefined ? { show: substatus.show } : {}),
    statusExtensions: [],
    ...(contact === undefined ? {} : { contact }),
    deviceIds: [],
    rich: {},
    notes,
    extensions: [],
  };
  return { tuple, doing: basic === 'open' ? substatus?.activity : undefined };
}

const DECLARATION =
  '<?xml version="1.0"?>\n<!DOCTYPE presence PUBLIC "-//IETF//DTD RFCxxxx XPIDF 1.0//EN" "xpidf.dtd">\n';

/**
 * Writes `application/xpidf+xml` for an old watcher: what the format can say of each tuple, and of a document without
 * one that its presentity is offline. The rest is lost. The same document gives the same bytes.
 */
export function writeXpidf(document: PresenceDocument): string {
  const uri = sipUri(document.entity);
  const children: XmlElement[] = [{ name: 'presentity', attrs: { uri: `${uri};method=SUBSCRIBE` }, children: [] }];
  const activities = document.persons.flatMap(({ rich }) => rich.activities?.values ?? []);
  const doing = activities.map(({ name }) => SUBSTATUS_OF_ACTIVITY.get(name)).find((known) => known !== undefined);
  const notes = document.notes.length > 0 ? document.notes : document.persons.flatMap((person) => person.notes);
  for (const tuple of document.tuples) children.push(atomElement(tuple, uri, doing, notes));
  // The format wants at least one.
  if (document.tuples.length === 0)
    children.push(atomElement({ id: 'offline', basic: 'closed', notes: [] }, uri, undefined, notes));
  return DECLARATION + writeXml({ name: 'presence', attrs: {}, children });
}

function atomElement(
  tuple: Pick<Tuple, 'id' | 'basic' | 'show' | 'contact' | 'notes'>,
  entity: string,
  doing: string | undefined,
  notes: readonly LocalizedText[],
): XmlElement {
  const priority = tuple.contact?.priority === undefined ? undefined : priorityText(tuple.contact.priority);
  const isOpen = tuple.basic === 'open';
  const children: XmlElement[] = [
    { name: 'status', attrs: { status: isOpen ? 'open' : 'closed' }, children: [] },
    { name: 'msnsubstatus', attrs: { substatus: isOpen ? substatusOf(tuple.show, doing) : 'offline' }, children: [] },
  ];
  const [note] = tuple.notes.length > 0 ? tuple.notes : notes;
  if (note !== undefined) children.push({ name: 'note', attrs: {}, children: [note.text] });
  const attrs = { uri: tuple.contact?.uri ?? entity, ...(priority === undefined ? {} : { priority }) };
  return { name: 'atom', attrs: { id: tuple.id }, children: [{ name: 'address', attrs, children }] };
}

function substatusOf(show: Show | undefined, doing: string | undefined): string {
  if (doing !== undefined) return doing;
  if (show === 'dnd') return 'busy';
  return show === 'away' || show === 'xa' ? 'away' : 'online';
}

/** These watchers know no `pres:`. */
function sipUri(entity: string): string {
  return entity.replace(/^(pres|im):/i, 'sip:');
}
