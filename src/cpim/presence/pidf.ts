import { PRESENCE_COMPONENTS_MAX, PRESENCE_VALUES_MAX } from '../limits.ts';
import type { LocalizedText } from '../operation.ts';
import { type XmlElement, writeXml } from '../xml.ts';
import { readCapabilities, writeCapabilities } from './capabilities.ts';
import { readCard, writeCard } from './cipid.ts';
import type { Basic, ContactCard, Device, Person, PresenceDocument, RichPresence, Show, Tuple } from './document.ts';
import { CAPS, DATA_MODEL, JABBER_CLIENT, PIDF, PIDF_IM } from './namespaces.ts';
import { priorityText, thousandthsOf } from './priority.ts';
import { Reading, readPresenceXml, readShow, timeOf, tokenOf, type Writable } from './reading.ts';
import { readRich, writeRich } from './rpid.ts';
import { type Child, childIn, Scope } from './scope.ts';
import { DECLARATION, languageAttrs, timeText, Writing } from './writing.ts';

export type PidfOptions = {
  /**
   * Reads what gateways and exchanges that are older than RFC 3863 write: a tuple id that is no XML ID (an extension,
   * an XMPP resource) is encoded as that of an instance, a missing one is made up, and so on.
   */
  readonly lenient?: boolean;
};

/** The namespaces of the drafts before RFC 3863, which some programs never left. */
const OLD_NAMESPACES: ReadonlySet<string> = new Set([
  'urn:ietf:params:xml:ns:cpim-pidf',
  'urn:ietf:params:xml:ns:cpim-pidf:1.0',
  'urn:ietf:params:xml:ns:pidf:',
]);

/**
 * Reads a presence document: PIDF (RFC 3863) with the data model (RFC 4479), RPID, CIPID and capabilities.
 *
 * Mandatory: `entity`, ids that are XML IDs and unique, one `<status/>` a tuple, one `<deviceID/>` a device, `open` or
 * `closed` where there is a `<basic/>`. Tolerated, because clients do so: any order of elements, elements of RPID in
 * `<status/>`, notes of either namespace. Ignored: a priority or a time that is none. What is not known is kept, but for
 * elements that neither namespace nor schema has room for.
 *
 * @throws ContentError 'malformed', naming place and fault
 */
export function readPidf(text: string, options: PidfOptions = {}): PresenceDocument {
  return pidfFromXml(readPresenceXml(text, 'PIDF'), options);
}

/** As `readPidf`, of XML that has been read. */
export function pidfFromXml(root: XmlElement, { lenient = false }: PidfOptions = {}): PresenceDocument {
  const reading = new Reading('PIDF', lenient);
  const { scope, namespace, local } = rootOf(root, lenient);
  if (local !== 'presence' || namespace !== PIDF) {
    throw reading.fault('root', `expected presence in the namespace ${PIDF}`);
  }
  const tuples: Tuple[] = [];
  const persons: Person[] = [];
  const devices: Device[] = [];
  const notes: LocalizedText[] = [];
  const extensions: XmlElement[] = [];
  let entity = root.attrs['entity']?.trim();
  for (const child of scope.childrenOf(root)) {
    if (child.namespace === PIDF) {
      if (child.local === 'tuple') {
        const where = `tuple ${tuples.length + 1}`;
        reading.addTo(tuples, readTuple(child, reading, where), where, 'tuples');
      } else if (child.local === 'note') reading.addNote(notes, child, 'presence');
      else if (child.local === 'presentity' && lenient) {
        const { attrs } = child.element;
        entity ??= (attrs['id'] ?? attrs['uri'])?.trim();
      }
    } else if (child.namespace === DATA_MODEL && child.local === 'person') {
      const where = `person ${persons.length + 1}`;
      reading.addTo(persons, readPerson(child, reading, where), where, 'persons');
    } else if (child.namespace === DATA_MODEL && child.local === 'device') {
      const where = `device ${devices.length + 1}`;
      reading.addTo(devices, readDevice(child, reading, where), where, 'devices');
    } else if (child.namespace !== '') {
      extensions.push(reading.keep(child, 'presence'));
    }
  }
  if (entity === undefined || entity === '') throw reading.fault('presence', 'has no entity');
  return { entity, tuples, persons, devices, notes, extensions };
}

