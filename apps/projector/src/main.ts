import 'reflect-metadata';
import { runProcess, systemClock } from '#platform';
import { pendingBook, pendingReadStore, warnOfFiles } from '#stores';
import { projectionsOnThisThread, projectorDependencies } from './dependencies.js';
import { ProjectorModule } from './projector.module.js';

runProcess((configuration, logger, outages) => {
  const clock = systemClock;
  const context = { configuration, logger, outages, clock };
  const log = pendingBook(context);
  const readStore = pendingReadStore(context, 'write');
  const projections = projectionsOnThisThread({ log, readStore, clock, logger, outages });
  return {
    module: ProjectorModule.with(projectorDependencies({ projections, log, readStore })),
    dependencies: [log, readStore],
    onListening: (url) => {
      warnOfFiles(configuration, logger, ['event log', 'read store']);
      console.error(`Consumer Clients, projector: ${url}`);
    },
  };
});
