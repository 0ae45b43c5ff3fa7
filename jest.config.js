/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: '<rootDir>/test/runner/environment.js',
  runner: '<rootDir>/test/runner/lanes.js',
  maxWorkers: 2,
  // This limit is only for tests that hang: stories on real processes take long on a busy machine, and longer on an
  // installed event store, whose elections take seconds. A test that promises a speed measures it by itself.
  testTimeout: process.env.EVENTSTOREDB_PROGRAM ? 900_000 : 300_000,
  testMatch: ['<rootDir>/{libs,apps,test,examples}/**/*.spec.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.[cm]?[tj]s$': [
      '@swc/jest',
      {
        module: { type: 'commonjs' },
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
      },
    ],
  },
  transformIgnorePatterns: [
    '<rootDir>/dist/',
    '/node_modules/(?!(@nestjs|jose|openid-client|oauth4webapi|file-type|strtok3|token-types|uint8array-extras|@tokenizer|@borewit|load-esm|cookie|js-yaml|es-toolkit|uuid|lru-cache)/)',
  ],
};
