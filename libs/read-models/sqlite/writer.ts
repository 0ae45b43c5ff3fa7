import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { BuildName, Checkpoint, Lease } from '#read-models';
import type { Connection } from './connection.js';
import { layOut, openToWrite, remove, tableOf } from './layout.js';
import type { Answer, DocumentRow, Order, WriterOptions, WriterRequest } from './writer-protocol.js';

/** The thread that writes: all that waits when it gets to it shares one transaction. */
const port = parentPort;
if (port === null) throw new Error('writer.js is a worker thread');
const { file, busyTimeoutMs } = workerData as WriterOptions;

let connection: Connection | undefined;

function openConnection(): Connection {
  if (connection?.isCurrent() === false) closeConnection();
  return (connection ??= openToWrite(file, busyTimeoutMs));
}

function closeConnection(): void {
  connection?.close();
  connection = undefined;
}

port.on('message', (first: Order | 'close') => {
  const waiting = [first];
  for (let next = received(); next !== undefined; next = received()) waiting.push(next);
  carryOut(waiting.filter((order) => order !== 'close'));
  if (waiting.includes('close')) {
    closeConnection();
    port.close();
  }
});

const received = (): Order | 'close' | undefined =>
  (receiveMessageOnPort(port) as { message: Order | 'close' } | undefined)?.message;

/** An order that fails is answered so; those that waited with it are carried out without it. */
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
      for (const { order } of failed) answer({ order, error: error instanceof Error ? error.message : String(error) });
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
      layOut(open, request.build, request.schema);
      return [];
    case 'write':
      return request.rows.filter((row) => !written(open, tableOf(request.build), row)).map((row) => row.id);
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

const written = (open: Connection, table: string, { id, expected, position, revision, doc }: DocumentRow): boolean =>
  (expected === undefined
    ? open.run(
        `INSERT INTO ${table} (id, position, revision, doc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
        ...[id, position, revision, doc],
      )
    : open.run(
        `UPDATE ${table} SET position = ?, revision = ?, doc = ? WHERE id = ? AND position = ?`,
        ...[position, revision, doc, id, expected],
      )) === 1;

const advanced = (open: Connection, build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): boolean =>
  open.run(
    `UPDATE builds SET log_id = ?, position = ?, event_id = ?
     WHERE build = ? AND log_id IS ? AND position IS ? AND event_id IS ?`,
    ...[next.logId, next.position, next.eventId, build],
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
        `INSERT INTO leases (build, holder, turn, ttl_ms) SELECT build, ?, ?, ? FROM builds
         WHERE build = ? ON CONFLICT DO NOTHING`,
        ...[next.holder, next.turn, next.ttlMs, build],
      )
    : open.run(
        `UPDATE leases SET holder = ?, turn = ?, ttl_ms = ? WHERE build = ? AND holder = ? AND turn = ?`,
        ...[next.holder, next.turn, next.ttlMs, build, expected.holder, expected.turn],
      )) === 1;
