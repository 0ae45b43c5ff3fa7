import { BSON, type BSONSerializeOptions, type Collection, type Db } from 'mongodb';
import { type BuildName, parsedBuild, type StoredDocument } from '#read-models';

/** A document in its stored form: its own fields, and the fields of the store (with a leading `_`). */
export interface StoredFields {
  readonly _id: string;
  readonly _position: string;
  readonly _revision: bigint;
  readonly [field: string]: unknown;
}

export const fieldsOf = ({ id, position, revision, doc }: StoredDocument): StoredFields => ({
  ...(doc as object),
  _id: id,
  _position: position,
  _revision: revision,
});

export const documentOf = <Doc>({ _id, _position, _revision, ...doc }: StoredFields): StoredDocument<Doc> => ({
  id: _id,
  position: _position,
  revision: _revision,
  doc: doc as Doc,
});

/** BSON options that a connection string could set, at the values that this adapter expects. */
export const PLAIN_VALUES = {
  promoteValues: true,
  promoteLongs: true,
  promoteBuffers: false,
  useBigInt64: false,
  raw: false,
  bsonRegExp: false,
  checkKeys: false,
  serializeFunctions: false,
  ignoreUndefined: false,
  enableUtf8Validation: true,
} as const satisfies BSONSerializeOptions;

/** BSON options: 64-bit integers are read as `bigint`, and `undefined` fields are not written. */
const FORM = { useBigInt64: true, ignoreUndefined: true } as const;

/** Returns the document as MongoDB would return it if the document were written and then read. */
export const asStored = (document: StoredDocument): StoredFields =>
  BSON.deserialize(BSON.serialize(fieldsOf(document), FORM), FORM) as StoredFields;

/** Returns the build's collection. The collection has the build's name. */
export const collectionOf = (database: Db, build: BuildName): Collection<StoredFields> => {
  parsedBuild(build);
  return database.collection<StoredFields>(build, FORM);
};
