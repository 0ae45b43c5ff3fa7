import 'reflect-metadata';
import { givenMasterKeys, runProcess, systemClock } from '#platform';
import { lateKeyedBook } from '#stores';
import { AuthModule } from './auth.module.js';
import { authDependencies } from './dependencies.js';

runProcess((configuration, logger) => {
  const masterKeys = givenMasterKeys(configuration);
  const clock = systemClock;
  const log = lateKeyedBook({ configuration, logger, clock }, masterKeys);
  return {
    module: AuthModule.with(authDependencies({ log, masterKeys, clock, configuration })),
    dependencies: [log],
    onListening: (url) => {
      console.error(`Consumer Clients, auth: ${url}`);
    },
  };
});
