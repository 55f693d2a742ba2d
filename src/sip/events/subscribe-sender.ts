import type { Address } from '../../cpim/address.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { Turnstile } from '../../core/turnstile.ts';
import type { SipOutgoing, SipResponse } from '../message.ts';
import type { Dialog } from './dialog.ts';
import type { AnswerPlace } from './notify-handler.ts';
import { eventFromAnswer, subscribeRequest, type SipRoute } from './subscribe-request.ts';
import type { AnswerEvent } from './subscriber-states.ts';

export type SubscribeSenderDeps = {
  readonly request: (outgoing: SipOutgoing, domain: string, watcher: Address) => Promise<SipResponse>;
  /** The URI of our Contact towards this domain, without brackets: the same, or one as good, after a restart. */
  readonly contactFor: (watcher: Address, route: SipRoute) => string | Promise<string>;
  /** How many may be under way to one next hop. */
  readonly perHopMax: number;
  /** A next hop that did not answer does so again. */
  readonly onUp: (hop: string) => void;
  readonly log: Log;
};

/** A SUBSCRIBE that is to be sent when its turn comes. */
export type Subscribe = {
  readonly watcher: Address;
  readonly route: SipRoute;
  readonly dialog: Dialog;
  readonly seconds: number;
  /** What must be stored before it may leave. */
  readonly stored?: Promise<void>;
  /** Asked when its turn has come; false: it is wanted no more. */
  readonly begin: () => boolean;
};

export type Answer = { readonly event: AnswerEvent; readonly response?: SipResponse };

type Hop = { readonly turnstile: Turnstile; isSilent: boolean };

/** Nobody has answered: what RFC 3263 found was not there, or said nothing. */
const SILENT = new Set(['peer-unreachable', 'peer-timeout', 'peer-not-found']);
/** Answers of somebody who speaks for one that is not there. */
const NOT_UP: ReadonlySet<number> = new Set([408, 502, 503, 504]);

/** The next hop of a route, for what concerns all that go there. */
export function hopOf({ nextHop, domain }: SipRoute): string {
  return nextHop ?? domain;
}

/**
 * Sends SUBSCRIBE requests: a bounded number to each next hop at once, the others in the order they came, so that
 * neither a storm nor a next hop that is down holds up what goes elsewhere.
 */
export class SubscribeSender {
  readonly #deps: SubscribeSenderDeps;
  readonly #hops = new Map<string, Hop>();

  constructor(deps: SubscribeSenderDeps) {
    this.#deps = deps;
  }

  /** Never rejects. @returns undefined when it was wanted no more. */
  async send(subscribe: Subscribe): Promise<Answer | undefined> {
    const name = hopOf(subscribe.route);
    const hop = this.#hop(name);
    let isInside = false;
    try {
      await subscribe.stored;
      await hop.turnstile.enter();
      isInside = true;
      const response = await this.#exchange(subscribe);
      if (response === undefined) return undefined;
      const { status } = response;
      if (hop.isSilent && !NOT_UP.has(status)) {
        hop.isSilent = false;
        this.#deps.log.info({ nextHop: name, status }, 'peer answers subscriptions again');
        this.#deps.onUp(name);
      }
      return { event: eventFromAnswer(response), response };
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      const { watcher, dialog } = subscribe;
      const fields = { watcher, callId: dialog.callId, nextHop: name, code: error.code };
      if (error.code === 'internal') this.#deps.log.error({ ...fields, error }, 'subscription request failed');
      else this.#deps.log.debug({ ...fields, reason: error.message }, 'subscription request was not answered');
      if (!SILENT.has(error.code)) return { event: { type: 'failed' } };
      // Once for all that go there.
      if (!hop.isSilent) this.#deps.log.warn(fields, 'peer does not answer subscriptions, they are tried again');
      hop.isSilent = true;
      return { event: { type: 'failed', isSilent: true } };
    } finally {
      if (isInside) hop.turnstile.leave();
    }
  }

  async #exchange({ watcher, route, dialog, seconds, begin }: Subscribe): Promise<SipResponse | undefined> {
    const { contactFor, request, log } = this.#deps;
    const contact = await contactFor(watcher, route);
    if (!begin()) return undefined;
    const response = await request(subscribeRequest(dialog, { route, contact, seconds }), route.domain, watcher);
    const { status, flow } = response;
    const fields = { watcher, callId: dialog.callId, nextHop: hopOf(route), peer: flow.remoteAddress, status };
    if (status === 401 || status === 407) {
      // As with MESSAGE: the peer must know us by address or certificate.
      log.warn(fields, 'peer asks for credentials that this server does not have');
    } else log.debug(fields, 'subscription request answered');
    return response;
  }

  #hop(name: string): Hop {
    let hop = this.#hops.get(name);
    if (hop === undefined) {
      hop = { turnstile: new Turnstile(this.#deps.perHopMax), isSilent: false };
      this.#hops.set(name, hop);
    }
    return hop;
  }
}

/** From where an answer came, for the notifications that may come from there. */
export function placeOf({ flow }: SipResponse): AnswerPlace {
  return flow.transport === 'tls' ? { address: flow.remoteAddress, isTls: true } : { address: flow.remoteAddress };
}
