import { addressKey, domainOf, localpartOf, parseAddress, type Address } from '../../cpim/address.ts';
import { domainInCanonicalForm } from '../../cpim/domain.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Records } from '../ports.ts';
import { Turns } from '../turns.ts';
import type { OwnerRules, Rule, RuleAction, RuleSubject } from './rules.ts';
import { ANONYMOUS } from './subscription.ts';

export type PresenceRulesDeps = {
  /** Kind `rules`; the key is the address key of the owner. */
  readonly records: Records<OwnerRules>;
  /** For watchers for whom the owner has no rule. */
  readonly defaultAction: RuleAction;
  readonly log: Log;
  /** Told, by the key of the owner, right before his rules change in the store; as `PublicationDeps.beforeChange`. */
  readonly beforeChange: (ownerKey: string) => void;
  /** Told when what the rules say may have changed for some watchers, the change being durable. */
  readonly changed: (ownerKey: string) => void;
};

export type Decision = Rule & {
  /** Whether the owner has a rule for just this watcher, or for those who do not say who they are. */
  readonly isOwnRule: boolean;
};

const RULES_PER_OWNER_MAX = 10_000;
const EVERYBODY = '*';
const NOBODY_KNOWN = 'anonymous';

type Kept = { readonly rules: ReadonlyMap<RuleSubject, Rule>; readonly isInvisible: boolean };

const NONE: Kept = { rules: new Map(), isInvisible: false };
const SELF: Decision = { action: 'allow', showsLocation: true, isOwnRule: false };
const BLOCKED: Decision = { action: 'block', isOwnRule: false };

/** Whom each user lets watch him. In memory; what a change has resolved for is durable. */
export class PresenceRules {
  readonly #deps: PresenceRulesDeps;
  readonly #default: Decision;
  readonly #byOwner = new Map<string, Kept>();
  /** A change starts from the result of the one before. */
  readonly #turns = new Turns();

  constructor(deps: PresenceRulesDeps) {
    this.#deps = deps;
    this.#default = { action: deps.defaultAction, isOwnRule: false };
    for (const [ownerKey, { rules, isInvisible }] of deps.records.all()) {
      this.#byOwner.set(ownerKey, { rules: new Map(Object.entries(rules)), isInvisible: isInvisible === true });
    }
  }

  /**
   * What becomes of a watcher: the rule for him, else that for his domain, else that for everybody else, else the
   * configured default. One who does not say who he is has a rule of his own or is blocked: what is meant for everybody
   * else was hardly meant for him, and there is nothing about him to confirm. The owner himself may see everything.
   */
  decide(ownerKey: string, watcher: Address): Decision {
    const watcherKey = addressKey(watcher);
    if (watcherKey === ownerKey) return SELF;
    const rules = this.#byOwner.get(ownerKey)?.rules;
    const isAnonymous = watcherKey === ANONYMOUS;
    const own = rules?.get(isAnonymous ? NOBODY_KNOWN : watcherKey);
    if (own !== undefined) return { ...own, isOwnRule: true };
    if (isAnonymous) return BLOCKED;
    const shared = rules?.get(`*@${domainOf(watcher)}`) ?? rules?.get(EVERYBODY);
    return shared === undefined ? this.#default : { ...shared, isOwnRule: false };
  }

