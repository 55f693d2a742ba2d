import type { Address } from '../../cpim/address.ts';

/** What becomes of a watcher (RFC 5025, section 3.2.1). */
export const RULE_ACTIONS = ['confirm', 'allow', 'block', 'polite-block'] as const;
export type RuleAction = (typeof RULE_ACTIONS)[number];

/**
 * For whom a rule is: one watcher by his address key; all of a domain, `*@domain`; those who do not say who they are,
 * `anonymous`; everybody else, `*`. The most special one counts, in this order; without any the configured default.
 */
export type RuleSubject = string;

export type Rule = {
  readonly action: RuleAction;
  /** Whether the watcher may see where the presentity is; only with `allow`. */
  readonly showsLocation?: true;
};

/** The rules of one presentity; the key of the record is his address key. */
export type OwnerRules = {
  readonly rules: Readonly<Record<RuleSubject, Rule>>;
  /** Everybody sees a closed document, those who may be blocked excepted. */
  readonly isInvisible?: true;
};

/** One watcher as the owner's list has him: his subscriptions folded into one, and the rule that is for him. */
export type WatcherLine = {
  /** Address, or a RuleSubject where there is a rule and no subscription. */
  readonly watcher: string;
  /** The liveliest of his subscriptions; absent: none. */
  readonly state?: 'pending' | 'active' | 'waiting';
  readonly subscriptions: number;
  readonly sinceMs?: number;
  readonly displayName?: string;
  /** What applies to him, and whether by a rule of his own. */
  readonly action: RuleAction;
  readonly isOwnRule: boolean;
  readonly showsLocation?: true;
};

export type WatcherListing = { readonly isInvisible: boolean; readonly watchers: readonly WatcherLine[] };

/** What the operator's doors may do about watchers: implemented in the core, used by `http/routes-watchers.ts`. */
export interface WatcherAdministration {
  /** @throws GatewayError 'recipient-unknown' when the owner is no user of ours. */
  list(owner: Address): WatcherListing | Promise<WatcherListing>;
  /** Sets a rule and carries it out for every subscription it concerns; resolves when it is stored. */
  set(owner: Address, subject: RuleSubject, rule: Rule): Promise<void>;
  /** Takes a rule away; says whether there was one. */
  remove(owner: Address, subject: RuleSubject): Promise<boolean>;
  setInvisible(owner: Address, isInvisible: boolean): Promise<void>;
  /**
   * Forgets all presence of one who is a user of ours no more: his watchers, his rules, what he has published, whom he
   * watches.
   *
   * @throws GatewayError 'policy-violated' when he is one still.
   */
  forget(owner: Address): Promise<void>;
}
