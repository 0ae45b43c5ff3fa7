import type { Aggregate, DataOf } from './aggregate.js';
import {
  changedDescription,
  type ClientDescription,
  type DescriptionChange,
  isSameDescription,
} from './client-description.js';
import { DomainError } from './domain-error.js';
import type { EndpointUri } from './endpoint-uri.js';
import { type Instant, secondsAfter } from './instant.js';
import { type SubscriptionId, subscriptionNotFound, type SubscriptionState } from './subscription.js';
import { trimmedText } from './text.js';
import {
  currentStaticToken,
  emptyTokenLedger,
  isRevokedById,
  type IssuedToken,
  isTokenRevoked,
  keepGenerations,
  mayRevokeToken,
  recordEnd,
  recordRevocation,
  type ReplacedTokens,
  type RevokedToken,
  startPeriod,
  type StaticTokenPeriod,
  type TokenLedger,
} from './token-ledger.js';
import type { WorkspaceId } from './workspace.js';

export type ClientId = `cc_${string}`;
export type AuthenticationType = 'API_KEY' | 'OAUTH2';

const CLIENT_ID = /^cc_[A-Za-z0-9]{16,40}$/;

export const isClientId = (value: unknown): value is ClientId => typeof value === 'string' && CLIENT_ID.test(value);

const STREAM_PREFIX = 'consumerClient-';

/**
 * Stream `consumerClient-<clientId>`: the life of one client (a holder of credentials), from creation to revocation.
 */
const stream = (id: ClientId) => `${STREAM_PREFIX}${id}`;

/**
 * Returns the id of the client that the stream belongs to. Returns `undefined` if the stream is of another kind. Throws
 * if the stream's name contains no valid client id.
 */
export function clientIdOf(stream: string): ClientId | undefined {
  if (!stream.startsWith(STREAM_PREFIX)) return undefined;
  const clientId = stream.slice(STREAM_PREFIX.length);
  if (!isClientId(clientId)) throw new Error('The stream names no client');
  return clientId;
}

export const MAX_SUBSCRIPTIONS = 1000;
export const MAX_OVERLAP_SECONDS = 604_800;
export const MAX_NAME_LENGTH = 100;
export const MAX_REASON_LENGTH = 500;
/** How many subscriptions a client can be assigned to by the command that creates it. */
export const MAX_FIRST_SUBSCRIPTIONS = 50;
/** A secret's expiry may lie this many seconds in the future: ten years. */
export const MAX_EXPIRY_SECONDS = 315_360_000;
/**
 * An operator can end the tokens that were issued up to a moment. This many seconds are then added to the moment. The
 * margin allows for two clocks that are each off by a second: the clock of the node that issued a token may be ahead,
 * and the clock of the node that ends the tokens may be behind.
 */
const END_OF_TOKENS_MARGIN_SECONDS = 2;

// ---- events

