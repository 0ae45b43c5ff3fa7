import { commands } from './commands.mjs';
import { distances } from './distances.mjs';
import { projections } from './projections.mjs';
import { eventStoreDb, mongoDb } from './servers.mjs';
import { strongReads } from './strong-reads.mjs';

/**
 * Measures our code on the production stores, and compares our code with the bare drivers of these stores. Uses the
 * servers at `EVENTSTOREDB_URL` and `MONGODB_URL` if these variables are set.
 */
export async function stores(bench) {
  const log = await eventStoreDb(bench);
  const mongo = await mongoDb(bench);
  const rows = [];
  for (const part of [strongReads, commands, distances, projections]) rows.push(...(await part(bench, log, mongo)));
  return rows;
}
