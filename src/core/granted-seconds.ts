import { GatewayError } from './errors.ts';

/** Bounds of a registration, a subscription or a publication, seconds. */
export type ExpiresLimits = { readonly min: number; readonly default: number; readonly max: number };

/** Below this a wish is refused for brevity only when it is also below the configured minimum. */
const BRIEF_BELOW_SECONDS = 3_600;

/**
 * How long is granted to one who asks for `asked` seconds, or says nothing; 0 stays 0.
 *
 * @throws GatewayError 'interval-too-brief' (with `minExpiresSeconds`)
 * @see RFC 3261, section 10.3; RFC 6665, section 4.2.1.1; RFC 3903, section 6
 */
export function grantedSeconds(asked: number | undefined, limits: ExpiresLimits): number {
  const seconds = asked ?? limits.default;
  if (seconds > 0 && seconds < BRIEF_BELOW_SECONDS && seconds < limits.min) {
    throw new GatewayError('interval-too-brief', 'asked for less time than is granted', {
      details: { minExpiresSeconds: limits.min },
    });
  }
  return Math.min(seconds, limits.max);
}
