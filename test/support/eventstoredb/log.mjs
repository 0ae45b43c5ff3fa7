import { Buffer } from 'node:buffer';
import { EventEmitter } from 'node:events';
import { open } from 'node:fs/promises';
import { Signal } from './signal.mjs';
import { countUpTo } from './sorted.mjs';

const NEWLINE = 0x0a;
const encoded = (bytes) => bytes.toString('base64');
const decoded = (text) => Buffer.from(text, 'base64');

/** The file's line of a record; `isLast` closes the append that it belongs to. */
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
 * An append-only file of JSON lines, one a record. A record's `position` is its line's first byte, its `end` the next
 * line's. Emits `record` for each record, at once when it is appended, and `flushed` when the disk has more.
 */
export class Log extends EventEmitter {
  /** Bytes appended, and of those the ones that the disk has. */
  length = 0;
  flushed = 0;
  /** Where appends end, in order. */
  ends = [];
  flushes = new Signal();
  unwritten = [];
  isWriting = false;

  constructor(handle) {
    super();
    this.handle = handle;
  }

  /** `listen` may subscribe before the records in the file are told. Cuts off an append that a crash left unfinished. */
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

  /** Appends records, all or none. They are durable when `flushed` has passed their end. */
  append(records) {
    const lines = records.map((record, index) => lineOf(record, index === records.length - 1));
    this.tell(records.map((record, index) => [record, lines[index].length]));
    this.write(lines);
  }

  /** Appends lines that another node's log begins with at this log's end. */
  copy(bytes) {
    if (bytes.length === 0) return;
    this.take(bytes);
    this.write([bytes]);
  }

  /** Lines from a position on that the disk has: whole appends, of `limit` bytes or little more. */
  async read(position, limit) {
    const enough = countUpTo(this.ends, (end) => end < position + limit);
    const end = Math.max(
      position,
      this.ends[Math.min(enough, countUpTo(this.ends, (end) => end <= this.flushed) - 1)] ?? 0,
    );
    const { buffer } = await this.handle.read(Buffer.alloc(end - position), 0, end - position, position);
    return buffer;
  }

  /** Resolves when the disk has the log up to a position. */
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

  /** One write and one sync for all that came in meanwhile. */
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
