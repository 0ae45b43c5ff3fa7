import { BSON, type Collection, type Db } from 'mongodb';
import { type BuildName, type StoredDocument, parsedBuild } from '#read-models';

/** A read model's document as it is stored: its own fields, beside the store's. */
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

/** How numbers and missing fields go into BSON, and come out of it. */
const FORM = { useBigInt64: true, ignoreUndefined: true } as const;

/** As it is read once it has been stored. */
export const asStored = (document: StoredDocument): StoredFields =>
  BSON.deserialize(BSON.serialize(fieldsOf(document), FORM), FORM) as StoredFields;

/** A build's collection bears its name. */
export const collectionOf = (database: Db, build: BuildName): Collection<StoredFields> => {
  parsedBuild(build);
  return database.collection<StoredFields>(build, FORM);
};
