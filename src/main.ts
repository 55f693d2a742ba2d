#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { CommandError } from './cli/command-error.ts';
import { GatewayError } from './core/errors.ts';
import type { ProfileOptions } from './cli/profiles.ts';
import type { RuleAction } from './core/presence/rules.ts';

// Whatever this program writes - messages, digests, sockets - is nobody else's.
process.umask(0o077);
// Whoever reads our output may have read enough (`users list | head`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const VERSION = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;

type WithConfig = { readonly config: string };

/** The command line. Each command's code is loaded when it runs, so that `--help` and `users add` start fast. */
function program(): Command {
  const root = new Command('interpres')
    .description('Federation between SIP/SIMPLE and XMPP domains: messages and presence, through a durable store.')
    .version(VERSION)
    .addHelpText(
      'after',
      `
Each command has its own --help. Exit codes: 0 done, 1 failed, 2 wrong use.

First steps:
  interpres demo                                   see it work, nothing to set up
  interpres check --config interpres.yaml          is the configuration right?
  interpres users add sip:alice@sip.example --config interpres.yaml
  interpres serve --config interpres.yaml`,
    )
    .showHelpAfterError('(run with --help for the usage)')
    .exitOverride();
  const withConfig = (command: Command): Command =>
    command.requiredOption('-c, --config <file>', 'configuration file (YAML); docs/config.md is its reference');

  withConfig(root.command('serve').description('run the server until it is told to stop (SIGTERM or SIGINT)'))
    .option('--guide', 'print what to do next once the server is up')
    .addHelpText(
      'after',
      `
Logs JSON lines to standard output. GET /health on http.listen answers 200 once it serves.
SIGTERM and SIGINT drain: what is under way ends, the rest waits on disk; it ends within 10 s.`,
    )
    .action(async (options: WithConfig & { guide?: true }) => {
      const { serve } = await import('./cli/serve.ts');
      await serve(options.config, VERSION, options.guide === true);
    });

  withConfig(
    root.command('check').description('check a configuration file and say what is wrong, line by line'),
  ).action(async (options: WithConfig) => {
    const { check } = await import('./cli/check.ts');
    check(options.config);
  });

  const users = root.command('users').description('the users of our own SIP domains');
  const withProfile = (command: Command): Command =>
    command
      .option('--name <name>', 'what he is called')
      .option('--email <address>', 'his mail')
      .option('--phone <number>', 'his telephone')
      .option('--homepage <url>', 'his page, http or https')
      .option('--avatar <file>', 'his picture: PNG, JPEG, GIF or WebP');
  withProfile(
    withConfig(users.command('add').description('add a user').argument('<address>', 'sip:alice@sip.example')).option(
      '-p, --password <password>',
      'the password; absent: read from standard input',
    ),
  ).action(async (address: string, { config, ...options }: WithConfig & ProfileOptions & { password?: string }) => {
    const { addUser } = await import('./cli/users.ts');
    await addUser(config, address, options);
  });
  withProfile(
    withConfig(
      users
        .command('set')
        .description('set what a user is called and looks like, for those who may see his presence')
        .argument('<address>', 'sip:alice@sip.example'),
    ),
  )
    .addHelpText(
      'after',
      `
An empty text takes away. Watchers are told at once.

Example:
  interpres users set sip:alice@sip.example --name 'Alice Liddell' --avatar alice.png --config interpres.yaml`,
    )
    .action(async (address: string, { config, ...options }: WithConfig & ProfileOptions) => {
      const { setProfile } = await import('./cli/profiles.ts');
      await setProfile(config, address, options);
    });
  withConfig(
    users.command('show').description('show what is known of a user').argument('<address>', 'sip:alice@sip.example'),
  ).action(async (address: string, options: WithConfig) => {
    const { showProfile } = await import('./cli/profiles.ts');
    await showProfile(options.config, address);
  });
  withConfig(users.command('passwd').description('change a password').argument('<address>', 'sip:alice@sip.example'))
    .option('-p, --password <password>', 'the new password; absent: read from standard input')
    .action(async (address: string, options: WithConfig & { password?: string }) => {
      const { changePassword } = await import('./cli/users.ts');
      await changePassword(options.config, address, options.password);
    });
  withConfig(
    users.command('remove').description('remove a user').argument('<address>', 'sip:alice@sip.example'),
  ).action(async (address: string, options: WithConfig) => {
    const { removeUser } = await import('./cli/users.ts');
    await removeUser(options.config, address);
  });
  withConfig(users.command('list').description('list the users, one address a line')).action(
    async (options: WithConfig) => {
      const { listUsers } = await import('./cli/users.ts');
      await listUsers(options.config);
    },
  );
  withConfig(
    users
      .command('import')
      .description('add many users from a CSV file; all of them or none')
      .argument('<file>', 'lines of address,password'),
  )
    .addHelpText(
      'after',
      `
Fields may stand in double quotes. Empty lines and lines that begin with # are passed over. A first line
"address,password,name,email,phone,homepage,avatar" names more columns, any of them; avatar is a file. Users that exist
get the new password. A file with a faulty line is refused whole, every such line named.`,
    )
    .action(async (file: string, options: WithConfig) => {
      const { importUsers } = await import('./cli/users.ts');
      await importUsers(options.config, file);
    });

  const queue = root
    .command('queue')
    .description('what waits for delivery, and what could not be delivered; of the running server, or of its store');
  withConfig(queue.command('list').description('list entries, oldest first'))
    .option('--dead', 'dead letters instead of live entries')
    .option('--hop <hop>', 'only those for this next hop, as `queue list` shows it')
    .option('--sender <address>', 'only those of this sender, as `queue list` shows it')
    .option('--limit <n>', 'at most this many, 1 to 10000', '100')
    .option('--json', 'JSON instead of a table')
    .addHelpText(
      'after',
      `
Examples:
  interpres queue list --hop link:office --config interpres.yaml
  interpres queue list --dead --json --config interpres.yaml`,
    )
    .action(
      async (options: WithConfig & { dead?: true; hop?: string; sender?: string; limit: string; json?: true }) => {
        const { listQueue } = await import('./cli/queue.ts');
        await listQueue(options.config, options);
      },
    );
  const one: ReadonlyArray<readonly ['show' | 'retry' | 'drop', string]> = [
    ['show', 'show one entry whole'],
    ['retry', 'try an entry now, a dead letter too'],
    ['drop', 'remove an entry; its sender is not told'],
  ];
  for (const [name, description] of one) {
    withConfig(queue.command(name).description(description).argument('<id>', 'id as `queue list` shows it')).action(
      async (id: string, options: WithConfig) => {
        const { onEntry } = await import('./cli/queue.ts');
        await onEntry(options.config, name, id);
      },
    );
  }

  const watchers = root
    .command('watchers')
    .description('who watches a user, and who may: of the running server')
    .addHelpText(
      'after',
      `
OWNER is a user of ours. WATCHER is anybody: sip:bob@partner.example, a JID, or a group: '*@partner.example' for all of
a domain, 'anonymous' for those who do not say who they are, '*' for everybody else; the most special rule counts.`,
    );
  const ofOwner = (name: string, description: string): Command =>
    withConfig(watchers.command(name).description(description).argument('<owner>', 'sip:alice@sip.example'));
  ofOwner('list', 'list who watches a user, who wants to, and the rules there are')
    .option('--json', 'JSON instead of a table')
    .addHelpText(
      'after',
      `
Examples:
  interpres watchers list sip:alice@sip.example --config interpres.yaml
  interpres watchers list alice@sip.example --json --config interpres.yaml`,
    )
    .action(async (owner: string, options: WithConfig & { json?: true }) => {
      const { listWatchers } = await import('./cli/watchers.ts');
      await listWatchers(options.config, owner, options);
    });
  const rules: ReadonlyArray<readonly [RuleAction, string, string]> = [
    ['allow', 'let a watcher see the user', 'juliet@xmpp.example'],
    ['block', 'refuse a watcher, and end what he has', 'sip:mallory@partner.example'],
    ['polite-block', 'show a watcher somebody who is never there', "'*@partner.example'"],
    ['confirm', 'let a watcher wait until the user decides', "'*'"],
  ];
  for (const [action, description, example] of rules) {
    const rule = ofOwner(action, description)
      .argument('<watcher>', 'whom the rule is for')
      .addHelpText(
        'after',
        `
Takes effect at once, and for those who watch already.

Example:
  interpres watchers ${action} sip:alice@sip.example ${example} --config interpres.yaml`,
      );
    if (action === 'allow') rule.option('--location', 'he may see where the user is, too');
    rule.action(async (owner: string, watcher: string, options: WithConfig & { location?: true }) => {
      const { ruleWatcher } = await import('./cli/watchers.ts');
      await ruleWatcher(options.config, action, owner, watcher, options.location === true);
    });
  }
  ofOwner('remove', 'take a rule away: what is for everybody counts for him again')
    .argument('<watcher>', 'whom the rule is for')
    .addHelpText(
      'after',
      `
Example:
  interpres watchers remove sip:alice@sip.example juliet@xmpp.example --config interpres.yaml`,
    )
    .action(async (owner: string, watcher: string, options: WithConfig) => {
      const { removeRule } = await import('./cli/watchers.ts');
      await removeRule(options.config, owner, watcher);
    });
  ofOwner('invisible', 'hide a user from everybody, or show him again')
    .argument('<on|off>', 'on hides, off shows')
    .addHelpText(
      'after',
      `
Example:
  interpres watchers invisible sip:alice@sip.example on --config interpres.yaml`,
    )
    .action(async (owner: string, onOrOff: string, options: WithConfig) => {
      const { setInvisible } = await import('./cli/watchers.ts');
      await setInvisible(options.config, owner, onOrOff);
    });

  const accounts = root
    .command('accounts')
    .description("users' own accounts on public XMPP services: of the running server")
    .addHelpText(
      'after',
      `
USER is a user of ours, ACCOUNT the JID of his account, in a domain that a link of type xmpp-account allows. Messages and
presence between him and his contacts there go through it. The password is kept encrypted; docs/accounts.md has more.`,
    );
  const ofAccount = (name: string, description: string): Command =>
    withConfig(
      accounts
        .command(name)
        .description(description)
        .argument('<user>', 'sip:alice@sip.example')
        .argument('<account>', 'alice@chat.example'),
    );
  ofAccount('add', 'link an account to a user and log in to it')
    .option('-p, --password <password>', 'its password; absent: read from standard input')
    .option('--link <name>', 'the link, where several allow that service')
    .addHelpText(
      'after',
      `
Example:
  interpres accounts add sip:alice@sip.example alice@chat.example --config interpres.yaml`,
    )
    .action(async (user: string, jid: string, options: WithConfig & { password?: string; link?: string }) => {
      const { addAccount } = await import('./cli/accounts.ts');
      await addAccount(options.config, user, jid, options);
    });
  ofAccount('password', 'give another password, and log in with it at once')
    .option('-p, --password <password>', 'the password; absent: read from standard input')
    .action(async (user: string, jid: string, options: WithConfig & { password?: string }) => {
      const { changeAccountPassword } = await import('./cli/accounts.ts');
      await changeAccountPassword(options.config, user, jid, options.password);
    });
  ofAccount('remove', 'log out and forget an account; its contacts stay as they are').action(
    async (user: string, jid: string, options: WithConfig) => {
      const { removeAccount } = await import('./cli/accounts.ts');
      await removeAccount(options.config, user, jid);
    },
  );
  withConfig(accounts.command('list').description('list all accounts and how they stand'))
    .option('--json', 'JSON instead of a table')
    .action(async (options: WithConfig & { json?: true }) => {
      const { listAccounts } = await import('./cli/accounts.ts');
      await listAccounts(options.config, options);
    });
  withConfig(
    accounts
      .command('show')
      .description('show the accounts of a user with their contacts')
      .argument('<user>', 'sip:alice@sip.example'),
  )
    .option('--json', 'JSON instead of tables')
    .action(async (user: string, options: WithConfig & { json?: true }) => {
      const { showAccounts } = await import('./cli/accounts.ts');
      await showAccounts(options.config, user, options);
    });

  withConfig(root.command('peers').description('show how links and peers stand, and why one cannot be reached'))
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Asks the running server. What each reason means, and what to do: docs/federation.md.

Examples:
  interpres peers --config interpres.yaml
  interpres peers --json --config interpres.yaml`,
    )
    .action(async (options: WithConfig & { json?: true }) => {
      const { listPeers } = await import('./cli/peers.ts');
      await listPeers(options.config, options);
    });

  withConfig(root.command('nodes').description('list the nodes on one Redis, and what each of them owns'))
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Examples:
  interpres nodes --config interpres.yaml
  interpres nodes --json --config interpres.yaml`,
    )
    .action(async (options: WithConfig & { json?: true }) => {
      const { listNodes } = await import('./cli/nodes.ts');
      await listNodes(options.config, options);
    });

  root
    .command('demo')
    .description(
      'show messages, presence and an outage on loopback, with a scripted phone and XMPP server; ends by itself',
    )
    .action(async () => {
      const { demo } = await import('./demo/demo.ts');
      await demo(VERSION);
    });
  return root;
}

/** A fault that names its own remedy is told in a line; any other is ours, and whoever mends it wants its place. */
function faultText(thrown: unknown): string {
  if (thrown instanceof GatewayError) return thrown.message;
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

try {
  await program().parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // Help and version are no faults; everything else that the parser refuses is wrong use.
    process.exitCode = thrown.exitCode === 0 ? 0 : 2;
  } else if (thrown instanceof CommandError) {
    process.stderr.write(`${thrown.message}\n`);
    process.exitCode = thrown.exitCode;
  } else {
    process.stderr.write(`interpres: ${faultText(thrown)}\n`);
    process.exitCode = 1;
  }
}
