import { type ClientId, consumerClient, type WorkspaceId } from '#domain';
import { type BookOfRecord, isSelected } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import { projections } from '#read-models';
import { lastEventAt } from '#replay';
import { readLastTreeHead } from '#tree-heads';
import { CommandFailed } from '../exit.js';
import { type AuditedService, type PlacedEvent, placedEvent, START } from '../replay/audited-service.js';

/** Number of events that are read from the log at once. */
const PIECE = 500;

/** An event whose content can't be read. */
export type UnreadableEvent = Pick<PlacedEvent, 'position' | 'stream'> & { readonly event: null };

/** A part of an export, and the position up to which everything is in it or in the parts before. */
export interface ExportPart {
  readonly events: readonly (PlacedEvent | UnreadableEvent)[];
  readonly through: Position;
}

/** Where the events of an export come from. */
export interface ExportSource {
  /** Returns the end of the log, and requires that `to` is not behind it. */
  end(to: Position | undefined): Promise<Position>;
  /** Yields all events after a position, up to `to`. */
  parts(after: Position, to: Position, signal: AbortSignal): AsyncGenerator<ExportPart>;
  /** Returns the newest signed head of the tree. */
  treeHead(): Promise<string | null>;
}

/** The events of a workspace from the event log, without any read model. */
export const eventsOfLog = (
  book: BookOfRecord,
  { workspaceId, clientId }: { readonly workspaceId: WorkspaceId; readonly clientId: ClientId | undefined },
): ExportSource => {
  const { log } = book;
  const stream = clientId && consumerClient.stream(clientId);
  const isWanted = (event: RecordedEvent): boolean =>
    isSelected(projections.history, event) &&
    (stream === undefined || event.stream === stream) &&
    (event.unreadable !== undefined || event.metadata.workspaceId === workspaceId);
  return {
    async end(to) {
      if (to !== undefined) await lastEventAt(book, to, 'to');
      return to ?? (await log.end()) ?? START;
    },
    async *parts(after, to, signal) {
      for (let place = after; ;) {
        signal.throwIfAborted();
        const read = await log.readAll({ after: place, limit: PIECE, consistency: 'strong' });
        const piece = read.filter(({ position }) => position <= to);
        const last = piece.at(-1);
        const events = piece.filter(isWanted).map(exportedEvent);
        if (last === undefined || read.length > piece.length) {
          yield { events, through: to };
          return;
        }
        place = last.position;
        yield { events, through: place };
      }
    },
    treeHead: async () => (await readLastTreeHead(log)).head?.note ?? null,
  };
};

const exportedEvent = (event: RecordedEvent): PlacedEvent | UnreadableEvent => {
  const { position, stream, unreadable } = event;
  return unreadable ? { position, stream, event: null } : placedEvent(event);
};

/** The events of the workspace of a token, from a service. */
export const eventsOfService = (
  service: AuditedService,
  { clientId: client }: { readonly clientId: ClientId | undefined },
): ExportSource => ({
  end: (to) => service.end(to),
  async *parts(after, to, signal) {
    for await (const { items, nextCursor } of service.events({ client, cursor: after }, signal)) {
      const events = items.filter(({ position }) => position <= to);
      const isLast = nextCursor === undefined || nextCursor >= to || events.length < items.length;
      yield { events, through: isLast ? to : nextCursor };
      if (isLast) return;
    }
  },
  async treeHead() {
    try {
      return await (await service.ask('/v1/log/checkpoint')).text();
    } catch (error) {
      // No head was signed yet, or only operators may read heads.
      if (error instanceof CommandFailed) return null;
      throw error;
    }
  },
});
