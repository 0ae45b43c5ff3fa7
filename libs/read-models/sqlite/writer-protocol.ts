import type { Checkpoint } from '#event-log';
import type { BuildName, CollectionSchema, Lease } from '#read-models';

export interface WriterOptions {
  readonly file: string;
  readonly busyTimeoutMs: number;
}

/**
 * A document that is to be written, in the form of the columns of its build's table. It is an array, because arrays are
 * sent to another thread faster than objects.
 */
export type DocumentRow = readonly [
  id: string,
  expected: string | undefined,
  position: string,
  revision: bigint,
  doc: string,
];

/** A request to the writer thread. */
export type WriterRequest =
  | { readonly type: 'open' }
  | { readonly type: 'prepare' | 'prepare to load'; readonly build: BuildName; readonly schema: CollectionSchema }
  | {
      readonly type: 'serve';
      readonly name: string;
      readonly version: number;
      readonly from: BuildName | undefined;
      readonly build: BuildName;
    }
  | { readonly type: 'drop'; readonly build: BuildName }
  | { readonly type: 'write'; readonly build: BuildName; readonly rows: readonly DocumentRow[] }
  | {
      readonly type: 'load';
      readonly load: number;
      /** Number of documents in the load's parts. */
      readonly documents: number;
      readonly build: BuildName;
      readonly expected: Checkpoint | undefined;
      readonly next: Checkpoint;
    }
  | {
      readonly type: 'advance';
      readonly build: BuildName;
      readonly expected: Checkpoint | undefined;
      readonly next: Checkpoint;
    }
  | {
      readonly type: 'set lease';
      readonly build: BuildName;
      readonly expected: Lease | undefined;
      readonly next: Lease;
    }
  | { readonly type: 'release lease'; readonly build: BuildName; readonly holder: string };

/**
 * Some documents of a load. The writer thread keeps them until the request `load` with the same number comes. Parts are
 * not answered.
 */
export interface LoadPart {
  readonly load: number;
  readonly rows: readonly DocumentRow[];
}

export interface Order {
  readonly order: number;
  readonly request: WriterRequest;
}

/**
 * The writer thread's reply to a request. `misses` is empty if the request was carried out. Otherwise the state of the
 * file did not permit the request, or (type `prepare`) the request has to be repeated: `misses` then has the ids of the
 * documents that were not written, or the build's name.
 */
export type Answer =
  { readonly order: number; readonly misses: readonly string[] } | { readonly order: number; readonly error: string };