function rootOf(root: XmlElement, lenient: boolean): Child {
  const child = childIn(Scope.outside(), root);
  if (!lenient || !OLD_NAMESPACES.has(child.namespace)) return child;
  return childIn(Scope.outside({ from: child.namespace, to: PIDF }), root);
}

type Parts = Pick<Tuple, 'rich' | 'notes' | 'extensions' | 'timestampMs'>;

/** What the three kinds of components have in common, as it is gathered. */
class ComponentReading {
  readonly rich: Writable<RichPresence> = {};
  readonly card: Writable<ContactCard> = {};
  readonly notes: LocalizedText[] = [];
  readonly extensions: XmlElement[] = [];
  readonly reading: Reading;
  readonly where: string;
  #timestampMs: number | undefined;

  constructor(reading: Reading, where: string) {
    this.reading = reading;
    this.where = where;
  }

  /** A note or a timestamp; clients take them of PIDF in a person and of the data model in a tuple. */
  takesOwn(child: Child): boolean {
    if (child.namespace !== PIDF && child.namespace !== DATA_MODEL) return false;
    if (child.local === 'note') this.reading.addNote(this.notes, child, this.where);
    else if (child.local === 'timestamp') this.#timestampMs ??= timeOf(tokenOf(child));
    else return false;
    return true;
  }

  takesRich(child: Child): boolean {
    return readRich(this.rich, child, this.reading, this.where);
  }

  keep(child: Child): void {
    this.extensions.push(this.reading.keep(child, this.where));
  }

  parts(): Parts {
    const { rich, notes, extensions } = this;
    const timestampMs = this.#timestampMs;
    return { rich, notes, extensions, ...(timestampMs === undefined ? {} : { timestampMs }) };
  }

  cardPart(): { card?: ContactCard } {
    return Object.keys(this.card).length === 0 ? {} : { card: this.card };
  }
}

function readTuple(child: Child, reading: Reading, where: string): Tuple {
  const { attrs } = child.element;
  const id = reading.id(attrs['id'] ?? (reading.isLenient ? attrs['name'] : undefined), where);
  const component = new ComponentReading(reading, where);
  const deviceIds: string[] = [];
  let status: Status | undefined;
  let contact: Tuple['contact'];
  let capabilities: Tuple['capabilities'];
  for (const inner of child.scope.childrenOf(child.element)) {
    const { namespace, local } = inner;
    if (component.takesOwn(inner) || component.takesRich(inner) || readCard(component.card, inner)) continue;
    if (namespace === PIDF) {
      if (local === 'status') {
        if (status !== undefined) throw reading.fault(where, 'has a second status');
        status = readStatus(inner, component);
      } else if (local === 'contact') {
        if (contact !== undefined) throw reading.fault(where, 'has a second contact');
        contact = readContact(inner);
      }
      continue;
    }
    if (namespace === DATA_MODEL && local === 'deviceID') {
      reading.bound(deviceIds.length, PRESENCE_VALUES_MAX, where, 'device ids');
      if (tokenOf(inner) !== '') deviceIds.push(tokenOf(inner));
      continue;
    }
    if (namespace === CAPS && local === 'servcaps' && capabilities === undefined) {
      capabilities = readCapabilities('servcaps', inner, reading, where);
      if (capabilities !== undefined) continue;
    }
    if (namespace !== '') component.keep(inner);
  }
  if (status === undefined) throw reading.fault(where, 'has no status');
  return {
    id,
    ...(status.basic === undefined ? {} : { basic: status.basic }),
    ...(status.show === undefined ? {} : { show: status.show }),
    statusExtensions: status.extensions,
    ...(contact === undefined ? {} : { contact }),
    deviceIds,
    ...component.parts(),
    ...component.cardPart(),
    ...(capabilities === undefined ? {} : { capabilities }),
  };
}

