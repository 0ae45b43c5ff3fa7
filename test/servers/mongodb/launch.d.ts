export interface MongoProcess {
  readonly url: string;
  /** The id of the server's process. `undefined` for the server at `MONGODB_URL`. */
  readonly pid: number | undefined;
  /** Kills the server (`kill -9`). For the server at `MONGODB_URL`, `kill` and `restart` reject. */
  kill(): Promise<void>;
  /** Kills the server if it runs, and starts it again on the same file and port. */
  restart(): Promise<void>;
  /**
   * Ends the server by SIGTERM. Removes the server's files if `startMongo` has made them. Leaves the server at
   * `MONGODB_URL` alone.
   */
  stop(): Promise<void>;
}

/**
 * Whether there is a MongoDB server to test with: the server at `MONGODB_URL`, `mongod`, or mongo-java-server (which
 * needs Java and Maven).
 */
export function hasMongo(): boolean;

/** Whether we can start a MongoDB server ourselves. Tests may kill only such a server. */
export function hasOwnMongo(): boolean;

/**
 * Uses the server at `MONGODB_URL` if that is set, and else starts a server. With a `file` (for `mongod`, a directory)
 * or a `port`, always starts a server.
 */
export function startMongo(options?: { readonly file?: string; readonly port?: number }): Promise<MongoProcess>;

/** A database of a server that may hold others. */
export interface NewDatabase {
  readonly name: string;
  /** The server's URL with its credentials and options, and with this database. */
  readonly url: string;
  drop(): Promise<void>;
}

/** Returns the URL of a server with another database. The account stays the same. */
export function inDatabase(url: string, database: string): string;

/** A database that nobody else uses, on the server with this URL. Its name begins with `purpose`. */
export function newDatabase(url: string, purpose: string): NewDatabase;
