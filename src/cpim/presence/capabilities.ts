/** What a service or a device can do (RFC 5196). */
import type { XmlElement } from '../xml.ts';

/** The content of `servcaps` or `devcaps`, as elements. */
export type Capabilities = { readonly elements: readonly XmlElement[] };
