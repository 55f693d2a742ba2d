import { GatewayError } from '../../core/errors.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { nodeOf } from './ask.ts';
import { DATA_FORM_NAMESPACE, formElement, type FormField, readSubmitted, resultElement } from './data-form.ts';

/** XEP-0050. */
export const COMMANDS_NAMESPACE = 'http://jabber.org/protocol/commands';

const ACTIONS = ['execute', 'cancel', 'prev', 'next', 'complete'] as const;
export type AdhocAction = (typeof ACTIONS)[number];

export type AdhocRequest = {
  readonly node: string;
  readonly action: AdhocAction;
  readonly sessionId?: string;
  /** Absent: no form was filled in. */
  readonly submitted?: ReadonlyMap<string, string>;
};

/** @throws GatewayError 'request-malformed' for no node, an action there is not, or a form that cannot be read. */
export function readAdhoc(command: XmlElement): AdhocRequest {
  const node = nodeOf(command);
  const { action = 'execute', sessionid } = command.attrs;
  const known = ACTIONS.find((one) => one === action);
  if (node === undefined || known === undefined) {
    throw new GatewayError('request-malformed', 'ad-hoc command without a node, or with an unknown action');
  }
  const hasForm = command.children.some(
    (child) => typeof child !== 'string' && child.name === 'x' && child.attrs['xmlns'] === DATA_FORM_NAMESPACE,
  );
  const submitted = hasForm ? readSubmitted(command) : undefined;
  // The form of a cancelled command is of no matter, and of what type it is neither.
  if (hasForm && submitted === undefined && known !== 'cancel' && known !== 'prev') {
    throw new GatewayError('request-malformed', 'form that is not filled in, or too large');
  }
  return {
    node,
    action: known,
    ...(sessionid === undefined ? {} : { sessionId: sessionid }),
    ...(submitted === undefined ? {} : { submitted }),
  };
}

type Session = { readonly node: string; readonly sessionId: string };

/** A stage at which something is asked for (section 2.4). */
export function executing(
  { node, sessionId }: Session,
  stage: {
    readonly title: string;
    readonly field: FormField;
    readonly isFirst: boolean;
    readonly isLast: boolean;
    readonly fault?: string;
  },
): XmlElement {
  const { title, field, isFirst, isLast, fault } = stage;
  const actions = [...(isFirst ? [] : ['prev']), ...(isLast ? [] : ['next']), 'complete'];
  return commandElement({ node, sessionId }, 'executing', [
    {
      name: 'actions',
      attrs: { execute: isLast ? 'complete' : 'next' },
      children: actions.map((name) => ({ name, attrs: {}, children: [] })),
    },
    formElement({ title, fields: [field] }),
    ...(fault === undefined ? [] : [noteElement('error', fault)]),
  ]);
}

export function completed(
  session: Session,
  title: string,
  { lines, isRefusal }: { readonly lines: readonly string[]; readonly isRefusal?: true },
): XmlElement {
  const children = [resultElement(title, lines)];
  if (isRefusal === true) children.push(noteElement('error', lines.join(' ')));
  return commandElement(session, 'completed', children);
}

export function canceled(session: Session): XmlElement {
  return commandElement(session, 'canceled', []);
}

function commandElement({ node, sessionId }: Session, status: string, children: readonly XmlElement[]): XmlElement {
  return { name: 'command', attrs: { xmlns: COMMANDS_NAMESPACE, node, sessionid: sessionId, status }, children };
}

function noteElement(type: 'info' | 'error', text: string): XmlElement {
  return { name: 'note', attrs: { type }, children: [text] };
}
