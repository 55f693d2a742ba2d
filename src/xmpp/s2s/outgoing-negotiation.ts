import { childOf, childrenOf, textOf, type XmlElement } from '../../cpim/xml.ts';
import { formatJid, parseJid } from '../jid.ts';
import { dialbackElement, readDialback } from './dialback.ts';
import { stanzaCount } from '../stanza-count.ts';
import { type PeerSecurity, securityFault, type TlsProof } from './policy.ts';
import { expandedName, headerAttrs, headerFault, NS, plain } from './stream-elements.ts';

export type OutgoingOptions = {
  /** The domain of ours that opens the stream, and the peer's; canonical. */
  readonly own: string;
  readonly peer: string;
  readonly security: PeerSecurity;
  /** `verify`: only a question about a dialback key is to be asked, so that nobody need prove himself. */
  readonly purpose: 'stanzas' | 'verify';
  /** Whether we have a certificate to show. */
  readonly hasCertificate: boolean;
  readonly keyFor: (streamId: string) => string;
  /** A lost stream that may be taken up again (XEP-0198, section 5): its id, and how many stanzas came over it. */
  readonly resume?: { readonly id: string; readonly received: number };
};

/** What the negotiation has led to. */
export type Established = {
  readonly isBidi: boolean;
  /** The peer's word that more pairs of domains may be proved on this stream, and that it says so when it fails. */
  readonly mayMultiplex: boolean;
  readonly sm?: { readonly id?: string; readonly resumeSeconds?: number };
  /** The lost stream goes on: so many of our stanzas had been taken. */
  readonly resumed?: number;
};

export type OutgoingStep =
  | { readonly do: 'open'; readonly attrs: Readonly<Record<string, string>> }
  | { readonly do: 'write'; readonly element: XmlElement }
  /** The TLS handshake begins now; what was read before it is worth nothing any more. */
  | { readonly do: 'secure' }
  /** Questions about keys may be asked. */
  | { readonly do: 'ask' }
  | ({ readonly do: 'up' } & Established)
  /** A stanza of the peer, over a stream used both ways, that overtook the end of the negotiation. */
  | { readonly do: 'stanza'; readonly element: XmlElement }
  /** `isRefusal`: somebody must mend something before it can work. */
  | { readonly do: 'fail'; readonly reason: string; readonly condition?: string; readonly isRefusal: boolean };

type Stage =
  'header' | 'features' | 'starttls' | 'handshake' | 'external' | 'dialback' | 'enabling' | 'resuming' | 'done';

/**
 * The negotiation of a stream that we open: header, features, STARTTLS (RFC 6120, section 5), SASL EXTERNAL (XEP-0178) or
 * dialback (XEP-0220), both ways (XEP-0288), stream management (XEP-0198).
 *
 * Pure: it is told what came in and says what to do. TLS is taken wherever it is offered; a peer whose policy asks for
 * it and who does not offer it is not spoken to any further, so that nobody gains by cutting the offer out.
 */
export class OutgoingNegotiation {
  readonly #options: OutgoingOptions;
  #stage: Stage = 'header';
  #proof: TlsProof | undefined;
  #header: Readonly<Record<string, string>> = {};
  #isAuthenticated = false;
  #isBidi = false;
  #mayMultiplex = false;
  #offersDialback = false;
  #offersSm = false;

  /** @param proof of the TLS that the connection began with (XEP-0368); absent: it began in the clear */
  constructor(options: OutgoingOptions, proof?: TlsProof) {
    this.#options = options;
    this.#proof = proof;
  }

