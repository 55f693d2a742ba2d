import type { XmppServer } from './xmpp-server.ts';

export type S2sServerOptions = {
  readonly folder: string;
  readonly domain: string;
  readonly users: readonly string[];
  /** Where it finds other domains; `isTls`: by direct TLS. */
  readonly routes: Readonly<Record<string, { readonly port: number; readonly isTls?: boolean }>>;
  /** Files. Absent: it has no TLS at all. `ca`: the roots it checks others against. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly ca?: string };
  /** Takes nobody who shows no certificate for his domain. */
  readonly wantsCertificate?: boolean;
  readonly bidi?: boolean;
  /** Stream management where it has it; default it is on. */
  readonly sm?: boolean;
};

/** A real XMPP server of another domain. */
export interface S2sServer extends XmppServer {
  readonly s2sPort: number;
  /** For direct TLS. */
  readonly s2sTlsPort: number;
}
