import type { Restartable } from './restartable.ts';

/** What a test says about the XMPP server with a component it wants. */
export type XmppServerOptions = {
  readonly folder: string;
  /** The XMPP domain, e.g. `xmpp.example`. */
  readonly domain: string;
  /** The name a component may take there. */
  readonly component: string;
  readonly secret: string;
  /** Localparts of the accounts; each one's password is `passwordOf(user)`. */
  readonly users: readonly string[];
};

/** A real XMPP server on loopback ports of its own; accounts and stored messages outlive its process. */
export interface XmppServer extends Restartable {
  readonly domain: string;
  readonly c2sPort: number;
}

/** One that has a component. */
export interface ComponentHost extends XmppServer {
  readonly component: string;
  readonly componentPort: number;
  /** The component secret it will know after the next `start`. */
  setSecret(secret: string): void;
}

/** Test accounts have this password on every server. */
export function passwordOf(user: string): string {
  return `password-of-${user}`; // no blank: baresip's account file would end it there
}

/** Fills `@NAME@` places of a configuration template. */
export function filled(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replace(/@([A-Z0-9_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the template wants @${name}@`);
    return String(value);
  });
}