type Status = { basic?: Basic; show?: Show; readonly extensions: XmlElement[] };

function readStatus(child: Child, component: ComponentReading): Status {
  const { reading, where } = component;
  const status: Status = { extensions: [] };
  let im: Show | undefined;
  for (const inner of child.scope.childrenOf(child.element)) {
    const { namespace, local } = inner;
    if (namespace === PIDF || (namespace === '' && reading.isLenient)) {
      if (local !== 'basic' && !(local === 'value' && reading.isLenient)) continue;
      if (status.basic !== undefined) throw reading.fault(where, 'has a second basic status');
      const basic = tokenOf(inner).toLowerCase();
      if (basic !== 'open' && basic !== 'closed' && !(basic === 'close' && reading.isLenient)) {
        throw reading.fault(where, 'has a basic status that is neither open nor closed');
      }
      status.basic = basic === 'open' ? 'open' : 'closed';
      continue;
    }
    if (namespace === JABBER_CLIENT && local === 'show' && status.show === undefined) {
      const show = showOf(tokenOf(inner));
      if (show !== undefined) {
        status.show = show;
        continue;
      }
    }
    if (namespace === PIDF_IM && local === 'im') im ??= showOf(tokenOf(inner));
    // RFC 4479, section 5: what older documents have as a status is about the service all the same.
    if (namespace === '' || component.takesRich(inner)) continue;
    status.extensions.push(reading.keep(inner, where));
  }
  if (status.show === undefined && im !== undefined) status.show = im;
  return status;
}

/** A value of `<show/>` (RFC 6121, section 4.7.2.1); `busy` is what RFC 3922, section 5.2.10 has in its place. */
function showOf(text: string): Show | undefined {
  return text === 'busy' ? 'dnd' : readShow(text);
}

function readContact(child: Child): Tuple['contact'] | undefined {
  const uri = tokenOf(child);
  if (uri === '') return undefined;
  const priority = thousandthsOf(child.element.attrs['priority']);
  return priority === undefined ? { uri } : { uri, priority };
}

function readPerson(child: Child, reading: Reading, where: string): Person {
  const id = reading.id(child.element.attrs['id'], where);
  const component = new ComponentReading(reading, where);
  for (const inner of child.scope.childrenOf(child.element)) {
    if (component.takesOwn(inner) || component.takesRich(inner) || readCard(component.card, inner)) continue;
    if (hasPlaceIn(inner)) component.keep(inner);
  }
  return { id, ...component.parts(), ...component.cardPart() };
}

function readDevice(child: Child, reading: Reading, where: string): Device {
  const id = reading.id(child.element.attrs['id'], where);
  const component = new ComponentReading(reading, where);
  let deviceId: string | undefined;
  let capabilities: Device['capabilities'];
  for (const inner of child.scope.childrenOf(child.element)) {
    if (component.takesOwn(inner) || component.takesRich(inner)) continue;
    if (inner.namespace === DATA_MODEL && inner.local === 'deviceID') {
      if (deviceId !== undefined) throw reading.fault(where, 'has a second deviceID');
      deviceId = tokenOf(inner);
      continue;
    }
    if (inner.namespace === CAPS && inner.local === 'devcaps' && capabilities === undefined) {
      capabilities = readCapabilities('devcaps', inner, reading, where);
      if (capabilities !== undefined) continue;
    }
    if (hasPlaceIn(inner)) component.keep(inner);
  }
  if (deviceId === undefined || deviceId === '') throw reading.fault(where, 'has no deviceID');
  return { id, deviceId, ...component.parts(), ...(capabilities === undefined ? {} : { capabilities }) };
}

/** Whether a person or a device may hold it: the schema asks for a namespace, and one that is not its own. */
function hasPlaceIn({ namespace }: Child): boolean {
  return namespace !== '' && namespace !== DATA_MODEL && namespace !== PIDF;
}

