import { addressKey, localpartOf } from '../../cpim/address.ts';
import type { InstantMessage } from '../../cpim/operation.ts';
import { readableFromContent } from '../../cpim/readable.ts';
import type { Origin } from '../admission.ts';
import { readingContent } from '../content-failure.ts';
import { derivedId } from '../failure-report.ts';
import type { Log } from '../log.ts';
import type { Clock, DeliveryQueue } from '../ports.ts';
import { isPostmaster } from '../postmaster.ts';
import { queueEntryOf } from '../queue-entry.ts';
import { RateTable } from '../rate-table.ts';
import type { Router } from '../router.ts';
import type { Command, CommandAnswer } from './command.ts';
import { readCommandLine } from './command-line.ts';
import type { CommandService } from './command-service.ts';
import type { ServiceAddresses } from './service-addresses.ts';

export type ChatDeskDeps = {
  readonly services: Pick<ServiceAddresses, 'isService'>;
  readonly commands: Pick<CommandService, 'callerOf' | 'commandsFor' | 'admit' | 'help' | 'run'>;
  readonly queue: Pick<DeliveryQueue, 'add'>;
  readonly router: Pick<Router, 'routeOf'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
};

/** Whoever has not fetched an answer by then has given up, ms. */
const ANSWER_LIFETIME_MS = 3_600_000;
const HOPS = 70;
/** What is no command is answered so often; whoever goes on is no human. */
const MISTAKES = { perSecond: 1 / 60, burst: 5 };

/**
 * Takes commands that are written as messages to the server itself, and writes the answers back the same way.
 *
 * Two programs never talk to each other for ever: nothing is answered to a server or its postmaster, nor to ourselves;
 * answers to one sender are bounded, and above that he is refused with an error, which nobody answers.
 */
export class ChatDesk {
  readonly #deps: ChatDeskDeps;
  readonly #mistakes: RateTable;

  constructor(deps: ChatDeskDeps) {
    this.#deps = deps;
    this.#mistakes = new RateTable(MISTAKES, deps.clock);
  }

  /** Whether a message is for the server itself. */
  isFor({ destination }: InstantMessage): boolean {
    return this.#deps.services.isService(destination.address);
  }

  /**
   * Carries out the command of a message that has been admitted; resolves when its answer is stored.
   *
   * @throws GatewayError 'rate-exceeded', 'content-unsupported' and 'content-malformed' for what is no text, and what the
   *   queue throws.
   */
  async take(message: InstantMessage, origin: Origin): Promise<'delivered'> {
    const { commands, log } = this.#deps;
    const { address } = message.source;
    if (this.#isMachine(message)) {
      log.info({ messageId: message.id, from: address }, 'message of a machine to the server is not answered');
      return 'delivered';
    }
    const text = textOf(message);
    const caller = commands.callerOf(address);
    commands.admit(caller);
    const line = await readCommandLine(text, commands.commandsFor(caller), caller);
    let answer: CommandAnswer;
    if (line.kind === 'command') {
      answer = await commands.run(line.command, caller, line.given);
    } else {
      this.#mistakes.take(addressKey(address));
      answer = line.kind === 'wrong' ? wrong(line.command, line.fault) : withHelp(commands.help(caller));
    }
    await this.#write(message, origin, answer.lines.join('\n'));
    return 'delivered';
  }

  #isMachine({ source }: InstantMessage): boolean {
    const { address } = source;
    return localpartOf(address) === undefined || isPostmaster(address) || this.#deps.services.isService(address);
  }

  async #write(message: InstantMessage, origin: Origin, text: string): Promise<void> {
    const { queue, router, clock } = this.#deps;
    const nowMs = clock.nowMs();
    const source = message.destination.address;
    // Over XMPP the client that has asked is told; a phone that has asked may be another by the time of the answer.
    const destination = origin.kind === 'link' ? message.source : { address: message.source.address };
    const { hop } = router.routeOf(source, destination.address);
    const expiresAtMs = nowMs + ANSWER_LIFETIME_MS;
    const answer: InstantMessage = {
      op: 'message',
      id: derivedId('c', message.id),
      source: { address: source },
      destination,
      hops: HOPS,
      acceptedAtMs: nowMs,
      expiresAtMs,
      ...(message.thread === undefined ? {} : { thread: message.thread }),
      language: 'en',
      content: { type: 'text/plain;charset=UTF-8', text },
    };
    await queue.add(queueEntryOf(answer, hop, expiresAtMs));
  }
}

function textOf({ content }: InstantMessage): string {
  return 'text' in content ? content.text : readingContent(() => readableFromContent(content)).text;
}

function wrong({ usage, about }: Command, fault: string): CommandAnswer {
  return { lines: [`This was not understood: ${fault}.`, `${usage}: ${about}`], isRefusal: true };
}

function withHelp(help: CommandAnswer): CommandAnswer {
  return { lines: ['This is no command.', ...help.lines], isRefusal: true };
}
