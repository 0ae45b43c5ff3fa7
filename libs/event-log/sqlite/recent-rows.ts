import type { RecordedEvent } from '#events';

/** A row of the log; `event` is `undefined` where it is another application's. */
export interface LogRow {
  readonly position: bigint;
  readonly event: RecordedEvent | undefined;
  /** Of its data and metadata. */
  readonly characters: number;
}

const MOST_ROWS = 1000;
const MOST_CHARACTERS = 4 * 1_048_576;

/** The log's newest rows, read and parsed once for all who follow it: each follower needs every event, moments apart. */
export class RecentRows {
  /** Consecutive: positions rise without gaps. */
  private rows: LogRow[] = [];
  private characters = 0;

  /** Those kept that follow on `position`, `limit` at most: the file may hold more. */
  after(position: bigint, limit: number): readonly LogRow[] {
    const [first] = this.rows;
    if (!first || position + 1n < first.position) return [];
    const from = Number(position + 1n - first.position);
    return this.rows.slice(from, from + limit);
  }

  /** Keeps what was read behind `position`, if it continues what is kept or reaches the log's end. */
  add(position: bigint, rows: readonly LogRow[], reachesEnd: boolean): void {
    const continues = this.rows.at(-1)?.position === position;
    if (!continues && !reachesEnd) return;
    if (!continues) this.clear();
    for (const row of rows) {
      this.rows.push(row);
      this.characters += row.characters;
    }
    if (this.rows.length > MOST_ROWS || this.characters > MOST_CHARACTERS) this.clear();
  }

  private clear(): void {
    this.rows = [];
    this.characters = 0;
  }
}
