import type { Db, Document, IndexDescription } from 'mongodb';
import { type BuildName, type CollectionSchema, checkedField } from '#read-models';
import { collectionOf } from './documents.js';
import { ServerCode, hasCode } from './errors.js';
import { indexOf } from './page.js';
import type { Registry } from './registry.js';
import { validatorOf } from './validation.js';

/** Makes what is missing of the build: its name, its collection, its validation, its indexes. */
export async function layOut(
  database: Db,
  registry: Registry,
  build: BuildName,
  schema: CollectionSchema,
): Promise<void> {
  await dropLeftover(database, registry, build);
  await registry.add(build);
  await makeCollection(database, build, schema);
  await collectionOf(database, build).createIndexes(indexesOf(schema));
}

/**
 * A write that was on its way when its build was dropped has made the collection again. Looked at in this order, its
 * documents are older than the build: none is written before the build has its name.
 */
async function dropLeftover(database: Db, registry: Registry, build: BuildName): Promise<void> {
  const leftover = await collectionOf(database, build).findOne({}, { projection: { _id: 1 } });
  if (leftover !== null && (await registry.find(build)) === undefined) await collectionOf(database, build).drop();
}

async function makeCollection(database: Db, build: BuildName, { name, version }: CollectionSchema): Promise<void> {
  const validator = validatorOf(name, version);
  try {
    await database.createCollection(build, validator && { validator });
  } catch (error) {
    if (!hasCode(error, ServerCode.NamespaceExists)) throw error;
    if (validator) await changeWhereSupported(database, { collMod: build, validator });
  }
}

/** A server that only speaks MongoDB's protocol may know neither validation nor views: it lacks the command. */
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

/** Each list of the schema, and each again behind each of its arrays; the document's id closes them. */
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
