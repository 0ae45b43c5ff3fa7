import { commands } from './commands.mjs';
import { logins } from './logins.mjs';
import { pages } from './pages.mjs';
import { projections } from './projections.mjs';
import { rebuild } from './rebuild.mjs';
import { start } from './start.mjs';

/** Measures everything that users wait for when the whole service runs on one machine. */
export async function core(bench) {
  const rows = [];
  for (const part of [start, commands, projections, logins, rebuild, pages]) rows.push(...(await part(bench)));
  return rows;
}
