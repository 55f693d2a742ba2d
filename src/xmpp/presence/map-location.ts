import { textOf, type XmlElement } from '../../cpim/xml.ts';
import { LOCATION_NODE } from './pep-nodes.ts';

const GEOPRIV = 'urn:ietf:params:xml:ns:pidf:geopriv10';
const GML = 'http://www.opengis.net/gml';
const SHAPES = 'http://www.opengis.net/pidflo/1.0';
/** WGS 84 without and with a height (RFC 5491, section 5.1). */
const FLAT = 'urn:ogc:def:crs:EPSG::4326';
const WITH_HEIGHT = 'urn:ogc:def:crs:EPSG::4979';
const METRE = 'urn:ogc:def:uom:EPSG::9001';

const NUMBER = /^[+-]?[0-9]{1,12}(\.[0-9]{1,15})?$/;
/** An extension deeper or larger than this is no simple location. */
const DEPTH_MAX = 8;

/** A point, degrees and metres of WGS 84. */
type Point = { readonly lat: number; readonly lon: number; readonly alt?: number; readonly accuracy?: number };

/** Whether an extension element says where somebody is (RFC 4119, section 2.2.1). */
export function isGeopriv(element: XmlElement): boolean {
  const [prefix, local] = splitName(element.name);
  return local === 'geopriv' && element.attrs[prefix === '' ? 'xmlns' : `xmlns:${prefix}`] === GEOPRIV;
}

/**
 * The location object for a user's `geoloc` (XEP-0080): a point, or a circle where an accuracy is given.
 *
 * @returns undefined where it has no coordinates: street addresses are not mapped
 */
export function geoprivFromGeoloc(geoloc: XmlElement): XmlElement | undefined {
  const numberIn = (name: string): number | undefined => {
    for (const child of geoloc.children) {
      if (typeof child !== 'string' && child.name === name) return readNumber(textOf(child));
    }
    return undefined;
  };
  const [lat, lon, alt, accuracy] = [numberIn('lat'), numberIn('lon'), numberIn('alt'), numberIn('accuracy')];
  if (lat === undefined || lon === undefined || !isOnEarth(lat, lon)) return undefined;
  const pos = {
    name: 'pos',
    attrs: { xmlns: GML },
    children: [alt === undefined ? `${lat} ${lon}` : `${lat} ${lon} ${alt}`],
  };
  const srsName = alt === undefined ? FLAT : WITH_HEIGHT;
  // A sphere has other elements than a circle; a height and an accuracy together are a point.
  const shape: XmlElement =
    accuracy !== undefined && accuracy > 0 && alt === undefined
      ? {
          name: 'Circle',
          attrs: { xmlns: SHAPES, srsName },
          children: [pos, { name: 'radius', attrs: { uom: METRE }, children: [String(accuracy)] }],
        }
      : { name: 'Point', attrs: { xmlns: GML, srsName }, children: [pos] };
  return {
    name: 'geopriv',
    attrs: { xmlns: GEOPRIV },
    children: [
      { name: 'location-info', attrs: {}, children: [shape] },
      { name: 'usage-rules', attrs: {}, children: [] },
    ],
  };
}

/** The `geoloc` for a location object that holds a point or a circle; undefined for any other. */
export function geolocFromGeopriv(geopriv: XmlElement): XmlElement | undefined {
  const point = pointIn(geopriv);
  if (point === undefined) return undefined;
  const { lat, lon, alt, accuracy } = point;
  const numbers = { ...(accuracy === undefined ? {} : { accuracy }), ...(alt === undefined ? {} : { alt }), lat, lon };
  return {
    name: 'geoloc',
    attrs: { xmlns: LOCATION_NODE },
    children: Object.entries(numbers).map(([name, value]) => ({ name, attrs: {}, children: [String(value)] })),
  };
}

function pointIn(geopriv: XmlElement): Point | undefined {
  const shape = find(geopriv, (local) => local === 'Point' || local === 'Circle', DEPTH_MAX);
  const pos = shape === undefined ? undefined : find(shape, (local) => local === 'pos', 2);
  if (shape === undefined || pos === undefined) return undefined;
  const srsName = shape.attrs['srsName'];
  // Another reference system would put him elsewhere.
  if (srsName !== undefined && srsName !== FLAT && srsName !== WITH_HEIGHT) return undefined;
  const [lat, lon, alt] = textOf(pos).trim().split(/\s+/, 4).map(readNumber);
  if (lat === undefined || lon === undefined || !isOnEarth(lat, lon)) return undefined;
  const radius = find(shape, (local) => local === 'radius', 2);
  const accuracy = radius?.attrs['uom'] === METRE ? readNumber(textOf(radius)) : undefined;
  return { lat, lon, ...(alt === undefined ? {} : { alt }), ...(accuracy === undefined ? {} : { accuracy }) };
}

function find(element: XmlElement, isIt: (local: string) => boolean, depth: number): XmlElement | undefined {
  if (isIt(splitName(element.name)[1])) return element;
  if (depth === 0) return undefined;
  for (const child of element.children) {
    const found = typeof child === 'string' ? undefined : find(child, isIt, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function splitName(name: string): readonly [prefix: string, local: string] {
  const colon = name.indexOf(':');
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)];
}

function readNumber(text: string): number | undefined {
  const trimmed = text.trim();
  return NUMBER.test(trimmed) ? Number(trimmed) : undefined;
}

function isOnEarth(lat: number, lon: number): boolean {
  return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180;
}
