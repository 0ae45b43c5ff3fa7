import { createCommand } from 'commander';
import { type ClientId, consumerClient, type WorkspaceId } from '#domain';
import type { BookOfRecord } from '#event-log';
import { type RecordedEvent, type Revision, verifyChain } from '#events';
import { clientIdIn } from '../client-id.js';
import { readClient } from '../clients/show-client.js';
import { withBook } from '../environment.js';
import { CommandFailed, ExitCode, notFound } from '../exit.js';
import { printResult, tableLines } from '../output.js';
import { type AuditedService, placedEvent, recordedEventOf } from './audited-service.js';
import { serviceOf, type SourceOptions, withSourceOptions, workspaceOption } from './sources.js';

/** Number of events that are read at once. */
const PIECE = 500;

interface HistoryOptions extends SourceOptions {
  readonly workspace?: WorkspaceId;
}

/** `history`: prints all events of a client, from the event log alone or from a service, and verifies their chain. */
export const historyCommand = () =>
  withSourceOptions(createCommand('history'))
    .description('show all events of a client, and verify their hash chain, by the event log alone')
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .addOption(workspaceOption())
    .action((clientId: ClientId, options: HistoryOptions) => {
      const service = serviceOf(options, options.workspace);
      if (service) return show(clientId, eventsFrom(service, clientId));
      return withBook(async (book) => {
        const { workspaceId } = await readClient(book, clientId);
        if (options.workspace !== undefined && options.workspace !== workspaceId) throw unknownClient(clientId);
        await show(clientId, eventsOf(book, consumerClient.stream(clientId)));
      });
    });

async function show(clientId: ClientId, source: AsyncIterable<RecordedEvent>): Promise<void> {
  const stream = consumerClient.stream(clientId);
  const events: RecordedEvent[] = [];
  const verdict = await verifyChain(stream, kept(source, events));
  if (events.length === 0) throw unknownClient(clientId);
  const shown = events.map((recorded) => {
    const { position, event } = placedEvent(recorded);
    return { position, event };
  });
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

const unknownClient = (clientId: ClientId) => notFound(`There is no client ${clientId}`);

/** Yields the events of a client that a service tells. */
async function* eventsFrom(service: AuditedService, clientId: ClientId): AsyncGenerator<RecordedEvent> {
  await service.end();
  for await (const { items } of service.events({ client: clientId })) yield* items.map(recordedEventOf);
}

/** Yields the events of a stream. */
async function* eventsOf({ log }: BookOfRecord, stream: string): AsyncGenerator<RecordedEvent> {
  for (let from: Revision = 0n; ; from += BigInt(PIECE)) {
    const piece = await log.readStream(stream, { from, limit: PIECE, consistency: 'strong' });
    yield* piece;
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