/**
 * Writes a presence document as PIDF, in the order of the schemas of RFC 3863, section 4.4 and RFC 4479, section 5.1.
 * The same document gives the same bytes; `readPidf` of them gives an equal document.
 *
 * @throws ContentError 'malformed' for a document without entity or with an id that is none or occurs twice
 */
export function writePidf(document: PresenceDocument): string {
  const writing = new Writing('PIDF');
  const { entity, tuples, persons, devices } = document;
  if (entity === '') throw writing.fault('no entity');
  for (const component of [tuples, persons, devices]) {
    if (component.length > PRESENCE_COMPONENTS_MAX) throw writing.fault('too many tuples, persons or devices');
    for (const { id } of component) writing.claimId(id);
  }
  const children: XmlElement[] = tuples.map((tuple) => tupleElement(tuple, writing));
  for (const note of document.notes) children.push(noteElement(note));
  for (const person of persons) children.push(personElement(person, writing));
  for (const device of devices) children.push(deviceElement(device, writing));
  for (const extension of document.extensions) children.push(writing.kept(extension));
  const attrs = { xmlns: PIDF, ...writing.declarations(), entity };
  return DECLARATION + writeXml({ name: 'presence', attrs, children });
}

function tupleElement(tuple: Tuple, writing: Writing): XmlElement {
  const status: XmlElement[] = [];
  if (tuple.basic !== undefined) status.push(plain('basic', tuple.basic));
  if (tuple.show !== undefined) status.push(plain('show', tuple.show, { xmlns: JABBER_CLIENT }));
  for (const extension of tuple.statusExtensions) status.push(writing.kept(extension));
  const children: XmlElement[] = [{ name: 'status', attrs: {}, children: status }];
  for (const deviceId of tuple.deviceIds) children.push(writing.text('dm', 'deviceID', deviceId));
  children.push(...writeRich(tuple.rich, writing));
  if (tuple.card !== undefined) children.push(...writeCard(tuple.card, writing));
  if (tuple.capabilities !== undefined) children.push(writeCapabilities('servcaps', tuple.capabilities, writing));
  for (const extension of tuple.extensions) children.push(writing.kept(extension));
  if (tuple.contact !== undefined) {
    const { uri, priority } = tuple.contact;
    const text = priority === undefined ? undefined : priorityText(priority);
    children.push(plain('contact', uri, text === undefined ? {} : { priority: text }));
  }
  for (const note of tuple.notes) children.push(noteElement(note));
  const timestamp = timeText(tuple.timestampMs);
  if (timestamp !== undefined) children.push(plain('timestamp', timestamp));
  return { name: 'tuple', attrs: { id: tuple.id }, children };
}

function personElement(person: Person, writing: Writing): XmlElement {
  const children = writeRich(person.rich, writing);
  if (person.card !== undefined) children.push(...writeCard(person.card, writing));
  for (const extension of person.extensions) children.push(writing.kept(extension));
  pushEnd(children, person, writing);
  return writing.element('dm', 'person', children, { id: person.id });
}

function deviceElement(device: Device, writing: Writing): XmlElement {
  const children = writeRich(device.rich, writing);
  if (device.capabilities !== undefined) children.push(writeCapabilities('devcaps', device.capabilities, writing));
  for (const extension of device.extensions) children.push(writing.kept(extension));
  children.push(writing.text('dm', 'deviceID', device.deviceId));
  pushEnd(children, device, writing);
  return writing.element('dm', 'device', children, { id: device.id });
}

/** What a person and a device end with. */
function pushEnd(children: XmlElement[], { notes, timestampMs }: Person | Device, writing: Writing): void {
  for (const note of notes) children.push(writing.localized('dm', 'note', note));
  const timestamp = timeText(timestampMs);
  if (timestamp !== undefined) children.push(writing.text('dm', 'timestamp', timestamp));
}

function noteElement(note: LocalizedText): XmlElement {
  return plain('note', note.text, languageAttrs(note));
}

function plain(name: string, text: string, attrs: XmlElement['attrs'] = {}): XmlElement {
  return { name, attrs, children: [text] };
}
