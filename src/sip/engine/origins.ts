/**
 * Whether a WebSocket may be opened by who names this origin (RFC 6455, section 10.2).
 *
 * Browsers always say which page a script is from, and nobody can make them say otherwise; a program that says nothing is
 * no browser, and no page can misuse it.
 *
 * @param allowed origins as browsers write them, `https://chat.example`, compared without regard to case; `*`: any
 */
export function isAllowedOrigin(origin: string | undefined, allowed: readonly string[]): boolean {
  if (origin === undefined) return true;
  const asked = origin.toLowerCase();
  return allowed.some((one) => one === '*' || one.toLowerCase() === asked);
}
