/** What Redis, the system and TLS say, and what an operator can do about it. */
const REMEDIES: ReadonlyArray<readonly [said: RegExp, remedy: string]> = [
  [/^NOAUTH/, 'it wants a password: give `store.password` or `store.passwordFile`'],
  [
    /^WRONGPASS/,
    'it does not know this user with this password: see `username`, `password` and `passwordFile` of `store`',
  ],
  [/^NOPERM/, 'its user needs more: the ACL that is wanted stands in docs/redis.md'],
  [/DB index is out of range/, 'it has no database of this number: see the end of `store.url`, or `store.database`'],
  [/cluster support disabled/, 'it is no Cluster: say `store.url` instead of `store.cluster`'],
  [/^MOVED|CROSSSLOT/, 'it is a Cluster: say `store.cluster` instead of `store.url`'],
  [/ECONNREFUSED/, 'nothing listens there: is Redis running, and the address in `store` right?'],
  [/ENOTFOUND|EAI_AGAIN/, 'the name has no address: see the address in `store`'],
  [
    /self.signed certificate|unable to (?:get|verify)/,
    'its certificate leads to no root that is believed: see `store.ca`',
  ],
  [
    /wrong version number|packet length too long/,
    'it does not speak TLS there: redis:// instead of rediss://, or another port',
  ],
];

/** What was said, with what can be done about it where that is known. */
export function withRemedy(said: string): string {
  const remedy = REMEDIES.find(([pattern]) => pattern.test(said))?.[1];
  return remedy === undefined ? said : `${said}; ${remedy}`;
}
