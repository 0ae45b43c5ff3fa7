import type { BuildName, CollectionSchema, View } from '#read-models';
import { hasCode, ServerCode } from './errors.js';
import type { Features } from './features.js';
import type { Registry } from './registry.js';

/**
 * Makes the projection's MongoDB views show the served build (the one that queries read) of the projection's latest
 * version. Does nothing on a server that does not support views.
 */
export async function pointViews(
  features: Features,
  registry: Registry,
  { name, views = [] }: CollectionSchema,
): Promise<void> {
  if (views.length === 0) return;
  for (let target = await registry.latestServed(name); target !== undefined;) {
    for (const view of views) await pointView(features, view, target);
    // After our read of `target`, another process may have served another build, and may have changed the views before
    // we did. In this case our change was wrong, and we set the views again.
    const served = await registry.latestServed(name);
    if (served === target) return;
    target = served;
  }
}

/**
 * Changes the view. Creates the view only if the change fails because the view does not exist. A server that does not
 * support views fails at the change. If asked to create the view, such a server would make an ordinary collection with
 * the view's name.
 */
async function pointView(features: Features, { name, equals }: View, viewOn: BuildName): Promise<void> {
  const { database } = features;
  const pipeline = [{ $match: equals }];
  const change = () => database.command({ collMod: name, viewOn, pipeline });
  await features.use('views', async () => {
    try {
      await change();
    } catch (error) {
      if (!hasCode(error, ServerCode.NamespaceNotFound)) throw error;
      try {
        await database.createCollection(name, { viewOn, pipeline });
      } catch (failure) {
        if (!hasCode(failure, ServerCode.NamespaceExists)) throw failure;
        await change();
      }
    }
  });
}
