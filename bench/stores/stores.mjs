import { commands } from './commands.mjs';
import { projections } from './projections.mjs';
import { eventStoreDb, mongoDb } from './servers.mjs';
import { strongReads } from './strong-reads.mjs';

/** What the production stores cost beside their own clients, on the servers of `EVENTSTOREDB_URL` and `MONGODB_URL`. */
export async function stores(bench) {
  const log = await eventStoreDb(bench);
  const mongo = await mongoDb(bench);
  const rows = [];
  for (const part of [strongReads, commands, projections]) rows.push(...(await part(bench, log, mongo)));
  return rows;
}
