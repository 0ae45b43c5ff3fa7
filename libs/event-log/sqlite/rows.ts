import type Database from 'libsql';

export const COLUMNS = 'position, stream, revision, event_id, type, data, metadata';

/** A row of the table `events`. `data` and `metadata` are JSON that has not been parsed. */
export type Row = [
  position: bigint,
  stream: string,
  revision: bigint,
  eventId: string,
  type: string,
  data: string,
  metadata: string,
];

/** Rows in the order in which they were asked for. */
export interface RowPage<R> {
  readonly rows: readonly R[];
  /** Whether the file has no further rows after these. */
  readonly isLast: boolean;
}

export interface RowSelection {
  /** The SQL condition, with parameters. */
  readonly where: string;
  readonly orderBy: 'position' | 'revision';
  readonly descending: boolean;
}

/**
 * Reads rows, and never loads more bytes than asked for:
 *
 * 1. The first statement returns the sizes of the next rows. SQLite keeps the size of a value beside the value, so this
 *    statement does not load the values.
 * 2. From the sizes follows how many rows fit.
 * 3. The second statement returns this many rows.
 *
 * Both statements must see the same rows. Rows are never changed or deleted, so this holds for rows in ascending order.
 * In descending order a new row would come first, and push out the last one. So both statements then run in one
 * transaction.
 */
export class Rows {
  private readonly sizes;
  private readonly rows;
  private readonly select;

  constructor(db: Database.Database, { where, orderBy, descending }: RowSelection) {
    const rest = `WHERE ${where} ORDER BY ${orderBy} ${descending ? 'DESC' : ''}`;
    this.sizes = db
      .prepare(
        `SELECT group_concat(size)
         FROM (SELECT octet_length(data) + octet_length(metadata) AS size FROM events ${rest} LIMIT ?)`,
      )
      .raw();
    this.rows = db.prepare(`SELECT ${COLUMNS} FROM events ${rest} LIMIT ?`).raw();
    const select: Rows['read'] = (...call) => this.bothStatements(...call);
    const inTransaction = db.transaction(select);
    this.select = descending ? (...call: Parameters<Rows['read']>) => inTransaction.deferred(...call) : select;
  }

  /**
   * Returns at most `limit` rows. The row that reaches `bytes` (of data and metadata) is the last one. So at least one
   * row is returned, unless there is none. `parameters` are those of the conditions.
   */
  read(parameters: readonly (string | bigint)[], limit: number, bytes: number): RowPage<Row> {
    return this.select(parameters, limit, bytes);
  }

  private bothStatements(parameters: readonly (string | bigint)[], limit: number, bytes: number): RowPage<Row> {
    const [[sizes]] = this.sizes.all([...parameters, limit]) as [[string | null]];
    if (sizes === null) return { rows: [], isLast: limit > 0 };
    let found = 0;
    let taken = 0;
    let sum = 0;
    for (const size of sizes.split(',')) {
      found += 1;
      if (sum < bytes) taken += 1;
      sum += Number(size);
    }
    const rows = this.rows.all([...parameters, taken]) as Row[];
    return { rows, isLast: taken === found && found < limit };
  }
}
