declare const brand: unique symbol;

/**
 * An address of the abstract model, the one form in which the core knows anybody: what follows the scheme of an `im:`
 * URI (RFC 3860, section 3.2), in canonical form. `localpart@domain`, or a domain alone.
 */
export type Address = string & { readonly [brand]: 'Address' };
