import { randomBytes } from 'node:crypto';
import {
  senderProof,
  sipApplication,
  type SipApplication,
  type SipApplicationDeps,
} from '../../src/sip/application.ts';
import { Gruus } from '../../src/sip/registrar/gruu.ts';
import { sipPresence, type SipPresence, type SipPresenceDeps } from '../../src/sip/presence-application.ts';
import type { Clock, CredentialStore } from '../../src/core/ports.ts';

export type SipSideDeps = Omit<
  SipApplicationDeps,
  'stack' | 'proof' | 'presence' | 'clock' | 'register' | 'gruus' | 'registerSettings'
> & {
  readonly stack: SipPresenceDeps['stack'];
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly clock: Clock;
  readonly presence: Omit<SipPresenceDeps, 'stack' | 'peers' | 'proof' | 'contactsOf' | 'gruus' | 'clock' | 'log'>;
};

/** The SIP side and its presence on one stack, put together as a server does. */
export function sipSide(deps: SipSideDeps): SipApplication & SipPresence {
  const { stack, peers, clock, log } = deps;
  const proof = senderProof(deps);
  const { contactsOf } = deps;
  const gruus = new Gruus({ secret: randomBytes(32), isOwn: proof.isOwn, contactsOf });
  const registration = { register: async () => [], gruus, registerSettings: { serviceRoute: [], edges: [] } };
  const presence = sipPresence({ ...deps.presence, stack, peers, proof, contactsOf, gruus, clock, log });
  return { ...sipApplication({ ...deps, ...registration, proof, presence: presence.handlers }), ...presence };
}
