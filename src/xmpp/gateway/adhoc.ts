import {
  type Caller,
  type Choice,
  type Command,
  type CommandArgument,
  nextArgument,
} from '../../core/commands/command.ts';
import type { CommandService } from '../../core/commands/command-service.ts';
import { DueList } from '../../core/due-list.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { formatJid } from '../jid.ts';
import { type AdhocRequest, canceled, completed, executing, readAdhoc } from './adhoc-element.ts';
import type { Ask } from './ask.ts';
import type { FormField } from './data-form.ts';
import type { ListedCommand } from './disco.ts';

export type AdhocDeps = {
  readonly commands: Pick<CommandService, 'callerOf' | 'commandsFor' | 'admit' | 'run'>;
  /** A token that nobody can guess. */
  readonly newToken: () => string;
  readonly clock: Clock;
};

/** A command under way: what was given so far, in the order in which it was asked for. */
type Session = {
  readonly id: string;
  readonly node: string;
  readonly command: Command;
  readonly caller: Caller;
  /** Full JID of the client, to whom alone it belongs. */
  readonly owner: string;
  readonly given: Map<string, string>;
  expiresAtMs: number;
};

/** How long a form may lie there, ms. */
const SESSION_MS = 300_000;
const SESSIONS_MAX = 1_000;
const SESSIONS_PER_CALLER_MAX = 5;

/**
 * Commands as XMPP clients give them (XEP-0050): each argument that a command wants is one stage with a form of one
 * field; `prev` goes back, `complete` leaves out what need not be given. Sessions are bounded, and end by themselves.
 */
export class AdhocCommands {
  readonly #deps: AdhocDeps;
  readonly #sessions = new Map<string, Session>();
  readonly #due: DueList<Session>;

  constructor(deps: AdhocDeps) {
    this.#deps = deps;
    this.#due = new DueList(deps.clock, SESSION_MS, (session) => this.#expire(session));
  }

  /** Commands under way. */
  get size(): number {
    return this.#sessions.size;
  }

  /** What is listed for whoever asks. */
  listFor({ asker }: Ask): readonly ListedCommand[] {
    const { commands } = this.#deps;
    return commands.commandsFor(commands.callerOf(asker)).map(({ name, title }) => ({ node: nodeFor(name), title }));
  }

  /**
   * Carries out one stage.
   *
   * @throws GatewayError 'recipient-unknown' for no command, 'sender-forbidden' for one that is not for him,
   *   'request-malformed' for a session or a stage there is not, 'rate-exceeded'.
   */
  async execute(ask: Ask): Promise<XmlElement> {
    const { commands } = this.#deps;
    const request = readAdhoc(ask.payload);
    const caller = commands.callerOf(ask.asker);
    const owner = formatJid(ask.from);
    if (request.sessionId === undefined) {
      commands.admit(caller);
      return this.#begin(request, caller, owner);
    }
    const session = this.#sessions.get(request.sessionId);
    if (session?.owner !== owner || session.node !== request.node) {
      throw new GatewayError('request-malformed', 'ad-hoc command in a session that is not there');
    }
    session.expiresAtMs = this.#deps.clock.nowMs() + SESSION_MS;
    return this.#goOn(session, request);
  }

  stop(): void {
    this.#due.stop();
    this.#sessions.clear();
  }

