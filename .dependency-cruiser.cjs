/**
 * The rule of the house: who may import what. Each rule carries its reason.
 */
const only = (name, comment, from, path, not) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, ...(not ? { pathNot: not } : {}) },
  to: { path },
});

const doors = [
  // package, the files that may import it
  ['@xmpp/component', '^src/xmpp/link-component'],
  ['@xmpp/client', '^src/xmpp/link-account'],
  ['drachtio-srf', '^src/sip/stack-drachtio'],
  ['bullmq', '^src/store/redis-'],
  ['ioredis', '^src/store/redis-'],
  ['ws', '^src/sip/engine/ws-'],
  ['better-sqlite3', '^src/store/sqlite-'],
  ['fastify', '^src/http/'],
  ['pino', '^src/(app|pino-log)\\.ts$'],
  ['saxes', '^src/cpim/xml'],
  ['zod', '^src/core/config(\\.ts$|/)'],
  ['yaml', '^src/core/config(\\.ts$|/)'],
  ['commander', '^src/(main|cli/)'],
];

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'a cycle has no bottom to start reading at',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    only(
      'cpim-alone',
      'the vocabulary imports nothing of ours',
      '^src/cpim',
      '^src/(core|crypto|dns|sip|xmpp|store|http|cli|main|app)',
    ),
    only(
      'cpim-no-node',
      'no I/O and no clock in the vocabulary',
      '^src/cpim',
      '^(node:|fs|net|http|os|crypto|dns|dgram|tls|timers)',
    ),
    only(
      'core-inward',
      'the core imports the vocabulary and nothing outward',
      '^src/core',
      '^src/(crypto|dns|sip|xmpp|store|http|cli|main|app)',
    ),
    {
      name: 'core-no-node',
      comment: 'time, chance and stores come through ports',
      severity: 'error',
      from: { path: '^src/core' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'cpim-no-core-modules',
      comment: 'no I/O and no clock in the vocabulary',
      severity: 'error',
      from: { path: '^src/cpim' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'core-no-package',
      comment: 'only the configuration reads schema and YAML',
      severity: 'error',
      from: { path: '^src/core', pathNot: '^src/core/config(\\.ts$|/)' },
      to: { dependencyTypes: ['npm', 'npm-optional', 'npm-dev'] },
    },
    only('sip-not-xmpp', 'protocols meet in the core only', '^src/sip', '^src/(xmpp|store|http|cli|main|app)'),
    only('xmpp-not-sip', 'protocols meet in the core only', '^src/xmpp', '^src/(sip|store|http|cli|main|app)'),
    only('store-inward', 'a store knows the ports it implements', '^src/store', '^src/(sip|xmpp|http|cli|main|app)'),
    only(
      'dns-inward',
      'both protocols ask it, and it knows neither',
      '^src/dns',
      '^src/(sip|xmpp|store|http|cli|main|app)',
    ),
    only(
      'crypto-alone',
      'seals for whoever asks, and knows none of them',
      '^src/crypto',
      '^src/(core|cpim|dns|sip|xmpp|store|http|cli|main|app)',
    ),
    only('http-inward', 'the operator door knows the core', '^src/http', '^src/(sip|xmpp|store|cli|main|app)'),
    only('src-not-test', 'what is shipped needs no test', '^src', '^test'),
    ...doors.map(([name, where]) => ({
      name: `door-${name.replace(/[^a-z0-9]/g, '-')}`,
      comment: `${name} has one door`,
      severity: 'error',
      from: { path: '^src', pathNot: where },
      to: { path: `node_modules/${name}/` },
    })),
    {
      name: 'no-dev-in-src',
      comment: 'what is shipped runs without dev packages',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-dev'] },
    },
    {
      name: 'resolvable',
      comment: 'an import that resolves to nothing fails at start',
      severity: 'error',
      from: { path: '^src' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