export type UnassignmentReason = 'REQUESTED' | 'SUBSCRIPTION_ENDED';
/** What an event tells about a new secret. */
interface NewSecret {
  /** Argon2id hash of the secret, in PHC form. This field is sensitive: only its SHA-256 leaves the log. */
  readonly verifier: string;
  /** The draft (a credential that was minted in advance) from which the secret comes. */
  readonly draftId?: string;
  /**
   * The first four characters of the secret's random part, by which a person tells two secrets apart. Absent in events
   * of older versions of this software.
   */
  readonly hint?: string;
  /** When the secret stops being good. Absent if it stays good until it is replaced or the client is revoked. */
  readonly expiresAt?: Instant;
}
export type ConsumerClientEvent =
  | {
      type: 'ConsumerClientCreated';
      data: NewSecret &
        ClientDescription & {
          clientId: ClientId;
          workspaceId: WorkspaceId;
          name: string;
          authenticationType: AuthenticationType;
          createdAt: Instant;
        };
    }
  | { type: 'ConsumerClientRenamed'; data: { name: string } }
  /** Carries the whole new description. What is absent was removed, or was never there. */
  | { type: 'ConsumerClientDescribed'; data: ClientDescription }
  | {
      type: 'ConsumerClientSecretRotated';
      data: NewSecret & {
        generation: number;
        rotatedAt: Instant;
        /**
         * When the secret's previous generation stops being good: at the end of the overlap, or earlier, at its own
         * expiry. Equals `rotatedAt` if there is no overlap.
         */
        previousExpiresAt: Instant;
      };
    }
  | { type: 'ConsumerClientCredentialRetired'; data: { generation: number; retiredAt: Instant } }
  | {
      type: 'ConsumerClientAssignedToSubscription';
      data: { subscriptionId: SubscriptionId; endpointUri: EndpointUri; serviceName: string; assignedAt: Instant };
    }
  | {
      type: 'ConsumerClientUnassignedFromSubscription';
      data: { subscriptionId: SubscriptionId; reason: UnassignmentReason };
    }
  | { type: 'ConsumerClientStaticTokenIssued'; data: StaticTokenPeriod & { readonly replacedTokens: ReplacedTokens } }
  | { type: 'ConsumerClientTokenRevoked'; data: RevokedToken & { readonly revokedAt: Instant } }
  /** For emergencies: tokens are refused, even tokens of which we have no record. */
  | {
      type: 'ConsumerClientTokensEnded';
      data: {
        /**
         * The tokens that were issued up to this moment are refused. So are the refresh families (the refresh tokens of
         * one login) that began up to this moment. If this moment is not before `endedAt`, all tokens are refused that
         * were issued before this event, whatever time they carry.
         */
        issuedUpTo: Instant;
        endedAt: Instant;
      };
    }
  | { type: 'ConsumerClientRevoked'; data: { reason: string; subscriptions: SubscriptionId[]; revokedAt: Instant } };

// ---- state

/** One generation of the client's secret. `expiresAt` tells whether the generation is still good. */
export interface Credential {
  readonly generation: number;
  readonly verifier: string;
  readonly createdAt: Instant;
  readonly hint?: string;
  /**
   * When the generation stops being good: at the end of its overlap, or at its own expiry, whichever is earlier. Absent
   * on the newest generation if that has no expiry.
   */
  readonly expiresAt?: Instant;
}
export interface Assignment {
  readonly subscriptionId: SubscriptionId;
  readonly endpointUri: EndpointUri;
  readonly serviceName: string;
  readonly assignedAt: Instant;
}
interface Identity extends ClientDescription {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
  readonly name: string;
  readonly authenticationType: AuthenticationType;
  readonly createdAt: Instant;
}
export interface ActiveClient extends Identity {
  readonly status: 'ACTIVE';
  /**
   * The generations of the client's secret, oldest first. The last element is the newest generation. At most one
   * earlier generation comes before it, and is good until its overlap ends. The newest generation stays in the list
   * after its expiry.
   */
  readonly credentials: readonly Credential[];
  readonly subscriptions: ReadonlyMap<SubscriptionId, Assignment>;
  readonly tokens: TokenLedger;
}
interface RevokedClient extends Identity {
  readonly status: 'REVOKED';
  readonly reason: string;
  readonly revokedAt: Instant;
  readonly newestGeneration: number;
}
type ExistingClient = ActiveClient | RevokedClient;
export type ConsumerClientState = { readonly status: 'NONE' } | ExistingClient;

export const newestCredential = (client: ActiveClient): Credential => {
  const newest = client.credentials.at(-1);
  if (!newest) throw new Error(`Client ${client.clientId} has no credential`);
  return newest;
};

/**
 * Returns the generations of the secret that are good at `at`: the newest one until its expiry, if it has one, and the
 * previous one until its overlap ends.
 */