  async #begin({ node, action }: AdhocRequest, caller: Caller, owner: string): Promise<XmlElement> {
    const { commands, newToken, clock } = this.#deps;
    const command = commands.commandsFor(caller).find(({ name }) => nodeFor(name) === node);
    if (command === undefined) throw new GatewayError('recipient-unknown', 'ad-hoc command there is not');
    if (action !== 'execute') throw new GatewayError('request-malformed', 'ad-hoc command that has not begun');
    const session: Session = {
      id: newToken(),
      node,
      command,
      caller,
      owner,
      given: new Map(),
      expiresAtMs: clock.nowMs() + SESSION_MS,
    };
    if (nextArgument(command, session.given) === undefined) return this.#run(session);
    this.#keep(session);
    return this.#stage(session);
  }

  async #goOn(session: Session, { action, submitted }: AdhocRequest): Promise<XmlElement> {
    const { command, given } = session;
    if (action === 'cancel') {
      this.#sessions.delete(session.id);
      return canceled(identityOf(session));
    }
    if (action === 'prev') {
      const last = [...given.keys()].at(-1);
      if (last === undefined) throw new GatewayError('request-malformed', 'no stage before the first');
      given.delete(last);
      return this.#stage(session);
    }
    const argument = nextArgument(command, given);
    if (argument !== undefined) {
      const value = submitted?.get(argument.name);
      const fault = await faultOf(argument, value, session);
      if (fault !== undefined) return this.#stage(session, fault);
      // What need not be given and is not is not asked for again.
      given.set(argument.name, value ?? '');
    }
    const next = nextArgument(command, given);
    if (next === undefined || (action === 'complete' && !next.isRequired)) {
      this.#sessions.delete(session.id);
      return this.#run(session);
    }
    return this.#stage(session);
  }

  async #stage(session: Session, fault?: string): Promise<XmlElement> {
    const { command, given, caller } = session;
    const argument = nextArgument(command, given);
    if (argument === undefined) throw new GatewayError('internal', 'stage of a command that wants nothing');
    const choices = await argument.choices?.(caller, present(given));
    return executing(identityOf(session), {
      title: command.title,
      field: fieldOf(argument, choices),
      isFirst: given.size === 0,
      isLast: command.args.at(-1) === argument,
      ...(fault === undefined ? {} : { fault }),
    });
  }

  async #run(session: Session): Promise<XmlElement> {
    const { command, caller, given } = session;
    const answer = await this.#deps.commands.run(command, caller, present(given));
    return completed(identityOf(session), command.title, answer);
  }

  /** @throws GatewayError 'rate-exceeded' where there are too many. */
  #keep(session: Session): void {
    const own = [...this.#sessions.values()].filter(({ caller }) => caller.address === session.caller.address);
    if (own.length >= SESSIONS_PER_CALLER_MAX || this.#sessions.size >= SESSIONS_MAX) {
      const retryAfterSeconds = SESSION_MS / 1_000;
      throw new GatewayError('rate-exceeded', 'too many commands under way', { details: { retryAfterSeconds } });
    }
    this.#sessions.set(session.id, session);
    this.#due.add(session.expiresAtMs, session);
  }

  #expire(session: Session): void {
    if (this.#sessions.get(session.id) !== session) return;
    if (session.expiresAtMs > this.#deps.clock.nowMs()) this.#due.add(session.expiresAtMs, session);
    else this.#sessions.delete(session.id);
  }
}

/** The node of a command: `link account` is `link-account`. */
function nodeFor(name: string): string {
  return name.replaceAll(' ', '-');
}

function identityOf({ node, id }: Session): { readonly node: string; readonly sessionId: string } {
  return { node, sessionId: id };
}

/** Without what was left out. */
function present(given: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...given].filter(([, value]) => value !== ''));
}

async function faultOf(
  { isRequired, choices, label }: CommandArgument,
  value: string | undefined,
  { caller, given }: Session,
): Promise<string | undefined> {
  if (value === undefined) return isRequired ? `This is needed: ${label}` : undefined;
  const known = await choices?.(caller, present(given));
  if (known === undefined || known.some((choice) => choice.value === value)) return undefined;
  return 'This is none of the choices.';
}

function fieldOf({ name, label, isRequired }: CommandArgument, choices: readonly Choice[] | undefined): FormField {
  if (choices === undefined) return { name, type: 'text-single', label, isRequired };
  const first = isRequired ? choices[0]?.value : undefined;
  return {
    name,
    type: 'list-single',
    label,
    isRequired,
    options: choices,
    ...(first === undefined ? {} : { value: first }),
  };
}
