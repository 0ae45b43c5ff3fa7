export interface MongoProcess {
  readonly url: string;
  /** `undefined` for the server of `MONGODB_URL`. */
  readonly pid: number | undefined;
  /** At once, as `kill -9` does. Rejects for the server of `MONGODB_URL`, as `restart` does. */
  kill(): Promise<void>;
  /** Kills it where it runs; then the same file and port again. */
  restart(): Promise<void>;
  /** In good order; removes what it made. */
  stop(): Promise<void>;
}

/** Whether there is anything to test with: `MONGODB_URL`, `mongod`, or Java with Maven. */
export function hasMongo(): boolean;

/** Whether there is a server of one's own to be had, which may be killed. */
export function hasOwnMongo(): boolean;

/** `file` (of `mongod`: a directory) or `port`: a server of one's own, also where `MONGODB_URL` is set. */
export function startMongo(options?: { readonly file?: string; readonly port?: number }): Promise<MongoProcess>;
