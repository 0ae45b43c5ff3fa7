import { Buffer } from 'node:buffer';
import { EventEmitter } from 'node:events';
import { open } from 'node:fs/promises';
import { Signal } from './signal.mjs';
import { countUpTo } from './sorted.mjs';

const NEWLINE = 0x0a;
const encoded = (bytes) => bytes.toString('base64');
const decoded = (text) => Buffer.from(text, 'base64');

/**
 * Returns the line that the file holds for a record. `isLast` tells whether the record is the last record of its
 * append.
 */
const lineOf = (record, isLast) => {
  const fields =
    record.epoch === undefined ? { ...record, data: encoded(record.data), metadata: encoded(record.metadata) } : record;
  return Buffer.from(`${JSON.stringify(isLast ? { ...fields, last: true } : fields)}\n`);
};

const recordOf = (line) => {
  const { last, ...fields } = JSON.parse(line);
  if (fields.epoch !== undefined) return { record: fields, last };
  return { record: { ...fields, data: decoded(fields.data), metadata: decoded(fields.metadata) }, last };
};

/**
 * An append-only file with one JSON line per record. A record's `position` is the byte offset of its line, and a
 * record's `end` is the byte offset of the next line. Emits `record` synchronously for each appended record. Emits
 * `flushed` when more of the file is on disk.
 */
export class Log extends EventEmitter {
  /** The number of bytes that were appended. */
  length = 0;
  /** The number of appended bytes that are on disk. */
  flushed = 0;
  /** The byte offset at which each append ends, in ascending order. */
  ends = [];
  flushes = new Signal();
  unwritten = [];
  isWriting = false;

  constructor(handle) {
    super();
    this.handle = handle;
  }

  /**
   * Opens the file. `listen` is called before the file's records are emitted. If a crash has left the last append
   * unfinished, that append is cut off.
   */
  static async open(file, listen) {
    const handle = await open(file, 'a+');
    const log = new Log(handle);
    listen(log);
    const bytes = await handle.readFile();
    log.take(bytes);
    if (log.length < bytes.length) await handle.truncate(log.length);
    log.flushed = log.length;
    return log;
  }

  /** Appends records, all or none. The records are durable when `flushed` has reached the end of the last record. */
  append(records) {
    const lines = records.map((record, index) => lineOf(record, index === records.length - 1));
    this.tell(records.map((record, index) => [record, lines[index].length]));
    this.write(lines);
  }

  /** Appends lines that come from another node's log. The lines must begin where this log ends. */
  copy(bytes) {
    if (bytes.length === 0) return;
    this.take(bytes);
    this.write([bytes]);
  }

  /** Reads lines that are on disk, from a position on. Returns whole appends, of about `limit` bytes in total. */
  async read(position, limit) {
    const enough = countUpTo(this.ends, (end) => end < position + limit);
    const end = Math.max(
      position,
      this.ends[Math.min(enough, countUpTo(this.ends, (end) => end <= this.flushed) - 1)] ?? 0,
    );
    const { buffer } = await this.handle.read(Buffer.alloc(end - position), 0, end - position, position);
    return buffer;
  }

  /** Resolves when the log is on disk up to the position. */
  async untilFlushed(position) {
    while (this.flushed < position) await this.flushes.next;
  }

  async truncate(position) {
    await this.handle.truncate(position);
    await this.handle.datasync();
  }

  take(bytes) {
    let group = [];
    let lineStart = 0;
    for (let lineEnd; (lineEnd = bytes.indexOf(NEWLINE, lineStart)) >= 0; lineStart = lineEnd + 1) {
      const { record, last } = recordOf(bytes.toString('utf8', lineStart, lineEnd));
      group.push([record, lineEnd + 1 - lineStart]);
      if (!last) continue;
      this.tell(group);
      group = [];
    }
  }

  tell(append) {
    for (const [record, bytes] of append) {
      record.position = this.length;
      this.length += bytes;
      record.end = this.length;
      this.emit('record', record);
    }
    this.ends.push(this.length);
  }

  write(lines) {
    this.unwritten.push(...lines);
    if (!this.isWriting) void this.writeAll();
  }

  /**
   * Writes and syncs until nothing is unwritten. Appends that arrive during a write share the next write and the next
   * sync.
   */
  async writeAll() {
    this.isWriting = true;
    while (this.unwritten.length > 0) {
      const bytes = Buffer.concat(this.unwritten);
      this.unwritten = [];
      await this.handle.appendFile(bytes);
      await this.handle.datasync();
      this.flushed += bytes.length;
      this.flushes.give();
      this.emit('flushed');
    }
    this.isWriting = false;
  }
}
