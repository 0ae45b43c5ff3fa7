import { statSync } from 'node:fs';
import Database from 'libsql';

/** What SQLite is given: libsql binds no booleans. */
export type SqlValue = string | number | bigint | null;

/** One connection to the file, with its statements. One that has failed is closed and opened again, never used on. */
export class Connection {
  private readonly database: Database.Database;
  private readonly statements = new Map<string, Database.Statement>();
  private readonly identity: string | undefined;

  /** `busyTimeoutMs`: how long a statement waits for the locks of others. */
  constructor(
    private readonly file: string,
    busyTimeoutMs: number,
  ) {
    this.database = new Database(file, { timeout: busyTimeoutMs });
    this.identity = identityOf(file);
  }

  /** Integers come back as bigint. Never select text that SQLite made itself: libsql aborts where it isn't UTF-8. */
  all<Row>(sql: string, ...params: SqlValue[]): Row[] {
    return this.statement(sql).all(...params) as Row[];
  }

  /** Answers how many rows were changed. */
  run(sql: string, ...params: SqlValue[]): number {
    return this.statement(sql).run(...params).changes;
  }

  exec(sql: string): void {
    this.database.exec(sql);
  }

  /** All of it or nothing; waits for another process's transaction. */
  transaction<Result>(work: () => Result): Result {
    this.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.exec('COMMIT');
      return result;
    } catch (error) {
      // A full disk may have rolled it back already.
      if (this.database.inTransaction) this.exec('ROLLBACK');
      throw error;
    }
  }

  /** Whether the path still leads to the file that was opened, and not to a restored copy or to nothing. */
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
