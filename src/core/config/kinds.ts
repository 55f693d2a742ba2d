/** Kinds of values that several sections of the schema have. */
import * as z from 'zod';
import { parseCidr } from '../cidr.ts';
import { text } from './meta.ts';
import { isDnsServer, parseDomain } from './values.ts';

/** A text that is not empty. */
export const plain = z.string().min(1);

export const domain = text('a domain name', (value) => parseDomain(value) !== undefined);

export const addressBlocks = z.array(
  text('an IP address or a block of them, 192.0.2.0/24', (value) => parseCidr(value) !== undefined),
);

export const dnsServers = z.array(text('an IP address, with :port where it is not 53', isDnsServer));

export const port = z.int().min(1).max(65_535);
