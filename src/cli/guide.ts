import type { Config } from '../core/config.ts';

/** What somebody who has just started his first server does next; goes to standard error, beside the log. */
export function guideText(configPath: string, config: Config, listening: readonly string[]): string {
  const domain = config.domains[0]?.name ?? 'sip.example';
  const links = Object.keys(config.links);
  const health =
    config.http === undefined
      ? []
      : [`  health          curl http://${config.http.listen.host}:${config.http.listen.port}/health`];
  // With drachtio servers, as long as none is there.
  const where = listening.length === 0 ? 'its drachtio servers' : listening.join(', ');
  return [
    '',
    `Interpres serves ${config.domains.map(({ name }) => name).join(', ')} on ${where}`,
    '',
    'Next:',
    `  add a user      npx interpres users add sip:alice@${domain} --config ${configPath}`,
    `  set up a phone  user alice, domain ${domain}, registrar or proxy ${listening[0]?.replace(/^[a-z]+:\/\//, '') ?? where}`,
    links.length === 0
      ? `  reach XMPP      add a link and a peer to ${configPath}; README.md, "Peer a first domain", has both sides`
      : `  links           ${links.join(', ')}`,
    ...health,
    `  stored in       ${config.data}`,
    `  see the queue   npx interpres queue list --config ${configPath}`,
    '  see it all work npx interpres demo',
    '  end             Ctrl-C',
    '',
    '',
  ].join('\n');
}
