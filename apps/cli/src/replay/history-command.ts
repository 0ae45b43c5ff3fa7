import { createCommand } from 'commander';
import { type ClientId, consumerClient } from '#domain';
import type { BookOfRecord } from '#event-log';
import { type RecordedEvent, redact, type Revision, verifyChain } from '#events';
import { clientIdIn } from '../client-id.js';
import { readClient } from '../clients/show-client.js';
import { withBook } from '../environment.js';
import { CommandFailed, ExitCode } from '../exit.js';
import { printResult, tableLines } from '../output.js';

/** Number of events that are read at once. */
const PIECE = 500;

/** `history`: prints all events of a client, from the event log alone, and verifies their hash chain. */
export const historyCommand = () =>
  createCommand('history')
    .description('show all events of a client, and verify their hash chain, by the event log alone')
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .action((clientId: ClientId) => withBook((book) => show(book, clientId)));

async function show(book: BookOfRecord, clientId: ClientId): Promise<void> {
  await readClient(book, clientId);
  const stream = consumerClient.stream(clientId);
  const events: RecordedEvent[] = [];
  const verdict = await verifyChain(stream, kept(eventsOf(book, stream), events));
  const shown = events.map(({ position, revision, eventId, type, data, metadata }) => ({
    position,
    event: { revision: Number(revision), type, eventId, data, ...metadata },
  }));
  const rows = shown.map(({ position, event: { revision, type, occurredAt, actor } }) => [
    ...[position, String(revision), occurredAt, type, actor.subject],
  ]);
  printResult({ stream, events: shown }, tableLines(['POSITION', 'REVISION', 'OCCURRED', 'TYPE', 'BY'], rows));
  if (!verdict.whole) {
    const { fault, revision } = verdict;
    throw new CommandFailed(ExitCode.FAILED, `The hash chain is broken at revision ${revision}: ${fault}`);
  }
  console.error('The hash chain is whole');
}

/** Yields the events of a stream, without what is secret. */
async function* eventsOf({ log }: BookOfRecord, stream: string): AsyncGenerator<RecordedEvent> {
  for (let from: Revision = 0n; ; from += BigInt(PIECE)) {
    const piece = await log.readStream(stream, { from, limit: PIECE, consistency: 'strong' });
    yield* piece.map(redact);
    if (piece.length < PIECE) return;
  }
}

/** Yields the events, and adds each to `into` first. */
async function* kept(events: AsyncIterable<RecordedEvent>, into: RecordedEvent[]): AsyncGenerator<RecordedEvent> {
  for await (const event of events) {
    into.push(event);
    yield event;
  }
}
