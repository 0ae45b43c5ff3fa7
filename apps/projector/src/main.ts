import 'reflect-metadata';
import { runProcess, systemClock } from '#platform';
import { pendingBook, pendingReadStore } from '#stores';
import { projectorDependencies } from './dependencies.js';
import { ProjectorModule } from './projector.module.js';

runProcess((configuration, logger) => {
  const clock = systemClock;
  const context = { configuration, logger, clock };
  const log = pendingBook(context);
  const readStore = pendingReadStore(context);
  return {
    module: ProjectorModule.with(projectorDependencies({ log, readStore, clock })),
    dependencies: [log, readStore],
    onListening: (url) => {
      console.error(`Consumer Clients, projector: ${url}`);
    },
  };
});