export const goodCredentials = (client: ActiveClient, at: Instant): readonly Credential[] =>
  client.credentials.filter(({ expiresAt }) => expiresAt === undefined || at < expiresAt);

/** Whether this generation of the secret is among `goodCredentials`. */
export const isGoodGeneration = (client: ActiveClient, generation: number, at: Instant): boolean =>
  client.credentials.some(
    ({ generation: known, expiresAt }) => known === generation && (expiresAt === undefined || at < expiresAt),
  );

const initial: ConsumerClientState = { status: 'NONE' };

const evolve = (state: ConsumerClientState, event: ConsumerClientEvent): ConsumerClientState => {
  if (event.type === 'ConsumerClientCreated' && state.status === 'NONE') return created(event.data);
  if (event.type === 'ConsumerClientCreated' || state.status !== 'ACTIVE') {
    throw new Error(`${event.type} in the stream of a client that is ${state.status}`);
  }
  switch (event.type) {
    case 'ConsumerClientRenamed':
      return { ...state, name: event.data.name };
    case 'ConsumerClientDescribed':
      return { ...withoutDescription(state), ...descriptionOf(event.data) };
    case 'ConsumerClientSecretRotated':
      return rotated(state, event.data);
    case 'ConsumerClientCredentialRetired':
      return withCredentials(
        state,
        state.credentials.filter(({ generation }) => generation !== event.data.generation),
      );
    case 'ConsumerClientAssignedToSubscription':
      return assigned(state, event.data);
    case 'ConsumerClientUnassignedFromSubscription': {
      const subscriptions = new Map(state.subscriptions);
      subscriptions.delete(event.data.subscriptionId);
      return { ...state, subscriptions };
    }
    case 'ConsumerClientStaticTokenIssued': {
      const { replacedTokens, ...period } = event.data;
      return { ...state, tokens: startPeriod(state.tokens, period, replacedTokens) };
    }
    case 'ConsumerClientTokenRevoked':
      return { ...state, tokens: recordRevocation(state.tokens, event.data) };
    case 'ConsumerClientTokensEnded':
      return { ...state, tokens: recordEnd(state.tokens, event.data) };
    case 'ConsumerClientRevoked': {
      const { clientId, workspaceId, name, authenticationType, createdAt } = state;
      return {
        status: 'REVOKED',
        ...{ clientId, workspaceId, name, authenticationType, createdAt, ...descriptionOf(state) },
        reason: event.data.reason,
        revokedAt: event.data.revokedAt,
        newestGeneration: newestCredential(state).generation,
      };
    }
  }
};

const created = (data: DataOf<ConsumerClientEvent, 'ConsumerClientCreated'>): ActiveClient => ({
  status: 'ACTIVE',
  clientId: data.clientId,
  workspaceId: data.workspaceId,
  name: data.name,
  authenticationType: data.authenticationType,
  createdAt: data.createdAt,
  ...descriptionOf(data),
  credentials: [credentialOf(1, data, data.createdAt)],
  subscriptions: new Map(),
  tokens: emptyTokenLedger,
});

const descriptionOf = ({ description, labels, externalId }: ClientDescription): ClientDescription => ({
  ...(description !== undefined && { description }),
  ...(labels !== undefined && { labels }),
  ...(externalId !== undefined && { externalId }),
});

const withoutDescription = ({ description: _, labels: __, externalId: ___, ...state }: ActiveClient): ActiveClient =>
  state;

const credentialOf = (generation: number, secret: NewSecret, createdAt: Instant): Credential => ({
  generation,
  verifier: secret.verifier,
  createdAt,
  ...(secret.hint !== undefined && { hint: secret.hint }),
  ...(secret.expiresAt !== undefined && { expiresAt: secret.expiresAt }),
});

const assigned = (state: ActiveClient, assignment: Assignment): ActiveClient => ({
  ...state,
  subscriptions: new Map(state.subscriptions).set(assignment.subscriptionId, assignment),
});

