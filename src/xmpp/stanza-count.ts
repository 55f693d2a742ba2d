/** A count of stanzas, which goes round at 2^32 (XEP-0198, section 4); undefined for what is none. */
export function stanzaCount(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) % 2 ** 32 : undefined;
}