  /** The rules of an owner, for those who list them. */
  rulesOf(ownerKey: string): ReadonlyMap<RuleSubject, Rule> {
    return (this.#byOwner.get(ownerKey) ?? NONE).rules;
  }

  isInvisible(ownerKey: string): boolean {
    return this.#byOwner.get(ownerKey)?.isInvisible === true;
  }

  /**
   * Sets a rule; resolves when it is durable.
   *
   * @param subject as `parseRuleSubject` gives it
   * @throws GatewayError 'request-malformed' for what no rule can say, 'policy-violated' for too many of one owner,
   *   'store-unavailable'
   */
  async set(owner: Address, subject: RuleSubject, rule: Rule): Promise<void> {
    checkRule(subject, rule);
    await this.#change(addressKey(owner), (kept) => {
      if (kept.rules.size >= RULES_PER_OWNER_MAX && !kept.rules.has(subject)) {
        throw new GatewayError('policy-violated', `more than ${RULES_PER_OWNER_MAX} rules of one user`);
      }
      return { ...kept, rules: new Map(kept.rules).set(subject, rule) };
    });
    this.#deps.log.info({ presentity: addressKey(owner), watcher: subject, action: rule.action }, 'watcher rule set');
  }

  /** Takes a rule away; says whether there was one. @throws GatewayError 'store-unavailable' */
  async remove(owner: Address, subject: RuleSubject): Promise<boolean> {
    const wasThere = await this.#change(addressKey(owner), (kept) => {
      if (!kept.rules.has(subject)) return kept;
      const rules = new Map(kept.rules);
      rules.delete(subject);
      return { ...kept, rules };
    });
    if (wasThere) this.#deps.log.info({ presentity: addressKey(owner), watcher: subject }, 'watcher rule removed');
    return wasThere;
  }

  /** @throws GatewayError 'store-unavailable' */
  async setInvisible(owner: Address, isInvisible: boolean): Promise<void> {
    await this.#change(addressKey(owner), (kept) =>
      kept.isInvisible === isInvisible ? kept : { ...kept, isInvisible },
    );
    this.#deps.log.info({ presentity: addressKey(owner), isInvisible }, 'visibility set');
  }

  /** Address keys of those who have rules, or are invisible. */
  owners(): Iterable<string> {
    return this.#byOwner.keys();
  }

  /** Takes away whatever an owner has set. @throws GatewayError 'store-unavailable' */
  async forget(ownerKey: string): Promise<void> {
    await this.#change(ownerKey, (kept) => (kept.rules.size === 0 && !kept.isInvisible ? kept : NONE));
  }

  /** Makes a change durable and then lets it count; says whether it was one. */
  #change(ownerKey: string, change: (kept: Kept) => Kept): Promise<boolean> {
    return this.#turns.run(ownerKey, async () => {
      const { records, beforeChange, changed } = this.#deps;
      const before = this.#byOwner.get(ownerKey) ?? NONE;
      const after = change(before);
      if (after === before) return false;
      beforeChange(ownerKey);
      if (after.rules.size === 0 && !after.isInvisible) {
        await records.remove(ownerKey);
        this.#byOwner.delete(ownerKey);
      } else {
        await records.put(ownerKey, recordOf(after));
        this.#byOwner.set(ownerKey, after);
      }
      changed(ownerKey);
      return true;
    });
  }
}

/**
 * Reads whom a rule is for: an address, `*@domain`, `anonymous` or `*`. Whatever the spelling, one subject has one form.
 *
 * @returns undefined when `text` is none of them; never throws
 */
export function parseRuleSubject(text: string): RuleSubject | undefined {
  if (text === EVERYBODY || text === NOBODY_KNOWN) return text;
  if (text.startsWith('*@')) {
    const domain = domainInCanonicalForm(text.slice(2));
    return domain === undefined ? undefined : `*@${domain}`;
  }
  const address = parseAddress(text);
  // A domain alone is no watcher, and whoever writes one means all of it.
  if (address === undefined || localpartOf(address) === undefined) return undefined;
  const key = addressKey(address);
  return key === ANONYMOUS ? NOBODY_KNOWN : key;
}

function checkRule(subject: RuleSubject, { action, showsLocation }: Rule): void {
  if (parseRuleSubject(subject) !== subject) {
    throw new GatewayError('request-malformed', 'rule for neither a watcher nor a group of them');
  }
  if (subject === NOBODY_KNOWN && action === 'confirm') {
    throw new GatewayError('request-malformed', 'anonymous watchers cannot be confirmed');
  }
  if (showsLocation === true && action !== 'allow') {
    throw new GatewayError('request-malformed', 'location for a watcher who is not allowed');
  }
}

function recordOf({ rules, isInvisible }: Kept): OwnerRules {
  return { rules: Object.fromEntries(rules), ...(isInvisible ? { isInvisible } : {}) };
}