const rotated = (
  state: ActiveClient,
  data: DataOf<ConsumerClientEvent, 'ConsumerClientSecretRotated'>,
): ActiveClient => {
  const { generation, rotatedAt, previousExpiresAt } = data;
  const overlapping =
    rotatedAt < previousExpiresAt ? [{ ...newestCredential(state), expiresAt: previousExpiresAt }] : [];
  return withCredentials(state, [...overlapping, credentialOf(generation, data, rotatedAt)]);
};

/**
 * Replaces the client's credentials. A static token ends together with the generation of the secret for which it was
 * issued.
 */
const withCredentials = (state: ActiveClient, credentials: readonly Credential[]): ActiveClient => ({
  ...state,
  credentials,
  tokens: keepGenerations(
    state.tokens,
    credentials.map(({ generation }) => generation),
  ),
});

// ---- commands

/** The secret that a command attaches to the client. */
interface SecretOfCommand {
  verifier: string;
  /** Absent if the secret comes from a draft that an older version of this software minted. */
  hint?: string;
  /** When the secret stops being good: after `at`, and at most ten years later. Default: it has no expiry. */
  expiresAt?: Instant;
}
export interface CreateClient extends SecretOfCommand, ClientDescription {
  type: 'CreateClient';
  clientId: ClientId;
  workspaceId: WorkspaceId;
  name: string;
  authenticationType: AuthenticationType;
  draftId?: string;
  /**
   * The subscriptions to which the client is assigned at once, at most 50. The caller has read each state from the
   * subscription's own stream.
   */
  subscriptions?: readonly SubscriptionState[];
  at: Instant;
}
/** Changes what a workspace says about its client. The caller MUST have claimed a new external id for the client. */
export interface DescribeClient extends DescriptionChange {
  type: 'DescribeClient';
  workspaceId: WorkspaceId;
  name?: string;
  at: Instant;
}
export interface RotateSecret extends SecretOfCommand {
  type: 'RotateSecret';
  workspaceId: WorkspaceId;
  /**
   * The draft (a credential that was minted in advance) from which `verifier` comes. `generation`: the generation
   * number that the draft was minted for.
   */
  draft?: { draftId: string; generation: number };
  /** How long the replaced secret stays good, in seconds: 0 (default) to 604800. Its own expiry stays as it is. */
  overlapSeconds?: number;
  at: Instant;
}
interface RetireCredential {
  type: 'RetireCredential';
  workspaceId: WorkspaceId;
  generation: number;
  at: Instant;
}
interface AssignToSubscription {
  type: 'AssignToSubscription';
  workspaceId: WorkspaceId;
  /** The subscription's state. The caller has read this state from the subscription's own stream. */
  subscription: SubscriptionState;
  at: Instant;
}
interface UnassignFromSubscription {
  type: 'UnassignFromSubscription';
  workspaceId: WorkspaceId;
  subscriptionId: SubscriptionId;
  reason: UnassignmentReason;
  at: Instant;
}
interface IssueStaticToken {
  type: 'IssueStaticToken';
  token: StaticTokenPeriod;
  /** Ids of the compromised signing keys. A static token that one of these keys signed is no longer valid. */
  compromisedKids: readonly string[];
  at: Instant;
}
interface RevokeToken extends RevokedToken, IssuedToken {
  type: 'RevokeToken';
  at: Instant;
}
interface EndTokens {
  type: 'EndTokens';
  /** Tokens that were issued after this moment are spared. If absent, or not before `at`, all tokens end. */
  issuedBefore?: Instant;
  at: Instant;
}
interface RevokeClient {
  type: 'RevokeClient';
  workspaceId: WorkspaceId;
  reason: string;
  at: Instant;
}

/**
 * Commands of the workspace that owns the client. A command from any other workspace is refused as if the client did
 * not exist.
 */
