import { textOf, type XmlElement } from '../../cpim/xml.ts';
import { formatJid, parseJid } from '../jid.ts';
import { isStanzaName } from '../stanza-content.ts';
import { stanzaCount } from '../stanza-count.ts';
import { authoritativeAnswer, dialbackAnswer, dialbackElement, type DialbackKeys, readDialback } from './dialback.ts';
import { type PeerSecurity, provesDomain, securityFault, type TlsProof } from './policy.ts';
import { expandedName, headerAttrs, headerFault, NS, plain } from './stream-elements.ts';

export type IncomingOptions = {
  readonly isOurs: (domain: string) => boolean;
  /** What is asked of a peer; undefined for a domain that is none. */
  readonly securityOf: (peer: string) => PeerSecurity | undefined;
  /** Whether we have a certificate, so that TLS can be had. */
  readonly hasCertificate: boolean;
  readonly keys: DialbackKeys;
  /** An id that nobody can guess, new for each call. */
  readonly newStreamId: () => string;
  /** Takes up a lost stream of these ends; undefined where there is none. @returns stanzas taken over it */
  readonly resume?: (id: string, ends: Ends, taken: number) => number | undefined;
  /** An id under which this stream may be taken up again; undefined where none is to be. */
  readonly newResumeId?: () => string | undefined;
  readonly resumeSeconds?: number;
};

/** The two ends of what comes over a stream: the peer's domain and ours. */
export type Ends = { readonly own: string; readonly peer: string };

export type IncomingStep =
  | { readonly do: 'open'; readonly attrs: Readonly<Record<string, string>> }
  | { readonly do: 'write'; readonly element: XmlElement }
  | { readonly do: 'secure' }
  /** The far side opens the stream anew. */
  | { readonly do: 'restart' }
  /** The peer has proved its domain towards one of ours: stanzas between the two may come, and go where `isBidi`. */
  | { readonly do: 'proved'; readonly ends: Ends; readonly by: 'certificate' | 'dialback'; readonly isBidi: boolean }
  /** The peer has said who it is in a way that its entry does not accept: for whoever is to mend it, here or there. */
  | { readonly do: 'unproved'; readonly peer: string; readonly reason: string }
  /** The key is to be checked with the peer's own server; `answered` is told what became of it. */
  | { readonly do: 'check'; readonly ends: Ends; readonly streamId: string; readonly key: string }
  /** Acknowledgements are on from here. */
  | { readonly do: 'managed'; readonly resumeId?: string }
  /** A lost stream goes on here. */
  | { readonly do: 'resumed'; readonly id: string; readonly taken: number }
  | { readonly do: 'stanza'; readonly element: XmlElement; readonly name: string }
  /** Of stream management, after it is on. */
  | { readonly do: 'acknowledge' }
  | { readonly do: 'acknowledged'; readonly taken: number }
  | { readonly do: 'fail'; readonly reason: string; readonly condition: string; readonly text?: string };

/** Pairs of domains on one stream, and keys that are being checked at once. */
const PAIRS_MAX = 1_000;
const CHECKS_MAX = 16;
/** How often EXTERNAL may fail before the stream ends (RFC 6120, section 6.4.5). */
const FAILURES_MAX = 3;
/** Keys that may be found not to be good before anybody has proved who he is: each has the peer's server asked. */
const BAD_KEYS_MAX = 16;

/**
 * The conduct of a stream that was opened to us: who may speak on it, proved by certificate (XEP-0178, XEP-0344) or by
 * dialback (XEP-0220), for one pair of domains or for many; and TLS, both ways, stream management.
 *
 * Pure: it is told what came in and says what to do. A domain that is no peer ends the stream with its header, before
 * anything has been spent on it. A peer whose policy asks for TLS is offered nothing else before it.
 */
export class IncomingNegotiation {
  readonly #options: IncomingOptions;
  #proof: TlsProof | undefined;
  #header: Readonly<Record<string, string>> = {};
  /** From the header; the peer may leave itself out of it, to say who it is by dialback. */
  #own: string | undefined;
  #peer: string | undefined;
  #streamId = '';
  #isOpen = false;
  #isBidi = false;
  #hasExternal = false;
  #failures = 0;
  #isManaged = false;
  #announced: IncomingStep | undefined;
  readonly #proved = new Set<string>();
  /** Ids of the streams whose keys are being checked, by pair. */
  readonly #checking = new Map<string, string>();
  #badKeys = 0;