  begin(): readonly OutgoingStep[] {
    const fault = this.#proof === undefined ? undefined : this.#securityFault();
    return fault === undefined ? [this.#open()] : [fault];
  }

  /** The peer's stream header. */
  header(name: string, attrs: Readonly<Record<string, string>>): readonly OutgoingStep[] {
    const fault = headerFault(name, attrs);
    if (fault !== undefined) return [this.#fail('what answers there speaks no XMPP between servers', true, fault)];
    const from = attrs['from'];
    if (from !== undefined && parseJid(from)?.domain !== this.#options.peer) {
      return [this.#fail(`what answers there is another domain than ${this.#options.peer}`, true, 'invalid-from')];
    }
    this.#header = attrs;
    this.#stage = 'features';
    return [];
  }

  /** TLS stands. */
  secured(proof: TlsProof): readonly OutgoingStep[] {
    this.#proof = proof;
    const fault = this.#securityFault();
    return fault === undefined ? [this.#open()] : [fault];
  }

  element(element: XmlElement): readonly OutgoingStep[] {
    const { name, namespace } = expandedName(element, this.#header);
    if (namespace === NS.streams && name === 'features') return this.#features(element);
    switch (namespace) {
      case NS.tls:
        return this.#tlsAnswer(name);
      case NS.sasl:
        return this.#saslAnswer(name, element);
      case NS.dialback:
        return this.#dialbackAnswer(name, element);
      case NS.sm:
        return this.#smAnswer(name, element);
      case NS.server:
        if (this.#isAuthenticated && this.#isBidi) return [{ do: 'stanza', element }];
        return [this.#fail('the peer sent a stanza before it was asked to', false, 'not-authorized')];
      case undefined:
      default:
        return [];
    }
  }

  #open(): OutgoingStep {
    this.#stage = 'header';
    const { own, peer } = this.#options;
    return { do: 'open', attrs: headerAttrs({ from: formatJid({ domain: own }), to: formatJid({ domain: peer }) }) };
  }

  #features(features: XmlElement): readonly OutgoingStep[] {
    if (this.#stage !== 'features') return [];
    const dialback = childOf(features, 'dialback', NS.dialbackFeature);
    this.#offersDialback = dialback !== undefined;
    this.#mayMultiplex = dialback !== undefined && childOf(dialback, 'errors', NS.dialbackFeature) !== undefined;
    this.#offersSm = childOf(features, 'sm', NS.sm) !== undefined;
    if (this.#proof === undefined) {
      if (childOf(features, 'starttls', NS.tls) !== undefined) {
        this.#stage = 'starttls';
        return [{ do: 'write', element: plain('starttls', NS.tls) }];
      }
      const fault = this.#securityFault();
      if (fault !== undefined) return [fault];
    }
    if (this.#isAuthenticated) return this.#manage();
    if (this.#options.purpose === 'verify') {
      this.#stage = 'done';
      return [{ do: 'ask' }];
    }
    const steps: OutgoingStep[] = [];
    if (childOf(features, 'bidi', NS.bidiFeature) !== undefined) {
      this.#isBidi = true;
      steps.push({ do: 'write', element: plain('bidi', NS.bidi) });
    }
    return [...steps, ...this.#authenticate(features)];
  }

  #authenticate(features: XmlElement): readonly OutgoingStep[] {
    const mechanisms = childOf(features, 'mechanisms', NS.sasl);
    const offersExternal =
      mechanisms !== undefined && childrenOf(mechanisms, 'mechanism').some((one) => textOf(one).trim() === 'EXTERNAL');
    if (offersExternal && this.#options.hasCertificate && this.#proof !== undefined) {
      this.#stage = 'external';
      const authorization = Buffer.from(formatJid({ domain: this.#options.own }), 'utf8').toString('base64');
      const attrs = { mechanism: 'EXTERNAL' };
      return [{ do: 'write', element: plain('auth', NS.sasl, [authorization], attrs) }];
    }
    return this.#proveByDialback('the peer offers no way to prove who we are');
  }

  #proveByDialback(otherwise: string): readonly OutgoingStep[] {
    const { own, peer, keyFor } = this.#options;
    const id = this.#header['id'];
    // A peer may declare the namespace in its header and have no feature for it (XEP-0220, section 2.2).
    const speaksDialback = this.#offersDialback || this.#header['xmlns:db'] === NS.dialback;
    if (!speaksDialback) return [this.#fail(otherwise, true, 'unsupported-feature')];
    if (id === undefined || id === '') return [this.#fail('the peer gave its stream no id', false, 'invalid-id')];
    this.#stage = 'dialback';
    return [{ do: 'write', element: dialbackElement({ kind: 'result', from: own, to: peer, key: keyFor(id) }) }];
  }

  #tlsAnswer(name: string): readonly OutgoingStep[] {
    if (this.#stage !== 'starttls') return [];
    if (name !== 'proceed') return [this.#fail('the peer offers TLS and then refuses it', false)];
    this.#stage = 'handshake';
    return [{ do: 'secure' }];
  }

  #saslAnswer(name: string, element: XmlElement): readonly OutgoingStep[] {
    if (this.#stage !== 'external') return [];
    if (name === 'success') {
      this.#isAuthenticated = true;
      return [this.#open()];
    }
    if (name === 'challenge') return [{ do: 'write', element: plain('response', NS.sasl, ['=']) }];
    const condition = element.children.find((child) => typeof child !== 'string');
    const why = condition === undefined || typeof condition === 'string' ? 'no reason given' : condition.name;
    return this.#proveByDialback(`the peer does not accept our certificate (${why})`);
  }

  #dialbackAnswer(name: string, element: XmlElement): readonly OutgoingStep[] {
    const { own, peer } = this.#options;
    const message = readDialback(name, element);
    if (this.#stage !== 'dialback' || message?.kind !== 'result' || message.type === undefined) return [];
    if (message.from !== peer || message.to !== own) return [];
    if (message.type === 'valid') {
      this.#isAuthenticated = true;
      return this.#manage();
    }
    if (message.type === 'error') {
      const why = message.condition ?? 'undefined-condition';
      return [this.#fail(dialbackFault(why, own, peer), true)];
    }
    return [
      this.#fail(
        'the peer found our dialback key invalid: another server answers for our domain, or one with another secret',
        true,
      ),
    ];
  }

  #manage(): readonly OutgoingStep[] {
    const { resume } = this.#options;
    if (!this.#offersSm) return this.#up({});
    if (resume !== undefined) {
      this.#stage = 'resuming';
      const attrs = { previd: resume.id, h: String(resume.received) };
      return [{ do: 'write', element: plain('resume', NS.sm, [], attrs) }];
    }
    this.#stage = 'enabling';
    return [{ do: 'write', element: plain('enable', NS.sm, [], { resume: 'true' }) }];
  }

  #smAnswer(name: string, element: XmlElement): readonly OutgoingStep[] {
    if (this.#stage === 'resuming') {
      const taken = stanzaCount(element.attrs['h']);
      if (name === 'resumed' && taken !== undefined) {
        return this.#up({ resumed: taken, sm: { ...idOf(this.#options.resume?.id), resumeSeconds: undefined } });
      }
      this.#stage = 'enabling';
      return [{ do: 'write', element: plain('enable', NS.sm, [], { resume: 'true' }) }];
    }
    if (this.#stage !== 'enabling') return [];
    if (name !== 'enabled') return this.#up({});
    const mayResume = element.attrs['resume'] === 'true' || element.attrs['resume'] === '1';
    const seconds = Number(element.attrs['max']);
    return this.#up({
      sm: {
        ...idOf(mayResume ? element.attrs['id'] : undefined),
        resumeSeconds: Number.isInteger(seconds) && seconds > 0 ? seconds : undefined,
      },
    });
  }

  #up(more: {
    readonly sm?: { readonly id?: string; readonly resumeSeconds: number | undefined };
    readonly resumed?: number;
  }): readonly OutgoingStep[] {
    this.#stage = 'done';
    const { sm, resumed } = more;
    const managed =
      sm === undefined
        ? undefined
        : {
            ...(sm.id === undefined ? {} : { id: sm.id }),
            ...(sm.resumeSeconds === undefined ? {} : { resumeSeconds: sm.resumeSeconds }),
          };
    return [
      {
        do: 'up',
        isBidi: this.#isBidi,
        mayMultiplex: this.#mayMultiplex,
        ...(managed === undefined ? {} : { sm: managed }),
        ...(resumed === undefined ? {} : { resumed }),
      },
    ];
  }

  #securityFault(): OutgoingStep | undefined {
    const { security, peer } = this.#options;
    const fault = securityFault(security, peer, this.#proof);
    return fault === undefined ? undefined : this.#fail(`${peer}: ${fault}`, true, 'policy-violation');
  }

  #fail(reason: string, isRefusal: boolean, condition?: string): OutgoingStep {
    this.#stage = 'done';
    return { do: 'fail', reason, isRefusal, ...(condition === undefined ? {} : { condition }) };
  }
}

/** Why a peer has not taken our key, by the condition it gives (XEP-0220, section 2.4), and what can be done about it. */
function dialbackFault(condition: string, own: string, peer: string): string {
  switch (condition) {
    case 'not-authorized':
      return `the peer does not take our certificate (${condition}): it must be for ${own}, good for clients too, in force, and of an authority that the peer believes`;
    case 'policy-violation':
      return `the peer does not take us (${condition}): it wants TLS or a better certificate, or does not speak with ${own}; ask its operator`;
    case 'forbidden':
      return `the peer does not speak with ${own} (${condition}): its operator must let it`;
    case 'item-not-found':
      return `the server that answers does not serve ${peer} (${condition}): is the domain, or its \`nextHop\`, right?`;
    default:
      return `the peer could not check our dialback key (${condition}): it does not find or reach us; see to the SRV records of ${own}, and that it may connect to us`;
  }
}

function idOf(id: string | undefined): { readonly id?: string } {
  return id === undefined || id === '' ? {} : { id };
}
