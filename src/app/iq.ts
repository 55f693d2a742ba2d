import { COMMANDS_NAMESPACE } from '../xmpp/gateway/adhoc-element.ts';
import type { Handler } from '../xmpp/gateway/ask.ts';
import { type IqDesk, iqDesk } from '../xmpp/gateway/iq-desk.ts';
import type { Gateway } from '../xmpp/gateway/gateway.ts';
import { gatewayPrompt, PROMPT_NAMESPACE } from '../xmpp/gateway/prompt.ts';
import type { ComponentDomains } from '../xmpp/map-address.ts';
import type { CommandSide } from './commands.ts';
import type { ContactSide } from './contacts.ts';
import type { AppOptions } from './options.ts';

export type IqParts = {
  readonly contacts: ContactSide;
  readonly commands: CommandSide;
  readonly gateway: Pick<Gateway, 'served' | 'features'>;
  /** Of the server, ms since the epoch. */
  readonly startedAtMs: number;
};

/** What answers the iq requests of one link. */
export function createIqDesk(
  link: string,
  domains: ComponentDomains,
  { contacts, commands, gateway, startedAtMs }: IqParts,
  { config, version, clock }: AppOptions,
): IqDesk {
  const { adhoc } = commands;
  const prompt = gatewayPrompt(domains);
  const served = new Map<string, Handler>([
    [`get ${PROMPT_NAMESPACE} query`, prompt.get],
    [`set ${PROMPT_NAMESPACE} query`, prompt.set],
    ...gateway.served,
  ]);
  const features = [PROMPT_NAMESPACE, ...gateway.features];
  if (config.commands !== 'off') {
    served.set(`set ${COMMANDS_NAMESPACE} command`, (ask) => adhoc.execute(ask));
    features.push(COMMANDS_NAMESPACE);
  }
  return iqDesk({
    link,
    domains,
    desk: contacts.desk,
    commandsFor: (ask) => (config.commands === 'off' ? [] : adhoc.listFor(ask)),
    service: commands.services.namedIn(domains.domain),
    served,
    features,
    isPaced: config.rateLimits !== 'off',
    version,
    startedAtMs,
    clock,
  });
}
