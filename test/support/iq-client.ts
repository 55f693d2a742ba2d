import { childOf, readXml, type XmlElement } from '../../src/cpim/xml.ts';
import type { ComponentServer } from './component-server.ts';
import { until } from './until.ts';

let ids = 0;

/** An XMPP client, behind the scripted server, that asks questions. */
export class IqClient {
  readonly jid: string;
  readonly #xmpp: ComponentServer;

  constructor(xmpp: ComponentServer, jid: string) {
    this.#xmpp = xmpp;
    this.jid = jid;
  }

  /** Sends a request and gives the answer, result or error. */
  async ask(to: string, payload: string, type: 'get' | 'set' = 'get'): Promise<XmlElement> {
    const id = `ask-${(ids += 1)}`;
    this.#xmpp.send(readXml(`<iq from='${this.jid}' to='${to}' type='${type}' id='${id}'>${payload}</iq>`));
    return until(() => this.answersTo(id)[0], { what: `${this.jid} has an answer to ${payload}`, withinMs: 5_000 });
  }

  answersTo(id: string): readonly XmlElement[] {
    return this.#xmpp.received.filter(({ name, attrs }) => name === 'iq' && attrs['id'] === id);
  }

  /** The payload of a result. @throws for an error */
  async get(to: string, payload: string, type: 'get' | 'set' = 'get'): Promise<XmlElement> {
    const answer = await this.ask(to, payload, type);
    const condition = conditionOf(answer);
    if (condition !== undefined) throw new Error(`${payload} to ${to} was answered ${condition}`);
    const child = answer.children.find((one) => typeof one !== 'string');
    return child ?? { name: 'nothing', attrs: {}, children: [] };
  }

  /** The condition of the error; undefined for a result. */
  async refusal(to: string, payload: string, type: 'get' | 'set' = 'get'): Promise<string | undefined> {
    return conditionOf(await this.ask(to, payload, type));
  }
}

function conditionOf(answer: XmlElement): string | undefined {
  if (answer.attrs['type'] !== 'error') return undefined;
  const error = childOf(answer, 'error');
  const condition = error?.children.find((one) => typeof one !== 'string' && one.name !== 'text');
  return typeof condition === 'object' ? condition.name : 'no condition';
}
