import type { Address } from '../../cpim/address.ts';
import { parseRuleSubject } from '../presence/presence-rules.ts';
import { RULE_ACTIONS, type RuleAction, type WatcherAdministration, type WatcherLine } from '../presence/rules.ts';
import { answered, type Command, type CommandAnswer, type Given, refused } from './command.ts';

const SHOWN_MAX = 50;

const ACTIONS: Readonly<Record<RuleAction, string>> = {
  allow: 'let him see my presence',
  block: 'refuse him',
  'polite-block': 'show him somebody who is never there',
  confirm: 'let him wait until I decide',
};
const DONE: Readonly<Record<RuleAction, string>> = {
  allow: 'may see your presence',
  block: 'is refused',
  'polite-block': 'sees somebody who is never there',
  confirm: 'waits until you decide',
};

/** `rules`: who may watch a user, decided by himself. */
export function rulesCommand({ watchers }: { readonly watchers: () => WatcherAdministration }): Command {
  const isAboutOne = (given: Given): boolean => given.get('action') !== 'list';
  return {
    name: 'rules',
    title: 'Who may see my presence',
    about: 'who watches you, and who may',
    usage: 'rules [list] | rules allow|block|polite-block|confirm|remove WATCHER',
    isForUsers: true,
    args: [
      {
        name: 'action',
        label: 'What to do',
        isRequired: true,
        choices: () => [
          { value: 'list', label: 'list who watches me' },
          ...RULE_ACTIONS.map((value) => ({ value, label: ACTIONS[value] })),
          { value: 'remove', label: 'take my rule for him away' },
        ],
      },
      {
        name: 'watcher',
        label: 'Whom it is about: an address, *@domain, anonymous, or * for everybody else',
        isRequired: true,
        isWanted: isAboutOne,
      },
    ],
    run: async ({ user }, given) => {
      if (user === undefined) return refused('Rules are for users of this server.');
      const action = given.get('action') ?? 'list';
      if (action === 'list') return listed(watchers(), user);
      const subject = parseRuleSubject((given.get('watcher') ?? '').replace(/^(?:sips?|xmpp|im|pres):/i, ''));
      if (subject === undefined) return refused('This is no address, *@domain, anonymous or *.');
      if (action === 'remove') {
        const wasThere = await watchers().remove(user, subject);
        return wasThere
          ? answered(`You have no rule for ${subject} any more.`)
          : refused(`You have no rule for ${subject}.`);
      }
      const ruled = RULE_ACTIONS.find((known) => known === action);
      if (ruled === undefined) return refused(`There is no rule ${action.slice(0, 40)}.`);
      if (ruled === 'confirm' && subject === 'anonymous')
        return refused('Nobody can be asked about those without a name.');
      await watchers().set(user, subject, { action: ruled });
      return answered(`${subject} ${DONE[ruled]}.`);
    },
  };
}

async function listed(administration: WatcherAdministration, user: Address): Promise<CommandAnswer> {
  const { watchers, isInvisible } = await administration.list(user);
  const lines = watchers.slice(0, SHOWN_MAX).map(lineOf);
  if (watchers.length > SHOWN_MAX) lines.push(`... and ${watchers.length - SHOWN_MAX} more`);
  if (lines.length === 0) lines.push('Nobody watches you, and you have no rules.');
  return answered(...lines, ...(isInvisible ? ['You are invisible to everybody.'] : []));
}

function lineOf({ watcher, state, action, isOwnRule }: WatcherLine): string {
  const how = state === undefined ? 'does not watch you' : state === 'active' ? 'watches you' : 'wants to watch you';
  return `${watcher} ${how}; ${action}${isOwnRule ? '' : ' (by default)'}`;
}
