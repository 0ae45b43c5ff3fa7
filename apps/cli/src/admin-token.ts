import { Command } from 'commander';
import { adminTokenPath, configurationFrom } from '#platform';
import { AdminTokenFile } from '#tokens';

/** `admin-token rotate`: the former administrator's token is refused from then on, also by a running service. */
export const adminTokenCommand = (): Command =>
  new Command('admin-token').description('the bootstrap administrator’s token').addCommand(
    new Command('rotate').description('replace the token; prints only where it lies').action(async () => {
      const { dataDir } = configurationFrom(process.env);
      const file = new AdminTokenFile(adminTokenPath(dataDir));
      await file.rotate();
      console.log(`The new token is in ${file.path}`);
    }),
  );
