import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { startProcess, type TestProcess } from './process.ts';
import { until } from './until.ts';

/** Nothing of it leaves this machine, and nothing of it is kept. */
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync', '--mute-audio'],
  ...['--disable-extensions', '--disable-default-apps', '--disable-domain-reliability', '--no-default-browser-check'],
];

/** What the page does: runs what it is sent, and says what has happened. */
const PAGE_SCRIPT = `
globalThis.tell = (what, data = {}) =>
  fetch('/told', { method: 'POST', body: JSON.stringify({ what, data }) });
addEventListener('error', ({ message }) => tell('error', { message }));
addEventListener('unhandledrejection', ({ reason }) => tell('error', { message: String(reason) }));
(async () => {
  tell('ready');
  for (;;) {
    const answer = await fetch('/script');
    if (answer.status === 200) (0, eval)(await answer.text());
  }
})();`;

export type PageEvent = { readonly what: string; readonly data: Readonly<Record<string, unknown>> };

/** A page of ours in a real browser without a window. */
export class BrowserPage {
  readonly events: PageEvent[] = [];
  readonly process: TestProcess;
  readonly origin: string;
  readonly #server: PageServer;

  private constructor(server: PageServer, process: TestProcess) {
    this.#server = server;
    this.origin = server.origin;
    this.process = process;
    server.onEvent = (event) => this.events.push(event);
  }

  /**
   * @param library a script that the page loads first
   * @param folder for what the browser writes
   */
  static async open(server: PageServer, folder: string): Promise<BrowserPage> {
    mkdirSync(folder, { recursive: true });
    const profile = mkdtempSync(join(folder, 'profile-'));
    const process = await startProcess({
      name: 'chromium',
      command: commandPath('chromium')!,
      args: [...FLAGS, `--user-data-dir=${profile}`, `${server.origin}/`],
      folder,
      env: { HOME: folder },
    });
    const page = new BrowserPage(server, process);
    await page.untilTold('ready', () => true, 20_000);
    return page;
  }

  /** Runs a script in the page. */
  run(script: string): void {
    this.#server.run(script);
  }

  async untilTold(
    what: string,
    suits: (data: PageEvent['data']) => boolean = () => true,
    withinMs = 10_000,
  ): Promise<PageEvent['data']> {
    const { data } = await until(() => this.events.find((event) => event.what === what && suits(event.data)), {
      what: `the page says ${what}`,
      withinMs,
      detail: () => JSON.stringify(this.events.slice(-5)).slice(-1_500),
    });
    return data;
  }

  async stop(): Promise<void> {
    await this.process.stop(2_000);
    this.#server.close();
  }
}

/** Serves the page, on loopback; it is there before the browser, so that its origin is known. */
export class PageServer {
  onEvent: (event: PageEvent) => void = () => undefined;
  readonly #server: Server;
  readonly #scripts: string[] = [];
  #waiting: (() => void) | undefined;

  private constructor(library: string) {
    this.#server = createServer((request, response) => {
      if (request.url === '/told') {
        void bodyOf(request).then((text) => {
          this.onEvent(JSON.parse(text) as PageEvent);
          response.end();
        });
      } else if (request.url === '/script') {
        const give = (): void => {
          this.#waiting = undefined;
          const script = this.#scripts.shift();
          response.writeHead(script === undefined ? 204 : 200).end(script);
        };
        if (this.#scripts.length > 0) give();
        else this.#waiting = give;
      } else if (request.url === '/') {
        response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
        response.end(`<!doctype html><title>chat</title><script>${library}</script><script>${PAGE_SCRIPT}</script>`);
      } else response.writeHead(404).end();
    });
  }

  static async open(library: string): Promise<PageServer> {
    // A script within a page ends where it says so.
    const self = new PageServer(library.replaceAll('</script', '<\\/script'));
    self.#server.listen(0, '127.0.0.1');
    await once(self.#server, 'listening');
    return self;
  }

  get origin(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  }

  run(script: string): void {
    this.#scripts.push(script);
    this.#waiting?.();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}
