import { ComponentLink, type ComponentLinkLimits } from '../../src/xmpp/link-component.ts';
import { ComponentServer } from './component-server.ts';
import { FakeClock } from './fake-clock.ts';
import { LogRecorder } from './log-recorder.ts';

export type ComponentWorld = {
  readonly link: ComponentLink;
  readonly server: ComponentServer;
  readonly clock: FakeClock;
  readonly log: LogRecorder;
  /** Whether the server takes the secret that the link has. */
  readonly trusting: (trusts: boolean) => void;
  readonly end: () => Promise<void>;
};

/** A scripted server that listens, and a component link to it that is not started. Sockets are real, time is not. */
export async function componentWorld(
  options: { readonly limits?: Partial<ComponentLinkLimits>; readonly secret?: string; readonly random?: number } = {},
): Promise<ComponentWorld> {
  const secret = options.secret ?? 'a shared secret';
  const server = new ComponentServer({ name: 'sip.xmpp.example', secret });
  await server.start();
  const clock = new FakeClock();
  const log = new LogRecorder();
  const link = new ComponentLink({
    name: 'office',
    host: '127.0.0.1',
    port: server.port,
    component: 'sip.xmpp.example',
    secret,
    clock,
    random: () => options.random ?? 0.5,
    log,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  return {
    link,
    server,
    clock,
    log,
    trusting: (trusts) => void (server.script.secret = trusts ? secret : 'another secret'),
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
