import type { BuildName, Checkpoint, CollectionSchema, Lease } from '#read-models';

export interface WriterOptions {
  readonly file: string;
  readonly busyTimeoutMs: number;
}

/** A document as its table holds it. */
export interface DocumentRow {
  readonly id: string;
  readonly expected: string | undefined;
  readonly position: string;
  readonly revision: bigint;
  readonly doc: string;
}

/** What the writer's thread is asked for. */
export type WriterRequest =
  | { readonly type: 'open' }
  | { readonly type: 'prepare'; readonly build: BuildName; readonly schema: CollectionSchema }
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

export interface Order {
  readonly order: number;
  readonly request: WriterRequest;
}

/** `misses`: the ids of documents, or the build, that were not where the request expected them. */
export type Answer =
  { readonly order: number; readonly misses: readonly string[] } | { readonly order: number; readonly error: string };
