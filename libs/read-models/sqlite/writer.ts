import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Checkpoint } from '#event-log';
import type { BuildName, Lease } from '#read-models';
import { reasonOf } from '../../event-log/src/sqlite-files.js';
import type { Connection } from './connection.js';
import { layOut, layOutToLoad, openToWrite, remove, tableOf } from './layout.js';
import type { Answer, DocumentRow, LoadPart, Order, WriterOptions, WriterRequest } from './writer-protocol.js';

/**
 * This file is the writer thread. If several requests are waiting, the thread carries them out together, in one
 * transaction.
 */
type LoadRequest = Extract<WriterRequest, { readonly type: 'load' }>;

const port = parentPort;
if (port === null) throw new Error('writer.js is a worker thread');
const { file, busyTimeoutMs } = workerData as WriterOptions;

let connection: Connection | undefined;
/** The documents of each load that is being sent, by the load's number. */
const gathered = new Map<number, DocumentRow[]>();

function openConnection(): Connection {
  if (connection?.isCurrent() === false) closeConnection();
  return (connection ??= openToWrite(file, busyTimeoutMs));
}

function closeConnection(): void {
  connection?.close();
  connection = undefined;
}

type Message = Order | LoadPart | 'close';

port.on('message', (first: Message) => {
  const orders: Order[] = [];
  let isClosing = false;
  for (let message: Message | undefined = first; message !== undefined; message = received()) {
    if (message === 'close') isClosing = true;
    else if ('order' in message) orders.push(message);
    else gather(message);
  }
  carryOut(orders);
  for (const { request } of orders) if (request.type === 'load') gathered.delete(request.load);
  if (isClosing) {
    closeConnection();
    port.close();
  }
});

function gather({ load, rows }: LoadPart): void {
  const before = gathered.get(load);
  if (before) before.push(...rows);
  else gathered.set(load, [...rows]);
}

const received = (): Message | undefined => (receiveMessageOnPort(port) as { message: Message } | undefined)?.message;

/**
 * Carries out the requests in one transaction. If a request fails, its caller gets the error, and a new transaction
 * carries out the other requests.
 */
function carryOut(orders: readonly Order[]): void {
  let waiting = orders;
  while (waiting.length > 0) {
    let current: Order | undefined;
    try {
      const open = openConnection();
      const answers = open.transaction(() => {
        const answers = waiting.map((order) => {
          current = order;
          return { order: order.order, misses: fulfil(open, order.request) };
        });
        current = undefined;
        return answers;
      });
      answers.forEach(answer);
      return;
    } catch (error) {
      closeConnection();
      const failed = current === undefined ? waiting : [current];
      for (const { order } of failed) {
        answer({ order, error: reasonOf(error) });
      }
      waiting = waiting.filter((order) => !failed.includes(order));
    }
  }
}

const answer = (message: Answer): void => {
  port.postMessage(message);
};

function fulfil(open: Connection, request: WriterRequest): string[] {
  switch (request.type) {
    case 'open':
      return [];
    case 'prepare':
      return layOut(open, request.build, request.schema) ? [] : [request.build];
    case 'prepare to load':
      layOutToLoad(open, request.build, request.schema);
      return [];
    case 'load':
      return loaded(open, request) ? [] : [request.build];
    case 'write':
      return missedOf(open, request.build, request.rows);
    case 'advance':
      return advanced(open, request.build, request.expected, request.next) ? [] : [request.build];
    case 'serve':
      return served(open, request.name, request.version, request.from, request.build) ? [] : [request.build];
    case 'set lease':
      return leaseSet(open, request.build, request.expected, request.next) ? [] : [request.build];
    case 'release lease':
      open.run('DELETE FROM leases WHERE build = ? AND holder = ?', request.build, request.holder);
      return [];
    case 'drop':
      if (open.all('SELECT build FROM served WHERE build = ?', request.build).length > 0) return [request.build];
      remove(open, request.build);
      return [];
  }
}

/** Writes the documents, and returns the ids of those that could not be written. */
function missedOf(open: Connection, build: BuildName, rows: readonly DocumentRow[]): string[] {
  const table = tableOf(build);
  const insert = `INSERT INTO ${table} (id, position, revision, doc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`;
  const update = `UPDATE ${table} SET position = ?, revision = ?, doc = ? WHERE id = ? AND position = ?`;
  const missed: string[] = [];
  for (const [id, expected, position, revision, doc] of rows) {
    const changes =
      expected === undefined
        ? open.run(insert, id, position, revision, doc)
        : open.run(update, position, revision, doc, id, expected);
    if (changes === 0) missed.push(id);
  }
  return missed;
}

/**
 * Writes everything or nothing. The documents are sorted, so that documents that lie side by side in the file are
 * written one after the other.
 */
function loaded(open: Connection, { load, documents, build, expected, next }: LoadRequest): boolean {
  const rows = (gathered.get(load) ?? []).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (rows.length !== documents) throw new Error('The thread that writes was restarted while documents were sent');
  open.exec('SAVEPOINT load');
  const isWritten = advanced(open, build, expected, next) && missedOf(open, build, rows).length === 0;
  if (!isWritten) open.exec('ROLLBACK TO load');
  open.exec('RELEASE load');
  return isWritten;
}

const advanced = (open: Connection, build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): boolean =>
  open.run(
    `UPDATE builds SET log_id = ?, position = ?, event_id = ?, next_ordinal = ?
     WHERE build = ? AND log_id IS ? AND position IS ? AND event_id IS ?`,
    ...[next.logId, next.position, next.eventId, next.nextOrdinal ?? null, build],
    ...[expected?.logId ?? null, expected?.position ?? null, expected?.eventId ?? null],
  ) === 1;

const served = (
  open: Connection,
  name: string,
  version: number,
  from: BuildName | undefined,
  build: BuildName,
): boolean =>
  (from === undefined
    ? open.run(
        `INSERT INTO served (name, version, build) SELECT name, version, build FROM builds
         WHERE name = ? AND version = ? AND build = ? ON CONFLICT DO NOTHING`,
        ...[name, version, build],
      )
    : open.run(
        `UPDATE served SET build = ? WHERE name = ? AND version = ? AND build = ?
         AND EXISTS (SELECT 1 FROM builds WHERE builds.build = ?)`,
        ...[build, name, version, from, build],
      )) === 1;

const leaseSet = (open: Connection, build: BuildName, expected: Lease | undefined, next: Lease): boolean =>
  (expected === undefined
    ? open.run(
        `INSERT INTO leases (build, holder, turn, ttl_ms, asked) SELECT build, ?, ?, ?, ? FROM builds
         WHERE build = ? ON CONFLICT DO NOTHING`,
        ...[next.holder, next.turn, next.ttlMs, next.asked ? 1 : 0, build],
      )
    : open.run(
        `UPDATE leases SET holder = ?, turn = ?, ttl_ms = ?, asked = ? WHERE build = ? AND holder = ? AND turn = ?`,
        ...[next.holder, next.turn, next.ttlMs, next.asked ? 1 : 0, build, expected.holder, expected.turn],
      )) === 1;
