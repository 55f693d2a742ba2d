import { addressKey, parseAddress, type Address } from '../cpim/address.ts';
import { parseRuleSubject } from '../core/presence/presence-rules.ts';
import type { RuleSubject } from '../core/presence/rules.ts';
import { addressFromJid } from '../xmpp/map-address.ts';
import { parseJid } from '../xmpp/jid.ts';
import { CommandError } from './command-error.ts';
import { sipUserNamed } from './user-address.ts';

/**
 * The watcher, or watchers, that an operator names: `sip:bob@partner.example`, an address as `watchers list` shows it, a
 * JID, `*@partner.example`, `anonymous` or `*`. A JID is the address itself but for its escapes (XEP-0106).
 *
 * @throws CommandError (exit code 2) for what is none of these.
 */
export function subjectNamed(text: string): RuleSubject {
  const group = /^(\*|anonymous|\*@.*)$/s.test(text);
  const watcher = group ? undefined : watcherNamed(text);
  const subject = parseRuleSubject(watcher === undefined ? text : addressKey(watcher));
  if (subject !== undefined && (group || watcher !== undefined)) return subject;
  throw new CommandError(
    `${text} is no watcher; expected sip:bob@partner.example, juliet@xmpp.example, *@partner.example, anonymous or *`,
    2,
  );
}

function watcherNamed(text: string): Address | undefined {
  if (/^sips?:/i.test(text)) return sipUserNamed(text);
  if (!text.includes('\\')) return parseAddress(text);
  const jid = parseJid(text);
  return jid === undefined || jid.resource !== undefined ? undefined : addressFromJid(jid, NO_DOMAINS);
}

/** No domain has another name here. */
const NO_DOMAINS = { domain: '', name: '' };
