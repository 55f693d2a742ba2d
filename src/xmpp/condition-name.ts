/** All conditions of the standards look like this. */
const FORM = /^[a-z][a-z-]{0,63}$/;

/**
 * A condition as the far side names it. It stands in logs, in health and in what others are told, so that a name that is
 * none, and may be of any length, counts as not said.
 */
export function conditionNamed(name: string): string {
  return FORM.test(name) ? name : 'undefined-condition';
}