type WorkspaceCommand =
  DescribeClient | RotateSecret | RetireCredential | AssignToSubscription | UnassignFromSubscription | RevokeClient;

/**
 * Commands of the service itself, of a token's bearer or of an operator. These commands work on clients of any
 * workspace.
 */
type SystemCommand = IssueStaticToken | RevokeToken | EndTokens;

export type ConsumerClientCommand = CreateClient | WorkspaceCommand | SystemCommand;

// ---- decisions

const decide = (state: ConsumerClientState, command: ConsumerClientCommand): ConsumerClientEvent[] => {
  if (command.type === 'CreateClient') return create(state, command);
  if (state.status === 'NONE') throw clientNotFound();
  switch (command.type) {
    case 'IssueStaticToken':
      return issueStaticToken(active(state), command);
    case 'RevokeToken':
      return revokeToken(state, command);
    case 'EndTokens':
      return endTokens(state, command);
    default:
      return decideForWorkspace(state, command);
  }
};

const decideForWorkspace = (state: ExistingClient, command: WorkspaceCommand): ConsumerClientEvent[] => {
  if (command.workspaceId !== state.workspaceId) throw clientNotFound();
  switch (command.type) {
    case 'DescribeClient':
      return describe(active(state), command);
    case 'RotateSecret':
      return rotate(active(state), command);
    case 'RetireCredential':
      return retire(active(state), command);
    case 'AssignToSubscription':
      return assign(active(state), command);
    case 'UnassignFromSubscription':
      return unassign(state, command);
    case 'RevokeClient':
      return revoke(state, command);
  }
};

const create = (state: ConsumerClientState, command: CreateClient): ConsumerClientEvent[] => {
  const { clientId, workspaceId, authenticationType, draftId, subscriptions = [], at } = command;
  if (state.status !== 'NONE') {
    throw draftId === undefined
      ? new DomainError('conflict', 'client_exists', 'This client exists already')
      : new DomainError('conflict', 'draft_stale', 'This draft was used already', 'draft');
  }
  const data: DataOf<ConsumerClientEvent, 'ConsumerClientCreated'> = {
    ...{ clientId, workspaceId, name: validName(command.name), authenticationType },
    ...changedDescription({}, descriptionOf(command)),
    ...newSecret(command, at),
    createdAt: at,
    ...(draftId !== undefined && { draftId }),
  };
  return [{ type: 'ConsumerClientCreated', data }, ...assignFirst(created(data), subscriptions, at)];
};

const validName = (name: string) => trimmedText(name, MAX_NAME_LENGTH, 'invalid_name', 'name');

/** Assigns a new client. A subscription that is named twice counts once. */
const assignFirst = (
  client: ActiveClient,
  subscriptions: readonly SubscriptionState[],
  at: Instant,
): ConsumerClientEvent[] => {
  if (subscriptions.length > MAX_FIRST_SUBSCRIPTIONS) {
    throw new DomainError(
      'invalid',
      'invalid_subscriptions',
      `A new client is assigned to at most ${MAX_FIRST_SUBSCRIPTIONS} subscriptions`,
      'subscriptions',
    );
  }
  let state = client;
  return subscriptions.flatMap((subscription, index) => {
    const events = assign(state, { subscription, at }, `subscriptions[${index}]`);
    for (const { data } of events) state = assigned(state, data);
    return events;
  });
};

/** Returns what an event tells about the new secret of a command. Throws `DomainError` if the expiry is refused. */
const newSecret = ({ verifier, hint, expiresAt }: SecretOfCommand, at: Instant): NewSecret => {
  if (expiresAt !== undefined && (expiresAt <= at || expiresAt > secondsAfter(at, MAX_EXPIRY_SECONDS))) {
    throw new DomainError(
      'invalid',
      'invalid_expiry',
      'expiresAt must be in the future, and at most ten years away',
      'expiresAt',
    );
  }
  return { verifier, ...(hint !== undefined && { hint }), ...(expiresAt !== undefined && { expiresAt }) };
};

