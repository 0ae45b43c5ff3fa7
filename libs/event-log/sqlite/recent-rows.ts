import type { RecordedEvent } from '#events';

/** A row of the log. `event` is `undefined` if the row belongs to another application. */
export interface LogRow {
  readonly position: bigint;
  readonly event: RecordedEvent | undefined;
  /** The size of the row's data and metadata. */
  readonly bytes: number;
}

const MOST_ROWS = 1000;
const MOST_BYTES = 4 * 1_048_576;

/**
 * Keeps the log's newest rows for all followers (loops that read the log). All followers need every event, at slightly
 * different times. Because the rows are kept, each row is read and parsed only once.
 */
export class RecentRows {
  /** The kept rows. There is no gap between their positions. */
  private rows: LogRow[] = [];
  private bytes = 0;

  /** Returns at most `limit` of the kept rows after `position`. The file may hold further rows. */
  after(position: bigint, limit: number): readonly LogRow[] {
    const [first] = this.rows;
    if (!first || position + 1n < first.position) return [];
    const from = Number(position + 1n - first.position);
    return this.rows.slice(from, from + limit);
  }

  /** Keeps rows that were read after `position`, if these rows directly follow the kept rows or reach the log's end. */
  add(position: bigint, rows: readonly LogRow[], reachesEnd: boolean): void {
    const continues = this.rows.at(-1)?.position === position;
    if (!continues && !reachesEnd) return;
    if (!continues) this.clear();
    for (const row of rows) {
      this.rows.push(row);
      this.bytes += row.bytes;
    }
    if (this.rows.length > MOST_ROWS || this.bytes > MOST_BYTES) this.clear();
  }

  private clear(): void {
    this.rows = [];
    this.bytes = 0;
  }
}
