import type { Instant, WorkspaceId } from '#domain';

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = Record<string, unknown>;

/** Place in a stream, from 0n. */
export type Revision = bigint;
/** Place in the whole log: opaque, ordered as a string (zero-padded by the adapter that made it). */
export type Position = string;

export interface Actor {
  /** `sub` of the management token, the client's id at a login, or the name of our own process. */
  readonly subject: string;
  readonly roles: readonly string[];
  /** How the wish came in: `http`, `cli`, `login`, `process-manager`, `start`, `schedule`. */
  readonly via: string;
}

/** Who wants what, and when: the same for all the events of one command. */
export interface CommandContext {
  /** UUID; a command that is sent again has the same one. */
  readonly commandId: string;
  /** SHA-256 (hex) of method, path and body: a known `commandId` with another hash is another command. */
  readonly commandHash: string;
  readonly actor: Actor;
  /** Absent where no workspace owns the stream (`signingKeys`, `log`). */
  readonly workspaceId?: WorkspaceId;
  readonly correlationId: string;
  /** The event or request that caused the command. */
  readonly causationId: string;
}

/** Stored beside every event; the names are a contract, as the types are. */
export interface EventMetadata extends CommandContext {
  readonly schemaVersion: number;
  readonly occurredAt: Instant;
  /** SHA-256 (hex) of the event before it in its stream; 64 zeros for the first. */
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

/** An event as the log gives it back: data and metadata exactly as they were stored. */
export interface RecordedEvent extends NewEvent {
  readonly stream: string;
  readonly revision: Revision;
  readonly position: Position;
}
