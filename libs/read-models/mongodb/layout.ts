import type { Db, Document, IndexDescription } from 'mongodb';
import { type BuildName, checkedField, type CollectionSchema } from '#read-models';
import { collectionOf } from './documents.js';
import { hasCode, ServerCode } from './errors.js';
import { indexOf } from './page.js';
import type { Registry } from './registry.js';
import { validatorOf } from './validation.js';

/** Creates the build's registry entry, collection, validation and indexes, if they are missing. */
export async function layOut(
  database: Db,
  registry: Registry,
  build: BuildName,
  schema: CollectionSchema,
): Promise<void> {
  await dropLeftover(database, registry, build);
  await registry.add(build);
  await makeCollection(database, build, schema);
  const indexes = indexesOf(schema);
  // MongoDB refuses a call that creates no index.
  if (indexes.length > 0) await collectionOf(database, build).createIndexes(indexes);
}

/**
 * Drops the collection if it is left over from a dropped build: a write that was under way at the drop may have created
 * the collection again.
 * The order of the two reads matters: first the documents, then the registry. A new build is entered in the registry
 * before its first document is written. So if documents exist and then no entry is found, the documents are left over.
 */
async function dropLeftover(database: Db, registry: Registry, build: BuildName): Promise<void> {
  const leftover = await collectionOf(database, build).findOne({}, { projection: { _id: 1 } });
  if (leftover !== null && (await registry.find(build)) === undefined) await collectionOf(database, build).drop();
}

async function makeCollection(database: Db, build: BuildName, { document }: CollectionSchema): Promise<void> {
  const validator = document && validatorOf(document);
  try {
    await database.createCollection(build, validator && { validator });
  } catch (error) {
    if (!hasCode(error, ServerCode.NamespaceExists)) throw error;
    if (validator) await changeWhereSupported(database, { collMod: build, validator });
  }
}

/**
 * Runs the command. Does nothing on a server that speaks MongoDB's protocol but does not have the command (and so lacks
 * validation or MongoDB views).
 */
export async function changeWhereSupported(
  database: Db,
  command: Document & { readonly collMod: string },
): Promise<void> {
  try {
    await database.command(command);
  } catch (error) {
    if (!hasCode(error, ServerCode.CommandNotFound)) throw error;
  }
}

/**
 * Returns one index for each list. For each list and each array field, returns one more index; this index begins with
 * the array field. Every index ends with the document's id.
 */
function indexesOf({ indexes, arrayIndexes = [] }: CollectionSchema): IndexDescription[] {
  return [undefined, ...arrayIndexes].flatMap((array) =>
    indexes.map((fields) => ({
      name: indexOf(array, fields.slice(0, -1), fields.at(-1) ?? ''),
      key: keyOf([...(array === undefined ? [] : [array]), ...fields]),
    })),
  );
}

const keyOf = (fields: readonly string[]): Record<string, 1> =>
  Object.fromEntries([...fields.map(checkedField), '_id'].map((field) => [field, 1]));
