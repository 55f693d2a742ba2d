import { addressKey } from '../../cpim/address.ts';
import { reportableOf } from '../failure-report.ts';
import { failureText } from '../failure-text.ts';
import type { DeliveryQueue, QueueItem } from '../ports.ts';
import { answered, type Caller, type Choice, type Command, type CommandAnswer, refused } from './command.ts';

const SHOWN_MAX = 10;
const LOOKED_AT_MAX = 200;

type Which = 'failed' | 'waiting';

/**
 * `history`: the messages of somebody that this server still has, because they wait or have failed. It keeps no others:
 * what was delivered is with those who have it.
 */
export function historyCommand({ queue }: { readonly queue: Pick<DeliveryQueue, 'list' | 'show'> }): Command {
  const lately = async ({ address, user }: Caller, which: Which): Promise<readonly QueueItem[]> => {
    const owner = addressKey(user ?? address);
    const items = await queue.list({ state: which === 'failed' ? 'dead' : 'live', owner, limit: LOOKED_AT_MAX });
    return items.slice(-SHOWN_MAX).toReversed();
  };
  const choices = async (caller: Caller, which: Which): Promise<readonly Choice[]> =>
    (await lately(caller, which)).map((item) => ({ value: item.id, label: lineOf(item) }));

  return {
    name: 'history',
    title: 'Messages that wait or have failed',
    about: 'your last messages that wait or have failed; delivered ones are not kept',
    usage: 'history [failed|waiting] [id]',
    isForUsers: false,
    args: [
      {
        name: 'which',
        label: 'Which messages',
        isRequired: true,
        choices: () => [
          { value: 'failed', label: 'those that have failed' },
          { value: 'waiting', label: 'those that wait' },
        ],
      },
      {
        name: 'id',
        label: 'One of them, to see why',
        isRequired: false,
        choices: (caller, given) => choices(caller, whichOf(given.get('which'))),
      },
    ],
    run: async (caller, given) => {
      const which = whichOf(given.get('which'));
      const id = given.get('id');
      if (id !== undefined) return detailsOf(queue, caller, id);
      const items = await lately(caller, which);
      if (items.length === 0) return answered(`No message of yours ${which === 'failed' ? 'has failed' : 'waits'}.`);
      return answered(
        `Your last messages that ${which === 'failed' ? 'have failed' : 'wait'}; delivered ones are not kept:`,
        ...items.map((item) => `${item.id}: ${lineOf(item)}`),
      );
    },
  };
}

function whichOf(text: string | undefined): Which {
  return text === 'waiting' ? 'waiting' : 'failed';
}

function lineOf({ lane, acceptedAtMs, code }: Pick<QueueItem, 'lane' | 'acceptedAtMs' | 'code'>): string {
  const why = code === undefined ? '' : ` (${failureText(code)})`;
  return `to ${lane.slice(lane.indexOf('\n') + 1)}, ${new Date(acceptedAtMs).toISOString()}${why}`;
}

async function detailsOf(
  queue: Pick<DeliveryQueue, 'show'>,
  { address, user }: Caller,
  id: string,
): Promise<CommandAnswer> {
  const item = await queue.show(id);
  // Of another's messages not even that they are there.
  if (item?.owner !== addressKey(user ?? address) || item.operation.op !== 'message') {
    return refused(`No message of yours has the id ${id.slice(0, 40)}.`);
  }
  const { excerpt } = reportableOf(item.operation);
  const { state, attempts, expiresAtMs, code } = item;
  return answered(
    lineOf({ lane: item.lane, acceptedAtMs: item.acceptedAtMs }),
    ...(excerpt === undefined ? [] : [`It begins: ${excerpt}`]),
    state === 'dead' ? failureText(code ?? '') : `It waits; attempts so far: ${attempts}.`,
    ...(state === 'dead' ? [] : [`It is tried until ${new Date(expiresAtMs).toISOString()}.`]),
  );
}
