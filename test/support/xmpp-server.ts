import type { TestProcess } from './process.ts';

/** What a test says about the XMPP server it wants. */
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

/** A real XMPP server on loopback ports of its own. */
export interface XmppServer {
  readonly domain: string;
  readonly component: string;
  readonly c2sPort: number;
  readonly componentPort: number;
  /** The process that runs now. */
  process(): TestProcess;
  /** Ends it in good order; accounts and stored messages stay. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again on the same ports with the same data. */
  start(): Promise<void>;
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
