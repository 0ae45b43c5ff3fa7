/** The rooms of docs/architecture.md and what each may touch; test/architecture runs it. */

/** Libraries (and adapters), each with the libraries that it may import. */
const rooms = {
  'libs/domain': [],
  'libs/events': ['libs/domain'],
  'libs/event-log/src': ['libs/domain', 'libs/events'],
  'libs/event-log/sqlite': ['libs/domain', 'libs/events', 'libs/event-log/src'],
  'libs/event-log/eventstoredb': ['libs/domain', 'libs/events', 'libs/event-log/src'],
  'libs/read-models/src': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/transparency'],
  'libs/read-models/sqlite': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/read-models/src'],
  'libs/read-models/mongodb': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/read-models/src'],
  'libs/process-managers': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/read-models/src'],
  'libs/replay': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/read-models/src'],
  'libs/credentials': ['libs/domain'],
  'libs/transparency': [],
  'libs/evidence': [],
  'libs/tokens': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/credentials'],
  'libs/tree-heads': [
    'libs/domain',
    'libs/events',
    'libs/event-log/src',
    'libs/read-models/src',
    'libs/credentials',
    'libs/transparency',
  ],
  'libs/feeds': ['libs/domain', 'libs/events', 'libs/event-log/src', 'libs/read-models/src', 'libs/tree-heads'],
  'libs/platform': ['libs/domain'],
  'libs/stores': ['libs/event-log', 'libs/read-models', 'libs/credentials', 'libs/tokens', 'libs/platform'],
};

const roomRules = Object.entries(rooms).map(([room, allowed]) => ({
  name: `what-${room.replaceAll('/', '-')}-may-import`,
  severity: 'error',
  from: { path: `^${room}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: '^(libs|apps|test|bench|examples)/', pathNot: [room, ...allowed].map((path) => `^${path}/`) },
}));

module.exports = {
  forbidden: [
    ...roomRules,
    {
      name: 'domain-imports-no-package',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypesNot: ['local'] },
    },
    {
      // The verifier judges what the other rooms have made, so it shares no code with them, and no package either.
      name: 'evidence-imports-only-node-crypto',
      severity: 'error',
      from: { path: '^libs/evidence/', pathNot: '\\.spec\\.ts$' },
      to: { pathNot: ['^libs/evidence/', '^(node:)?crypto$'] },
    },
    {
      name: 'only-the-command-line-verifies-evidence',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: ['^libs/evidence/', '^apps/cli/', '\\.spec\\.ts$'] },
      to: { path: '^libs/evidence/' },
    },
    {
      // Of the domain's types it takes only `Instant`; eslint.config.mjs holds the name.
      name: 'platform-takes-only-types-of-the-domain',
      severity: 'error',
      from: { path: '^libs/platform/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^libs/domain/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'nest-only-in-apps-and-platform',
      severity: 'error',
      from: { path: '^libs/', pathNot: '^libs/platform/' },
      to: { path: 'node_modules/@nestjs/' },
    },
    {
      name: 'the-product-imports-no-test-code',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^(test|bench|examples|scripts)/' },
    },
    {
      name: 'bench-and-examples-share-only-launchers-with-the-tests',
      severity: 'error',
      from: { path: '^(bench|examples)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^test/', pathNot: '^test/(servers/|support/processes/(program|standalone)\\.js$)' },
    },
    {
      name: 'apps-never-import-each-other',
      severity: 'error',
      from: { path: '^apps/([^/]+)/', pathNot: '^apps/standalone/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'nothing-reaches-past-an-index',
      severity: 'error',
      // A room: a library's folder or, where adapters stand beside its `src`, one of these.
      from: { path: '^(apps|libs|test|bench|examples)/([^/]+/(?:(?:src|sqlite|eventstoredb|mongodb)/)?)' },
      // What threads use instead of a library's index, which would make SQLite's writer threads 19 MB larger each, and
      // the projector's thread 40 MB.
      to: {
        path: '^libs/',
        pathNot: [
          '/index\\.ts$',
          '^libs/$2',
          '^libs/(event-log/src/(streams|sqlite-files)|read-models/src/names)\\.ts$',
          '^libs/(platform/without-http|platform/openapi|stores/without-keys)\\.ts$',
        ],
      },
    },
    {
      name: 'adapters-only-where-they-are-chosen',
      severity: 'error',
      from: {
        pathNot: [
          '^libs/(event-log|read-models)/(sqlite|eventstoredb|mongodb)/',
          '^libs/stores/',
          '^apps/cli/',
          '^(test|bench)/',
          '\\.spec\\.ts$',
        ],
      },
      to: { path: '^libs/(event-log|read-models)/(sqlite|eventstoredb|mongodb)/' },
    },
    {
      name: 'auth-imports-no-read-model',
      severity: 'error',
      from: { path: '^apps/auth/' },
      to: { path: '^libs/read-models/' },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^(apps|libs)/', pathNot: '\\.spec\\.ts$' },
      to: {},
    },
    { name: 'everything-resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'dist'] },
    // Its types are generated by its test.
    exclude: { path: '^examples/typed-client/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'require', 'node', 'import', 'types', 'default'],
      extensions: ['.ts', '.js', '.json', '.cjs', '.mjs'],
    },
  },
};
