import type { Db, IndexDescription } from 'mongodb';
import { RebuildNeeded } from '#event-log';
import { type BuildName, buildName, checkedField, type CollectionSchema, type ProjectionVersion } from '#read-models';
import { collectionOf } from './documents.js';
import { hasCode, ServerCode } from './errors.js';
import type { Features } from './features.js';
import { gramIndexOf, indexOf } from './page.js';
import type { Registry } from './registry.js';
import { validatorOf } from './validation.js';

/**
 * Creates the build's registry entry, collection, validation and indexes, if they are missing. Throws `RebuildNeeded` if
 * a build of this name was dropped, or if its collection holds documents that never belonged to a build.
 */
export async function layOut(
  features: Features,
  registry: Registry,
  build: BuildName,
  schema: CollectionSchema,
): Promise<void> {
  const { database } = features;
  if (await holdsForeignDocuments(database, registry, build)) {
    throw new RebuildNeeded(schema.name, `${build} is not registered, but its collection holds documents`);
  }
  if (!(await registry.add(build))) throw new RebuildNeeded(schema.name, `${build} was dropped`);
  await dropLeftovers(database, registry, schema);
  await makeCollection(features, build, schema);
  const indexes = indexesOf(schema);
  // MongoDB refuses a call that creates no index.
  if (indexes.length > 0) await collectionOf(database, build).createIndexes(indexes);
}

/**
 * Drops the collections of dropped builds that are still there: the process that dropped the build may have ended before
 * it dropped the collection, or a write that was under way may have created the collection again.
 */
async function dropLeftovers(database: Db, registry: Registry, { name, version }: CollectionSchema): Promise<void> {
  const unused = await registry.unusedNames(name, version);
  if (unused.length === 0) return;
  const present = await collectionNames(database);
  for (const build of unused) if (present.has(build)) await collectionOf(database, build).drop();
}

/**
 * Returns whether the collection holds documents although no build of this name exists or has existed, as in a database
 * that was restored in part.
 * The order of the two reads matters: first the documents, then the registry. A new build is entered in the registry
 * before its first document is written. So if documents exist and then the registry does not know the name, the
 * documents belong to no build.
 */
async function holdsForeignDocuments(database: Db, registry: Registry, build: BuildName): Promise<boolean> {
  const document = await collectionOf(database, build).findOne({}, { projection: { _id: 1 } });
  return document !== null && !(await registry.knows(build));
}

/**
 * Returns the name for a new build: its number is higher than those of all builds that exist or have existed. The
 * existing builds are read first, so a build that is dropped meanwhile is found among the dropped ones.
 */
export async function nextBuild(database: Db, registry: Registry, schema: ProjectionVersion): Promise<BuildName> {
  const { name, version } = schema;
  const known = (await registry.builds(name, version)).map(({ build }) => build);
  const used: string[] = [...known, ...(await registry.dropped(name, version)), ...(await collectionNames(database))];
  const prefix = `${name}_v${version}_`;
  const numbers = used.filter((each) => each.startsWith(prefix)).map((each) => Number(each.slice(prefix.length)));
  return buildName(schema, Math.max(0, ...numbers.filter(Number.isSafeInteger)) + 1);
}

async function collectionNames(database: Db): Promise<ReadonlySet<string>> {
  const collections = await database.listCollections({}, { nameOnly: true }).toArray();
  return new Set(collections.map(({ name }) => name));
}

/** Creates the collection with its validator; without it on a server that has no validators. */
async function makeCollection(features: Features, build: BuildName, { document }: CollectionSchema): Promise<void> {
  const validator = document && validatorOf(document);
  const { database } = features;
  try {
    if (validator && (await features.use('validation', () => database.createCollection(build, { validator })))) return;
    await database.createCollection(build);
  } catch (error) {
    if (!hasCode(error, ServerCode.NamespaceExists)) throw error;
    if (validator) await features.use('validation', () => database.command({ collMod: build, validator }));
  }
}

/**
 * Returns one index for each list. For each list and each array field, returns one more index; this index begins with
 * the array field. These indexes end with the document's id. The indexes of grams have no order, and so no id: they would
 * be three times as large.
 */
function indexesOf({ indexes, arrayIndexes = [], gramIndexes = [] }: CollectionSchema): IndexDescription[] {
  const lists = [undefined, ...arrayIndexes].flatMap((array) =>
    indexes.map((fields) => ({
      name: indexOf(array, fields.slice(0, -1), fields.at(-1) ?? ''),
      key: keyOf([...(array === undefined ? [] : [array]), ...fields].map(checkedField), '_id'),
    })),
  );
  const grams = gramIndexes.map((index) => ({
    name: gramIndexOf(index),
    key: keyOf([...index.within, index.field].map(checkedField)),
  }));
  return [...lists, ...grams];
}

const keyOf = (...fields: readonly (string | readonly string[])[]): Record<string, 1> =>
  Object.fromEntries(fields.flat().map((field) => [field, 1]));
