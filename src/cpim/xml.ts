/**
 * An XML element as plain data: what the XML reader gives and the XML writer takes.
 *
 * Names and attribute names are as written, prefix included; a default namespace is the attribute `xmlns`.
 */
export type XmlElement = {
  readonly name: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly children: ReadonlyArray<XmlElement | string>;
};
