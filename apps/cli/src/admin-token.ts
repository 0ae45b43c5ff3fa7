import { Command } from 'commander';
import { recordAdministratorTokenRotation } from '#event-log';
import { configurationFrom, systemClock, unusableFile } from '#platform/without-http';
import { AdminTokenFile, adminTokenPath } from '#tokens';
import {
  type ActOptions,
  operatorContext,
  reasonOption,
  recorded,
  requireInDataDir,
  subjectOption,
  withBook,
} from './environment.js';
import { printResult } from './output.js';

/** `admin-token rotate`: replaces the administrator's token. A running service refuses the former token at once. */
export const adminTokenCommand = (): Command =>
  new Command('admin-token').description('the bootstrap administrator’s token').addCommand(
    new Command('rotate')
      .description('replace the token; prints only where it lies')
      .addOption(reasonOption())
      .addOption(subjectOption())
      .action(async ({ reason, subject }: ActOptions) => {
        const { dataDir } = configurationFrom(process.env);
        requireInDataDir(dataDir, 'administrator’s token', 'admin.token');
        const file = new AdminTokenFile(adminTokenPath(dataDir));
        await file.rotate().catch((error: unknown) => {
          throw unusableFile(file.path, error) ?? error;
        });
        // A token that has leaked must be replaced even while the log does not answer. So it is recorded afterwards.
        const act = { reason, context: operatorContext(subject), now: systemClock };
        const recording = withBook(({ log }) => recordAdministratorTokenRotation(log, act));
        await recorded(`The new token is in ${file.path}`, recording);
        printResult({ path: file.path }, [`The new token is in ${file.path}`]);
      }),
  );
