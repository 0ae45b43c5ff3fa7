import { Command } from 'commander';
import { configurationFrom, unusableFile } from '#platform/without-http';
import { AdminTokenFile, adminTokenPath } from '#tokens';
import { requireInDataDir } from './environment.js';
import { printResult } from './output.js';

/** `admin-token rotate`: replaces the administrator's token. A running service refuses the former token at once. */
export const adminTokenCommand = (): Command =>
  new Command('admin-token').description('the bootstrap administrator’s token').addCommand(
    new Command('rotate').description('replace the token; prints only where it lies').action(async () => {
      const { dataDir } = configurationFrom(process.env);
      requireInDataDir(dataDir, 'administrator’s token', 'admin.token');
      const file = new AdminTokenFile(adminTokenPath(dataDir));
      await file.rotate().catch((error: unknown) => {
        throw unusableFile(file.path, error) ?? error;
      });
      printResult({ path: file.path }, [`The new token is in ${file.path}`]);
    }),
  );