  /** @param proof of the TLS that the connection began with; absent: it began in the clear */
  constructor(options: IncomingOptions, proof?: TlsProof) {
    this.#options = options;
    this.#proof = proof;
  }

  /** Whether somebody has proved who he is. */
  get isAuthenticated(): boolean {
    return this.#proved.size > 0;
  }

  get isSecure(): boolean {
    return this.#proof !== undefined;
  }

  /** Whether the peer has proved its domain towards ours on this stream. */
  isProved(ends: Ends): boolean {
    return this.#proved.has(key(ends));
  }

  header(name: string, attrs: Readonly<Record<string, string>>): readonly IncomingStep[] {
    this.#streamId = this.#options.newStreamId();
    const fault = headerFault(name, attrs);
    const to = attrs['to'] === undefined ? undefined : parseJid(attrs['to']);
    const from = attrs['from'] === undefined || attrs['from'] === '' ? undefined : parseJid(attrs['from']);
    const open: IncomingStep = {
      do: 'open',
      attrs: headerAttrs({
        ...(to === undefined ? {} : { from: formatJid({ domain: to.domain }) }),
        ...(from === undefined ? {} : { to: formatJid({ domain: from.domain }) }),
        id: this.#streamId,
      }),
    };
    // Whatever is wrong, the header goes back first (RFC 6120, section 4.9.1.2).
    if (fault !== undefined) return [open, this.#fail(fault, 'header of no stream between servers')];
    if (attrs['to'] !== undefined && (to === undefined || !this.#options.isOurs(to.domain))) {
      return [open, this.#fail('host-unknown', 'stream for a domain that is not ours')];
    }
    if (attrs['from'] !== undefined && attrs['from'] !== '' && from === undefined) {
      return [open, this.#fail('improper-addressing', 'stream from what is no domain')];
    }
    if (from !== undefined && this.#options.securityOf(from.domain) === undefined) {
      const text = `${from.domain} is not a peer of this server`;
      return [open, this.#fail('policy-violation', 'stream from a domain that is no peer', text)];
    }
    const isSame = (this.#own ?? to?.domain) === to?.domain && (this.#peer ?? from?.domain) === from?.domain;
    if (this.isAuthenticated && !isSame) {
      return [open, this.#fail('improper-addressing', 'stream opened anew between other ends')];
    }
    this.#own = to?.domain;
    this.#peer = from?.domain;
    this.#header = attrs;
    this.#isOpen = true;
    const announced = this.#announced;
    this.#announced = undefined;
    const features: IncomingStep = { do: 'write', element: this.#features() };
    const doubt = from === undefined ? undefined : this.#doubt(from.domain);
    return [open, features, ...(announced === undefined ? [] : [announced]), ...(doubt === undefined ? [] : [doubt])];
  }

  secured(proof: TlsProof): readonly IncomingStep[] {
    this.#proof = proof;
    this.#isOpen = false;
    this.#isBidi = false;
    return [{ do: 'restart' }];
  }

  element(element: XmlElement): readonly IncomingStep[] {
    if (!this.#isOpen) return [];
    const { name, namespace } = expandedName(element, this.#header);
    switch (namespace) {
      case NS.server:
        if (!isStanzaName(name))
          return [this.#fail('unsupported-stanza-type', `no stanza is called ${name.slice(0, 32)}`)];
        if (!this.isAuthenticated) return [this.#fail('not-authorized', 'stanza from nobody who has proved who he is')];
        return [{ do: 'stanza', element, name }];
      case NS.dialback:
        return this.#dialback(name, element);
      case NS.tls:
        return this.#startTls(name);
      case NS.sasl:
        return this.#sasl(name, element);
      case NS.bidi:
        if (name === 'bidi' && !this.isAuthenticated) this.#isBidi = true;
        return [];
      case NS.sm:
        return this.#sm(name, element);
      case undefined:
      default:
        return [this.#fail('unsupported-stanza-type', 'element that nobody asked for')];
    }
  }

  /** What became of a key of this stream that was to be checked. `condition`: it could not be. */
  answered(
    ends: Ends,
    streamId: string,
    verdict: 'valid' | 'invalid' | 'error',
    condition?: string,
  ): readonly IncomingStep[] {
    // A stream that was opened anew since has another id, and hears nothing of what was said before TLS.
    if (this.#checking.get(key(ends)) !== streamId) return [];
    this.#checking.delete(key(ends));
    const question = { kind: 'result', from: ends.peer, to: ends.own, key: '' } as const;
    const element = dialbackElement(dialbackAnswer(question, verdict, condition));
    if (verdict !== 'valid') {
      this.#badKeys += 1;
      const isOver = !this.isAuthenticated && this.#badKeys >= BAD_KEYS_MAX;
      const over = isOver ? [this.#fail('policy-violation', 'too many keys that are not good')] : [];
      return [{ do: 'write', element }, ...over];
    }
    return [{ do: 'write', element }, this.#prove(ends, 'dialback')];
  }

  #features(): XmlElement {
    const children: XmlElement[] = [];
    const security = this.#peer === undefined ? undefined : this.#options.securityOf(this.#peer);
    const dialback = plain('dialback', NS.dialbackFeature, [plain('errors', NS.dialbackFeature)]);
    if (this.#proof === undefined) {
      // Of one who has not said who he is, nothing weaker is taken than we can give.
      const isNeeded = security === undefined ? this.#options.hasCertificate : security !== 'dialback';
      if (this.#options.hasCertificate) {
        children.push(plain('starttls', NS.tls, isNeeded ? [plain('required', NS.tls)] : []));
      }
      if (!isNeeded) children.push(dialback, plain('bidi', NS.bidiFeature));
    } else if (this.isAuthenticated) {
      children.push(dialback, plain('sm', NS.sm));
    } else {
      this.#hasExternal = this.#peer !== undefined && provesDomain(this.#proof, this.#peer);
      if (this.#hasExternal) {
        children.push(plain('mechanisms', NS.sasl, [{ name: 'mechanism', attrs: {}, children: ['EXTERNAL'] }]));
      }
      children.push(dialback, plain('bidi', NS.bidiFeature));
    }
    return { name: 'stream:features', attrs: {}, children };
  }

  #startTls(name: string): readonly IncomingStep[] {
    if (name !== 'starttls') return [];
    if (this.#proof !== undefined || !this.#options.hasCertificate || this.isAuthenticated) {
      return [
        { do: 'write', element: plain('failure', NS.tls) },
        this.#fail('policy-violation', 'TLS asked for at the wrong time'),
      ];
    }
    this.#checking.clear();
    return [{ do: 'write', element: plain('proceed', NS.tls) }, { do: 'secure' }];
  }

  #sasl(name: string, element: XmlElement): readonly IncomingStep[] {
    if (name !== 'auth' || this.isAuthenticated) return [this.#fail('policy-violation', 'SASL at the wrong time')];
    const refuse = (condition: string): readonly IncomingStep[] => {
      this.#failures += 1;
      const failure: IncomingStep = { do: 'write', element: plain('failure', NS.sasl, [plain(condition, NS.sasl)]) };
      return this.#failures < FAILURES_MAX ? [failure] : [failure, this.#fail('policy-violation', 'too many failures')];
    };
    if (element.attrs['mechanism'] !== 'EXTERNAL') return refuse('invalid-mechanism');
    const [own, peer] = [this.#own, this.#peer];
    if (!this.#hasExternal || own === undefined || peer === undefined) return refuse('not-authorized');
    const text = textOf(element).trim();
    const authorization = text === '' || text === '=' ? '' : Buffer.from(text, 'base64').toString('utf8');
    if (authorization !== '' && parseJid(authorization)?.domain !== peer) return refuse('invalid-authzid');
    this.#isOpen = false;
    this.#checking.clear();
    // Told with the header of the stream that begins now: nothing of ours may go out before that.
    this.#announced = this.#prove({ own, peer }, 'certificate');
    return [{ do: 'write', element: plain('success', NS.sasl) }, { do: 'restart' }];
  }

  #dialback(name: string, element: XmlElement): readonly IncomingStep[] {
    const message = readDialback(name, element);
    if (message === undefined) return [this.#fail('improper-addressing', 'dialback without proper ends')];
    // Answers belong on streams that we opened; here nobody was asked anything (XSF notice of 2012).
    if (message.type !== undefined) return [this.#fail('invalid-from', 'answer to nothing that was asked here')];
    const say = (type: 'valid' | 'invalid' | 'error', condition?: string): IncomingStep => ({
      do: 'write',
      element: dialbackElement(dialbackAnswer(message, type, condition)),
    });
    const security = this.#options.securityOf(message.from);
    if (message.kind === 'verify') {
      if (security === undefined) return [say('error', 'forbidden')];
      return [
        {
          do: 'write',
          element: dialbackElement(authoritativeAnswer(message, this.#options.keys, this.#options.isOurs)),
        },
      ];
    }
    const ends = { own: message.to, peer: message.from };
    if (!this.#options.isOurs(ends.own)) return [say('error', 'item-not-found')];
    if (security === undefined) return [say('error', 'forbidden')];
    if (this.isProved(ends)) return [say('valid')];
    if (this.#proved.size + this.#checking.size >= PAIRS_MAX || this.#checking.size >= CHECKS_MAX) {
      return [say('error', 'resource-constraint')];
    }
    // Whom his certificate proves need not be asked about (XEP-0344, section 3).
    if (provesDomain(this.#proof, ends.peer)) return [say('valid'), this.#prove(ends, 'certificate')];
    const reason = securityFault(security, ends.peer, this.#proof);
    if (reason !== undefined) {
      const condition = security === 'certificate' ? 'not-authorized' : 'policy-violation';
      return [say('error', condition), { do: 'unproved', peer: ends.peer, reason }];
    }
    if (this.#checking.has(key(ends))) return [];
    this.#checking.set(key(ends), this.#streamId);
    return [{ do: 'check', ends, streamId: this.#streamId, key: message.key }];
  }

  #sm(name: string, element: XmlElement): readonly IncomingStep[] {
    const refuse = (condition: string): readonly IncomingStep[] => [
      { do: 'write', element: plain('failed', NS.sm, [plain(condition, NS.stanzaErrors)]) },
    ];
    if (!this.isAuthenticated) return refuse('unexpected-request');
    const taken = stanzaCount(element.attrs['h']);
    switch (name) {
      case 'enable': {
        if (this.#isManaged) return refuse('unexpected-request');
        this.#isManaged = true;
        const asked = element.attrs['resume'] === 'true' || element.attrs['resume'] === '1';
        const id = asked ? this.#options.newResumeId?.() : undefined;
        const { resumeSeconds } = this.#options;
        const attrs =
          id === undefined
            ? {}
            : { id, resume: 'true', ...(resumeSeconds === undefined ? {} : { max: String(resumeSeconds) }) };
        return [
          { do: 'write', element: plain('enabled', NS.sm, [], attrs) },
          { do: 'managed', ...(id === undefined ? {} : { resumeId: id }) },
        ];
      }
      case 'resume': {
        const id = element.attrs['previd'] ?? '';
        const [own, peer] = [this.#own, this.#peer];
        if (this.#isManaged || taken === undefined || own === undefined || peer === undefined)
          return refuse('unexpected-request');
        if (!this.isProved({ own, peer })) return refuse('item-not-found');
        const received = this.#options.resume?.(id, { own, peer }, taken);
        if (received === undefined) return refuse('item-not-found');
        this.#isManaged = true;
        const attrs = { previd: id, h: String(received) };
        return [
          { do: 'write', element: plain('resumed', NS.sm, [], attrs) },
          { do: 'resumed', id, taken },
        ];
      }
      case 'r':
        return this.#isManaged ? [{ do: 'acknowledge' }] : [];
      case 'a':
        return this.#isManaged && taken !== undefined ? [{ do: 'acknowledged', taken }] : [];
      default:
        return [];
    }
  }

  /** What is known against a peer before it has said anything but its name: it will not get in with this certificate. */
  #doubt(peer: string): IncomingStep | undefined {
    const security = this.#options.securityOf(peer);
    if (security === undefined || this.#proof === undefined || this.isAuthenticated) return undefined;
    const reason = securityFault(security, peer, this.#proof);
    return reason === undefined ? undefined : { do: 'unproved', peer, reason };
  }

  #prove(ends: Ends, by: 'certificate' | 'dialback'): IncomingStep {
    this.#proved.add(key(ends));
    return { do: 'proved', ends, by, isBidi: this.#isBidi };
  }

  #fail(condition: string, reason: string, text?: string): IncomingStep {
    this.#isOpen = false;
    return { do: 'fail', condition, reason, ...(text === undefined ? {} : { text }) };
  }
}

function key({ own, peer }: Ends): string {
  return `${peer} ${own}`;
}
