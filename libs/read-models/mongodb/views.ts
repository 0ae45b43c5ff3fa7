import type { Db, Document } from 'mongodb';
import { type BuildName, clients, parsedBuild } from '#read-models';
import { ServerCode, hasCode } from './errors.js';
import { changeWhereSupported } from './layout.js';
import type { Registry } from './registry.js';

interface View {
  readonly name: string;
  readonly pipeline: Document[];
}

/** For analysts: names that stay while builds come and go. */
const views: Readonly<Record<string, readonly View[]>> = {
  [clients.name]: [
    { name: 'active_clients', pipeline: [{ $match: { status: 'ACTIVE' } }] },
    { name: 'revoked_clients', pipeline: [{ $match: { status: 'REVOKED' } }] },
  ],
};

/** Points the projection's views to the served build of its latest version, where the server has views. */
export async function pointViews(database: Db, registry: Registry, build: BuildName): Promise<void> {
  const { name } = parsedBuild(build);
  const ofProjection = views[name] ?? [];
  if (ofProjection.length === 0) return;
  for (let target = await registry.latestServed(name); target !== undefined;) {
    for (const view of ofProjection) await pointView(database, view, target);
    // Another may have been served meanwhile, and its views been pointed before these.
    const served = await registry.latestServed(name);
    if (served === target) return;
    target = served;
  }
}

/** Changed first: a server without views would make a collection of the name. */
async function pointView(database: Db, { name, pipeline }: View, viewOn: BuildName): Promise<void> {
  const change = { collMod: name, viewOn, pipeline };
  try {
    await changeWhereSupported(database, change);
  } catch (error) {
    if (!hasCode(error, ServerCode.NamespaceNotFound)) throw error;
    try {
      await database.createCollection(name, { viewOn, pipeline });
    } catch (failure) {
      if (!hasCode(failure, ServerCode.NamespaceExists)) throw failure;
      await changeWhereSupported(database, change);
    }
  }
}
