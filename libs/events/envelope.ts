import type { Instant, WorkspaceId } from '#domain';

export type JsonObject = Record<string, unknown>;

/** An event's place in its stream. The first event has the revision 0n. */
export type Revision = bigint;
/**
 * An event's place in the whole log. A position is opaque text. Positions can be compared as strings, because each
 * adapter pads its positions with zeros.
 */
export type Position = string;

export interface Actor {
  /** The claim `sub` of the management token, the client's id at a login, or the name of our own process. */
  readonly subject: string;
  readonly roles: readonly string[];
  /** How the command came in: `http`, `cli`, `login`, `process-manager`, `start`, `schedule`. */
  readonly via: string;
}

/** Says who sent a command, and what caused the command. Each event of the command is stored with this context. */
export interface CommandContext {
  /** A UUID. A command that is sent again has the same UUID. */
  readonly commandId: string;
  /**
   * SHA-256 (hex) of method, path and body. If two commands have the same `commandId` but different hashes, the
   * commands are different.
   */
  readonly commandHash: string;
  readonly actor: Actor;
  /** Absent if no workspace owns the stream (`signingKeys`, `log`). */
  readonly workspaceId?: WorkspaceId;
  readonly correlationId: string;
  /** Id of the event or request that caused the command. */
  readonly causationId: string;
}

/** The metadata that is stored with every event. The names of these fields are a contract, as the event types are. */
export interface EventMetadata extends CommandContext {
  readonly schemaVersion: number;
  readonly occurredAt: Instant;
  /** SHA-256 (hex) of the previous event in the same stream. For the first event, 64 zeros. */
  readonly previousHash: string;
  readonly hash: string;
}

/** An event that is ready to be appended. */
export interface NewEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: JsonObject;
  readonly metadata: EventMetadata;
}

/** An event that was read from the log. Its data and metadata are exactly what was stored. */
export interface RecordedEvent extends NewEvent {
  readonly stream: string;
  readonly revision: Revision;
  readonly position: Position;
  /**
   * Set if the store could not read the event: why. Then `data` and `metadata` are empty. Only reads of the whole log
   * return such an event. `upcast` throws this error.
   */
  readonly unreadable?: Error;
}
