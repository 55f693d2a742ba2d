import { request } from 'node:http';
import { existsSync } from 'node:fs';

export type ControlAnswer = { readonly status: number; readonly body: unknown };

/**
 * Asks the running server over its control socket.
 *
 * @returns undefined when no server listens there, so that the caller may work on the store itself.
 * @throws Error with a text for the operator when the socket is there and may not be opened.
 */
export function askServer(socketPath: string, method: string, path: string): Promise<ControlAnswer | undefined> {
  if (!existsSync(socketPath)) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        try {
          resolve({ status: response.statusCode ?? 500, body: JSON.parse(text) });
        } catch (cause) {
          reject(new Error(`the server gave an answer that is no JSON: ${text.slice(0, 200)}`, { cause }));
        }
      });
      response.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error('the server did not answer within 10 s')));
    asked.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ECONNREFUSED' || cause.code === 'ENOENT') resolve(undefined);
      else reject(new Error(`cannot reach the server at ${socketPath}: ${cause.message}`, { cause }));
    });
    asked.end();
  });
}
