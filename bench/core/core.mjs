import { commands } from './commands.mjs';
import { logins } from './logins.mjs';
import { pages } from './pages.mjs';
import { projections } from './projections.mjs';
import { start } from './start.mjs';

/** What users of the system on one machine pay for. */
export async function core(bench) {
  const rows = [];
  for (const part of [start, commands, projections, logins, pages]) rows.push(...(await part(bench)));
  return rows;
}
