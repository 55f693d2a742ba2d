import { ConnectGate } from '../../src/xmpp/account/connect-gate.ts';
import { AccountLink, type AccountLinkLimits } from '../../src/xmpp/link-account.ts';
import { ScriptedAccountServer } from './account-server.ts';
import { FakeClock } from './fake-clock.ts';
import { LogRecorder } from './log-recorder.ts';
import { testAuthority } from './self-signed.ts';

export type AccountWorld = {
  readonly link: AccountLink;
  readonly server: ScriptedAccountServer;
  readonly clock: FakeClock;
  readonly log: LogRecorder;
  readonly end: () => Promise<void>;
};

/** A scripted service that listens, and the link of romeo's account on it, not started. Sockets are real, time is not. */
export async function accountWorld(
  options: {
    readonly limits?: Partial<AccountLinkLimits>;
    readonly password?: string;
    readonly allowPlain?: boolean;
    /** Names in the certificate of the service. */
    readonly names?: readonly string[];
  } = {},
): Promise<AccountWorld> {
  const server = new ScriptedAccountServer({
    domain: 'chat.example',
    password: 'two households',
    ...(options.names === undefined ? {} : { names: options.names }),
  });
  await server.start();
  const clock = new FakeClock();
  const log = new LogRecorder();
  const link = new AccountLink({
    name: 'public/romeo@sip.example',
    jid: { local: 'romeo', domain: 'chat.example' },
    password: options.password ?? 'two households',
    resource: 'interpres-x',
    targets: () => Promise.resolve([{ host: '127.0.0.1', port: server.port, isDirect: true }]),
    addressesOf: (host) => Promise.resolve([host]),
    ca: testAuthority().certificate,
    allowPlain: options.allowPlain ?? false,
    gate: new ConnectGate(2),
    clock,
    random: () => 0.5,
    log,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  return {
    link,
    server,
    clock,
    log,
    async end() {
      server.thaw();
      server.answering(true);
      const stopped = link.stop(0);
      clock.advance(1_000);
      await stopped;
      await server.stop();
    },
  };
}
