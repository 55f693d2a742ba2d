import { addressKey, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../errors.ts';
import { failureText } from '../failure-text.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import { RateTable } from '../rate-table.ts';
import type { AccountLinks } from './account-links.ts';
import { answered, type Caller, type Command, type CommandAnswer, type Given, refused } from './command.ts';
import { historyCommand } from './history-command.ts';
import { linkCommand } from './link-command.ts';
import { rulesCommand } from './rules-command.ts';
import { statusCommand, type StatusDeps } from './status-command.ts';

export type CommandServiceDeps = StatusDeps &
  Parameters<typeof historyCommand>[0] &
  Parameters<typeof rulesCommand>[0] & {
    /** Whether somebody in a domain of ours is served here. */
    readonly isUser: (address: Address) => boolean;
    readonly accounts: AccountLinks;
    readonly clock: Pick<Clock, 'nowMs'>;
    readonly log: Log;
  };

/** Of one caller. */
const GIVEN = { perSecond: 0.5, burst: 20 };

/** The commands that users may give: one table for every way to give them. */
export class CommandService {
  readonly #deps: CommandServiceDeps;
  readonly #commands: readonly Command[];
  readonly #rates: RateTable;

  constructor(deps: CommandServiceDeps) {
    this.#deps = deps;
    this.#rates = new RateTable(GIVEN, deps.clock);
    this.#commands = [
      {
        name: 'help',
        title: 'Help',
        about: 'these lines',
        usage: 'help',
        isForUsers: false,
        args: [],
        run: (caller) => this.help(caller),
      },
      statusCommand(deps),
      historyCommand(deps),
      rulesCommand(deps),
      linkCommand(deps),
    ];
  }

  /** Who somebody is to commands; that he is who he says has been proved. */
  callerOf(address: Address): Caller {
    const { isUser, accounts } = this.#deps;
    const user = isUser(address) ? address : accounts.ownerOf(address);
    return user === undefined ? { address } : { address, user };
  }

  /** The commands that somebody may give. */
  commandsFor({ user }: Caller): readonly Command[] {
    return this.#commands.filter(({ isForUsers }) => !isForUsers || user !== undefined);
  }

  /** Counts what somebody asks of commands. @throws GatewayError 'rate-exceeded'. */
  admit({ address }: Caller): void {
    this.#rates.take(addressKey(address));
  }

  help(caller: Caller): CommandAnswer {
    return answered('Commands:', ...this.commandsFor(caller).map(({ usage, about }) => `${usage}: ${about}`));
  }

  /** Carries a command out; what fails is an answer too, in the words for those who use it. Never rejects. */
  async run(command: Command, caller: Caller, given: Given): Promise<CommandAnswer> {
    const { log } = this.#deps;
    try {
      const answer = await command.run(caller, given);
      log.info(
        { caller: caller.address, command: command.name, isRefusal: answer.isRefusal === true },
        'command given',
      );
      return answer;
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      const level = error.code === 'internal' ? 'error' : 'warn';
      log[level]({ caller: caller.address, command: command.name, code: error.code, error }, 'command failed');
      return refused(`It could not be done. ${failureText(error.code)}`);
    }
  }
}
