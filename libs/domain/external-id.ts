import type { Aggregate } from './aggregate.js';
import { type ClientId, type ConsumerClientState } from './consumer-client.js';
import { DomainError } from './domain-error.js';
import { type Instant, millisecondsOf, secondsAfter } from './instant.js';
import type { WorkspaceId } from './workspace.js';

/** SHA-256 (hex) of a workspace and an external id. */
export type ExternalIdKey = string;

/**
 * Stream `externalId-<key>`: says which client of a workspace has an external id. A claim counts while its client is
 * active and has the external id. So the external id is free again as soon as the client is revoked.
 */
const stream = (key: ExternalIdKey) => `externalId-${key}`;

export interface ExternalIdEvent {
  type: 'ExternalIdClaimed';
  data: { externalId: string; workspaceId: WorkspaceId; clientId: ClientId; claimedAt: Instant };
}

type ExternalIdState =
  | { readonly status: 'FREE' }
  | { readonly status: 'CLAIMED'; readonly clientId: ClientId; readonly claimedAt: Instant };

const initial: ExternalIdState = { status: 'FREE' };

const evolve = (_state: ExternalIdState, { data: { clientId, claimedAt } }: ExternalIdEvent): ExternalIdState => ({
  status: 'CLAIMED',
  clientId,
  claimedAt,
});

/**
 * For this many seconds after a claim, no other client may claim the external id, even if the client of the claim does
 * not have it yet. The event that gives it to the client may be under way.
 */
const CLAIM_SECONDS = 60;
/** After a claim, the event that gives the external id to the client must follow within this many seconds. */
const USE_SECONDS = 30;

interface ClaimExternalId {
  type: 'ClaimExternalId';
  externalId: string;
  workspaceId: WorkspaceId;
  /** The client that needs the claim: it does not have the external id yet. */
  clientId: ClientId;
  /**
   * The state of the client that the last claim names. It holds for that claim only: after a later claim, the caller
   * must read the state of that claim's client.
   */
  holder: ConsumerClientState;
  at: Instant;
}

const decide = (state: ExternalIdState, command: ClaimExternalId): ExternalIdEvent[] => {
  const { externalId, workspaceId, clientId, holder, at } = command;
  if (state.status === 'CLAIMED') {
    if (state.clientId === clientId) {
      if (at < secondsAfter(state.claimedAt, USE_SECONDS)) return [];
    } else if (isHeldBy(holder, externalId)) {
      throw new DomainError(
        'conflict',
        'external_id_taken',
        'Another active client has this external id',
        'externalId',
      );
    } else if (mayStillBeUsed(state.claimedAt, holder, at)) {
      const free = secondsAfter(state.claimedAt, CLAIM_SECONDS);
      throw new DomainError(
        'conflict',
        'external_id_taken',
        'Another client has claimed this external id less than a minute ago, but does not have it; try again',
        'externalId',
        Math.ceil((millisecondsOf(free) - millisecondsOf(at)) / 1000),
      );
    }
  }
  return [{ type: 'ExternalIdClaimed', data: { externalId, workspaceId, clientId, claimedAt: at } }];
};

const isHeldBy = (holder: ConsumerClientState, externalId: string): boolean =>
  holder.status === 'ACTIVE' && holder.externalId === externalId;

/** Whether the client of a claim may still get the external id by it. A revoked client gets nothing any more. */
const mayStillBeUsed = (claimedAt: Instant, holder: ConsumerClientState, at: Instant): boolean =>
  holder.status !== 'REVOKED' && at < secondsAfter(claimedAt, CLAIM_SECONDS);

export const externalId: Aggregate<ExternalIdKey, ExternalIdState, ClaimExternalId, ExternalIdEvent> = {
  stream,
  initial,
  evolve,
  stateVersion: 1,
  decide,
};
