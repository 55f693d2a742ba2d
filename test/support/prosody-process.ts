import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { startProcess, untilListening } from './process.ts';
import { restartable, type Restartable } from './restartable.ts';
import { passwordOf } from './xmpp-server.ts';

export type ProsodyPlan = {
  readonly name?: string;
  readonly folder: string;
  readonly domain: string;
  /** Localparts of the accounts; each one's password is `passwordOf(user)`. */
  readonly users: readonly string[];
  /** Where it listens, by its configuration. */
  readonly ports: readonly number[];
  /** Its configuration, asked for at each start. */
  readonly config: () => string;
};

/** Prosody with these accounts; resolves when it listens on each port. */
export async function startProsodyProcess(plan: ProsodyPlan): Promise<Restartable> {
  const { folder, domain } = plan;
  mkdirSync(accountsFolder(folder, domain), { recursive: true });
  for (const user of plan.users) storePassword(folder, domain, user, passwordOf(user));
  return restartable(async () => {
    const file = join(folder, 'prosody.cfg.lua');
    writeFileSync(file, plan.config());
    const args = ['--config', file, '-F'];
    const name = plan.name ?? 'prosody';
    const running = await startProcess({ name, command: commandPath('prosody')!, args, folder });
    for (const port of plan.ports) await untilListening(port, running);
    return running;
  });
}

/** The password that the Prosody in this folder knows after its next start. */
export function storePassword(folder: string, domain: string, user: string, password: string): void {
  const file = join(accountsFolder(folder, domain), `${user}.dat`);
  writeFileSync(file, `return {\n\t["password"] = "${password}";\n};\n`);
}

function accountsFolder(folder: string, domain: string): string {
  return join(folder, 'data', domain.replaceAll('.', '%2e').replaceAll('-', '%2d'), 'accounts');
}
