import { statSync } from 'node:fs';
import Database from 'libsql';

/** A parameter of a statement. libsql does not accept booleans. */
export type SqlValue = string | number | bigint | null;

/** A connection to the file, with its prepared statements. After a failure, close the connection and open a new one. */
export class Connection {
  private readonly database: Database.Database;
  private readonly statements = new Map<string, Database.Statement>();
  private readonly identity: string | undefined;

  /** `busyTimeoutMs`: how long a statement waits for locks of other connections, in ms. */
  constructor(
    private readonly file: string,
    busyTimeoutMs: number,
  ) {
    this.database = new Database(file, { timeout: busyTimeoutMs });
    this.identity = identityOf(file);
  }

  /**
   * Returns the rows, with integers as `bigint`. Do not select text that SQLite itself made: libsql aborts if such text
   * is not UTF-8.
   */
  all<Row>(sql: string, ...params: SqlValue[]): Row[] {
    return this.statement(sql).all(...params) as Row[];
  }

  /** Returns the number of changed rows. */
  run(sql: string, ...params: SqlValue[]): number {
    return this.statement(sql).run(...params).changes;
  }

  exec(sql: string): void {
    this.database.exec(sql);
  }

  /**
   * Commits everything that `work` does. If `work` throws, nothing is changed. Waits for transactions of other
   * processes.
   */
  transaction<Result>(work: () => Result): Result {
    this.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite may have rolled the transaction back already, for example when the disk is full.
      if (this.database.inTransaction) this.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * Returns whether the path still leads to the file that was opened. Returns `false` if the file was removed, or if a
   * copy has replaced the file.
   */
  isCurrent(): boolean {
    return this.identity !== undefined && identityOf(this.file) === this.identity;
  }

  close(): void {
    this.statements.clear();
    this.database.close();
  }

  private statement(sql: string): Database.Statement {
    let statement = this.statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql).safeIntegers(true);
      this.statements.set(sql, statement);
    }
    return statement;
  }
}

const identityOf = (file: string): string | undefined => {
  const found = statSync(file, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
};