const describe = (state: ActiveClient, command: DescribeClient): ConsumerClientEvent[] => {
  const name = command.name === undefined ? state.name : validName(command.name);
  const before = descriptionOf(state);
  const data = changedDescription(before, command);
  return [
    ...(name === state.name ? [] : [{ type: 'ConsumerClientRenamed' as const, data: { name } }]),
    ...(isSameDescription(before, data) ? [] : [{ type: 'ConsumerClientDescribed' as const, data }]),
  ];
};

const rotate = (state: ActiveClient, command: RotateSecret): ConsumerClientEvent[] => {
  const { draft, overlapSeconds = 0, at } = command;
  if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > MAX_OVERLAP_SECONDS) {
    throw new DomainError(
      'invalid',
      'invalid_overlap',
      `overlapSeconds must be 0 to ${MAX_OVERLAP_SECONDS}`,
      'overlapSeconds',
    );
  }
  const previous = newestCredential(state);
  const generation = previous.generation + 1;
  if (draft && draft.generation !== generation) {
    throw new DomainError(
      'conflict',
      'draft_stale',
      'This draft was used already, or made before another rotation',
      'draft',
    );
  }
  const data = {
    generation,
    ...newSecret(command, at),
    rotatedAt: at,
    previousExpiresAt: overlapEnd(previous, at, overlapSeconds),
    ...(draft && { draftId: draft.draftId }),
  };
  return [{ type: 'ConsumerClientSecretRotated', data }];
};

/** Returns the end of an overlap that begins at `at`. An overlap never makes a secret good beyond its own expiry. */
const overlapEnd = ({ expiresAt }: Credential, at: Instant, overlapSeconds: number): Instant => {
  const end = secondsAfter(at, overlapSeconds);
  if (expiresAt === undefined || end <= expiresAt) return end;
  return expiresAt < at ? at : expiresAt;
};

const retire = (state: ActiveClient, { generation, at }: RetireCredential): ConsumerClientEvent[] => {
  const newest = newestCredential(state).generation;
  if (!Number.isInteger(generation) || generation < 1 || generation > newest) {
    throw new DomainError('not_found', 'generation_not_found', 'This client never had such a generation', 'generation');
  }
  if (generation === newest) {
    throw new DomainError(
      'conflict',
      'generation_is_newest',
      'The newest generation is rotated, not retired',
      'generation',
    );
  }
  // The end is recorded even if the overlap seems to be over: a clock that is ahead may only make it seem so.
  return state.credentials.some((credential) => credential.generation === generation)
    ? [{ type: 'ConsumerClientCredentialRetired', data: { generation, retiredAt: at } }]
    : [];
};

/** `field`: the input that names the subscription, if the request has such an input. */
const assign = (
  state: ActiveClient,
  { subscription, at }: Pick<AssignToSubscription, 'subscription' | 'at'>,
  field?: string,
): Extract<ConsumerClientEvent, { type: 'ConsumerClientAssignedToSubscription' }>[] => {
  if (subscription.status === 'UNREGISTERED' || subscription.workspaceId !== state.workspaceId) {
    throw subscriptionNotFound(field);
  }
  if (subscription.status === 'ENDED') {
    throw new DomainError('conflict', 'subscription_ended', 'This subscription has ended', field);
  }
  const { subscriptionId, endpointUri, serviceName } = subscription;
  if (state.subscriptions.has(subscriptionId)) return [];
  if (state.subscriptions.size >= MAX_SUBSCRIPTIONS) {
    throw new DomainError(
      'conflict',
      'too_many_subscriptions',
      `A client has at most ${MAX_SUBSCRIPTIONS} subscriptions`,
    );
  }
  return [
    {
      type: 'ConsumerClientAssignedToSubscription',
      data: { subscriptionId, endpointUri, serviceName, assignedAt: at },
    },
  ];
};

