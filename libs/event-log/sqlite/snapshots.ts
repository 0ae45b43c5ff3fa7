import type { SnapshotStore } from '#event-log';
import type { Reader } from './reader.js';
import type { Writer } from './writer.js';

/** Snapshots in two tables beside the events: the newest snapshot of each name, and the parts. */
export class SqliteSnapshots implements SnapshotStore {
  constructor(
    private readonly writer: Writer,
    private readonly reader: Reader,
  ) {}

  // eslint-disable-next-line @typescript-eslint/require-await -- the promise must reject with what is thrown here
  async read(name: string): Promise<string | undefined> {
    return this.reader.snapshot(name);
  }

  async write(name: string, snapshot: string): Promise<void> {
    await this.writer.writeSnapshot({ name, snapshot, parts: [] });
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the promise must reject with what is thrown here
  async readPart(name: string, number: number): Promise<string | undefined> {
    return this.reader.snapshotPart(name, number);
  }

  writeParts(name: string, parts: readonly string[]): Promise<number> {
    return this.writer.writeSnapshot({ name, parts });
  }
}
