import type { Config } from '../core/config.ts';
import { CommandError } from './command-error.ts';
import { askServer, type ControlAnswer } from './control-client.ts';
import { controlSocketPath } from './control-socket.ts';

/**
 * Asks the running server for what no other can say or do.
 *
 * @param whatIs why it has to be one: `watchers are known to`
 * @throws CommandError when none runs.
 */
export async function askRunningServer(
  { config, configPath, whatIs }: { readonly config: Config; readonly configPath: string; readonly whatIs: string },
  method: string,
  path: string,
  body?: unknown,
): Promise<ControlAnswer> {
  const answer = await askServer(controlSocketPath(config.data), method, path, body);
  if (answer !== undefined) return answer;
  throw new CommandError(
    `no server runs on ${config.data}, and ${whatIs} a running one only; start it with: interpres serve --config ${configPath}`,
  );
}