const unassign = (
  state: ExistingClient,
  { subscriptionId, reason }: UnassignFromSubscription,
): ConsumerClientEvent[] =>
  state.status === 'ACTIVE' && state.subscriptions.has(subscriptionId)
    ? [{ type: 'ConsumerClientUnassignedFromSubscription', data: { subscriptionId, reason } }]
    : [];

const issueStaticToken = (state: ActiveClient, command: IssueStaticToken): ConsumerClientEvent[] => {
  const { token, compromisedKids, at } = command;
  if (state.authenticationType !== 'API_KEY') {
    throw new DomainError('conflict', 'wrong_authentication_type', 'Only API_KEY clients have static tokens');
  }
  if (!isGoodGeneration(state, token.generation, at)) {
    throw new DomainError('not_found', 'generation_not_found', 'This generation is not good any more', 'generation');
  }
  if (token.subscriptionId !== undefined && !state.subscriptions.has(token.subscriptionId)) {
    throw new DomainError('conflict', 'client_not_assigned', 'The client is not assigned to this subscription');
  }
  const current = currentStaticToken(state.tokens, token.generation, token.subscriptionId, at);
  if (current && !compromisedKids.includes(current.kid)) return [];
  return [{ type: 'ConsumerClientStaticTokenIssued', data: { ...token, replacedTokens: 'KEPT' } }];
};

/**
 * Revokes one token. The revocation is recorded even if the token seems to have expired: a clock that is ahead may only
 * make it seem so.
 */
const revokeToken = (state: ExistingClient, command: RevokeToken): ConsumerClientEvent[] => {
  const { kind, tokenId, issuedAt, expiresAt, at } = command;
  if (state.status === 'REVOKED') return [];
  // The tokens of one refresh family carry different epochs. If one of them is refused, the others may still be good.
  const isRefused = kind === 'REFRESH_FAMILY' ? isRevokedById : isTokenRevoked;
  if (isRefused(state.tokens, command)) return [];
  if (!mayRevokeToken(state.tokens, at)) {
    throw new DomainError(
      'too_many',
      'too_many_token_revocations',
      'Too many token revocations for this client; wait a minute',
    );
  }
  return [{ type: 'ConsumerClientTokenRevoked', data: { kind, tokenId, issuedAt, revokedAt: at, expiresAt } }];
};

const endTokens = (state: ExistingClient, { issuedBefore, at }: EndTokens): ConsumerClientEvent[] => {
  if (state.status === 'REVOKED') return [];
  if (state.authenticationType === 'API_KEY' && state.tokens.periods.length === 0) return [];
  const past = issuedBefore !== undefined && issuedBefore < at ? issuedBefore : at;
  const issuedUpTo = secondsAfter(past, END_OF_TOKENS_MARGIN_SECONDS);
  return [{ type: 'ConsumerClientTokensEnded', data: { issuedUpTo, endedAt: at } }];
};

const revoke = (state: ExistingClient, command: RevokeClient): ConsumerClientEvent[] => {
  if (state.status === 'REVOKED') return [];
  const reason = trimmedText(command.reason, MAX_REASON_LENGTH, 'invalid_reason', 'reason');
  return [
    {
      type: 'ConsumerClientRevoked',
      data: { reason, subscriptions: [...state.subscriptions.keys()], revokedAt: command.at },
    },
  ];
};

const active = (state: ExistingClient): ActiveClient => {
  if (state.status === 'REVOKED') throw new DomainError('conflict', 'client_revoked', 'This client is revoked');
  return state;
};

export const clientNotFound = () => new DomainError('not_found', 'client_not_found', 'No such client');

export const consumerClient: Aggregate<ClientId, ConsumerClientState, ConsumerClientCommand, ConsumerClientEvent> = {
  stream,
  initial,
  evolve,
  stateVersion: 4,
  decide,
};
