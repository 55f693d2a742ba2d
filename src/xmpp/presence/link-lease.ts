import type { Lease } from '../../core/presence/subscription.ts';

/**
 * How an XMPP watcher is reached, and what he has been told. Changed in place; after a crash it may lag behind by what
 * was told in the last moment: `subscribed` is then said once more, and `resources` never lacks one that was told as
 * available, because it is stored before that.
 */
export type LinkLease = Lease & {
  readonly via: `link:${string}`;
  /** Resources told as available, or about to be; the empty one is the bare JID. */
  resources: readonly string[];
  /** Whether he has been told `subscribed`. */
  isAccepted?: true;
  /** The resource from which he, or his server for him, asked last. */
  askedFrom?: string;
};

/** A lease over a link as it begins. */
export function newLinkLease(link: string, askedFrom?: string): LinkLease {
  return { via: `link:${link}`, resources: [], ...(askedFrom === undefined ? {} : { askedFrom }) };
}

/**
 * The lease as ours, the same object; what an older version has left out of it is put right.
 *
 * @returns undefined for the lease of another protocol
 */
export function linkLeaseFrom(lease: Lease | undefined): LinkLease | undefined {
  if (lease === undefined || lease.via === 'sip') return undefined;
  const ours = lease as LinkLease;
  const resources: unknown = ours.resources;
  if (!Array.isArray(resources) || !resources.every((resource) => typeof resource === 'string')) ours.resources = [];
  return ours;
}

/** The name of the link that a lease goes over. */
export function linkOfLease({ via }: LinkLease): string {
  return via.slice('link:'.length);
}
