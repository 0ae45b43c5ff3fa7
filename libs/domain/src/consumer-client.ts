import { type Decider, type Instant, secondsAfter } from './decider.js';
import { DomainError } from './domain-error.js';
import type { EndpointUri } from './endpoint-uri.js';
import { type SubscriptionId, type SubscriptionState, subscriptionNotFound } from './subscription.js';
import { trimmedText } from './text.js';
import type { WorkspaceId } from './workspace.js';

export type ClientId = `cc_${string}`;
export type AuthenticationType = 'API_KEY' | 'OAUTH2';

/** Stream `consumerClient-<clientId>`: one credential holder, from its creation to its revocation. */
export const consumerClientStream = (id: ClientId) => `consumerClient-${id}` as const;

const CLIENT_ID = /^cc_[A-Za-z0-9]{16,40}$/;

export const isClientId = (value: unknown): value is ClientId => typeof value === 'string' && CLIENT_ID.test(value);

export const MAX_SUBSCRIPTIONS = 1000;
export const MAX_OVERLAP_SECONDS = 604_800;
export const MAX_NAME_LENGTH = 100;
export const MAX_REASON_LENGTH = 500;
/** Token revocations that a client may append within a minute. */
export const MAX_TOKEN_REVOCATIONS_PER_MINUTE = 30;
/** Revoked tokens remembered one by one; past it one instant stands for them all. */
export const MAX_REMEMBERED_REVOCATIONS = 1000;
/** By how much nodes' clocks may differ: a revocation is remembered until the token has expired by the slowest, too. */
export const MAX_CLOCK_SKEW_SECONDS = 5;

/** What it may be by another node's clock: only what is over by then is over everywhere. */
export const slowestClock = (at: Instant): Instant => secondsAfter(at, -MAX_CLOCK_SKEW_SECONDS);
/** Twice the second that clocks keep within: the node that issued may be ahead of the one that ends, and that one behind. */
export const END_OF_TOKENS_MARGIN_SECONDS = 2;

// ---- events

export interface ConsumerClientCreated {
  type: 'ConsumerClientCreated';
  data: {
    clientId: ClientId;
    workspaceId: WorkspaceId;
    name: string;
    authenticationType: AuthenticationType;
    /** Argon2id of generation 1's secret, PHC form: a sensitive field. */
    verifier: string;
    draftId?: string;
    createdAt: Instant;
  };
}
export interface ConsumerClientRenamed {
  type: 'ConsumerClientRenamed';
  data: { name: string };
}
export interface ConsumerClientSecretRotated {
  type: 'ConsumerClientSecretRotated';
  data: {
    generation: number;
    verifier: string;
    draftId?: string;
    rotatedAt: Instant;
    /** When the generation before stops being good; `rotatedAt` where there is no overlap. */
    previousExpiresAt: Instant;
  };
}
export interface ConsumerClientCredentialRetired {
  type: 'ConsumerClientCredentialRetired';
  data: { generation: number; retiredAt: Instant };
}
export interface ConsumerClientAssignedToSubscription {
  type: 'ConsumerClientAssignedToSubscription';
  data: { subscriptionId: SubscriptionId; endpointUri: EndpointUri; serviceName: string; assignedAt: Instant };
}
export type UnassignmentReason = 'REQUESTED' | 'SUBSCRIPTION_ENDED';
export interface ConsumerClientUnassignedFromSubscription {
  type: 'ConsumerClientUnassignedFromSubscription';
  data: { subscriptionId: SubscriptionId; reason: UnassignmentReason };
}
export interface ConsumerClientStaticTokenIssued {
  type: 'ConsumerClientStaticTokenIssued';
  data: StaticTokenPeriod;
}
export type RevokedTokenKind = 'ACCESS_TOKEN' | 'REFRESH_FAMILY' | 'STATIC_TOKEN';
export interface ConsumerClientTokenRevoked {
  type: 'ConsumerClientTokenRevoked';
  data: {
    kind: RevokedTokenKind;
    /** The token's `jti`, or the refresh family's id. */
    tokenId: string;
    /** When the token was issued, or the family began: by a clock that may be ahead of ours. */
    issuedAt: Instant;
    revokedAt: Instant;
    /** When the token, or the whole family, would have ended anyway. */
    expiresAt: Instant;
  };
}
/** Break glass: whatever was issued until then is refused, also what nobody knows of. */
export interface ConsumerClientTokensEnded {
  type: 'ConsumerClientTokensEnded';
  data: {
    /** Every token issued, and every refresh family begun, up to this moment. */
    issuedUpTo: Instant;
    endedAt: Instant;
  };
}
export interface ConsumerClientRevoked {
  type: 'ConsumerClientRevoked';
  data: { reason: string; subscriptions: SubscriptionId[]; revokedAt: Instant };
}
export type ConsumerClientEvent =
  | ConsumerClientCreated
  | ConsumerClientRenamed
  | ConsumerClientSecretRotated
  | ConsumerClientCredentialRetired
  | ConsumerClientAssignedToSubscription
  | ConsumerClientUnassignedFromSubscription
  | ConsumerClientStaticTokenIssued
  | ConsumerClientTokenRevoked
  | ConsumerClientTokensEnded
  | ConsumerClientRevoked;

// ---- state

/** One generation of the secret, while it is or may still be good. */
export interface Credential {
  readonly generation: number;
  readonly verifier: string;
  readonly createdAt: Instant;
  /** The end of its overlap; absent on the newest generation. Good only while now is before it. */
  readonly expiresAt?: Instant;
}
export interface Assignment {
  readonly subscriptionId: SubscriptionId;
  readonly endpointUri: EndpointUri;
  readonly serviceName: string;
  readonly assignedAt: Instant;
}
/** A static token's year: all that the token consists of, so that it can be signed again to the same bytes. */
export interface StaticTokenPeriod {
  readonly generation: number;
  /** Absent: the token of the plain `/login`. */
  readonly subscriptionId?: SubscriptionId;
  readonly jti: string;
  readonly kid: string;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
  /** JOSE header and JWT claims, complete. */
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}
export interface RevokedToken {
  readonly kind: RevokedTokenKind;
  readonly tokenId: string;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
}

interface Identity {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
  readonly name: string;
  readonly authenticationType: AuthenticationType;
  readonly createdAt: Instant;
}
export interface ActiveClient extends Identity {
  readonly status: 'ACTIVE';
  /** Oldest first; the last is the newest generation, at most one before it is in an overlap. */
  readonly credentials: readonly Credential[];
  readonly subscriptions: ReadonlyMap<SubscriptionId, Assignment>;
  /** The current period of each (generation, scope). */
  readonly staticTokens: readonly StaticTokenPeriod[];
  readonly revokedTokens: readonly RevokedToken[];
  /** Every access token issued, and every refresh family begun, up to this moment is refused. */
  readonly tokensRefusedUpTo?: Instant;
  /** When the latest token revocations happened, oldest first. */
  readonly recentTokenRevocations: readonly Instant[];
}
export interface RevokedClient extends Identity {
  readonly status: 'REVOKED';
  readonly reason: string;
  readonly revokedAt: Instant;
  readonly newestGeneration: number;
}
export type ConsumerClientState = { readonly status: 'NONE' } | ActiveClient | RevokedClient;

export const newestCredential = (client: ActiveClient): Credential => {
  const newest = client.credentials.at(-1);
  if (!newest) throw new Error(`Client ${client.clientId} has no credential`);
  return newest;
};

/** The generations that are good at `at`: the newest, and one before it while its overlap lasts. */
export const goodCredentials = (client: ActiveClient, at: Instant): readonly Credential[] =>
  client.credentials.filter(({ expiresAt }) => expiresAt === undefined || at < expiresAt);

/** The static token period of this generation and scope that is current at `at`. */
export const currentStaticToken = (
  client: ActiveClient,
  generation: number,
  subscriptionId: SubscriptionId | undefined,
  at: Instant,
): StaticTokenPeriod | undefined =>
  client.staticTokens.find(
    (period) => period.generation === generation && period.subscriptionId === subscriptionId && at < period.expiresAt,
  );

/** Whether any access token or refresh family of its may be refused; for most clients none is. */
export const hasTokenRevocations = ({ revokedTokens, tokensRefusedUpTo }: ActiveClient): boolean =>
  revokedTokens.length > 0 || tokensRefusedUpTo !== undefined;

/** Whether this token, or its whole refresh family, was revoked (`issuedAt` of a family: its start). */
export const isTokenRevoked = (
  client: ActiveClient,
  { kind, tokenId, issuedAt }: Pick<RevokeToken, 'kind' | 'tokenId' | 'issuedAt'>,
): boolean =>
  kind === 'STATIC_TOKEN'
    ? !client.staticTokens.some(({ jti }) => jti === tokenId)
    : client.revokedTokens.some((token) => token.kind === kind && token.tokenId === tokenId) ||
      (client.tokensRefusedUpTo !== undefined && issuedAt <= client.tokensRefusedUpTo);

/**
 * The moment that a token which is issued at `at` bears: behind what is refused by its moment, in the whole seconds that
 * JWTs count. So it may be ahead of `at`, by less than `iat` has leeway.
 */
export const momentOfIssue = ({ tokensRefusedUpTo }: ActiveClient, at: Instant): Instant => {
  if (tokensRefusedUpTo === undefined) return at;
  const nextSecond = secondsAfter(`${tokensRefusedUpTo.slice(0, 19)}.000Z`, 1);
  return at < nextSecond ? nextSecond : at;
};

const evolve = (state: ConsumerClientState, event: ConsumerClientEvent): ConsumerClientState => {
  if (event.type === 'ConsumerClientCreated' && state.status === 'NONE') return created(event.data);
  if (event.type === 'ConsumerClientCreated' || state.status !== 'ACTIVE') {
    throw new Error(`${event.type} in the stream of a client that is ${state.status}`);
  }
  switch (event.type) {
    case 'ConsumerClientRenamed':
      return { ...state, name: event.data.name };
    case 'ConsumerClientSecretRotated':
      return rotated(state, event.data);
    case 'ConsumerClientCredentialRetired':
      return keepGenerations(state, ({ generation }) => generation !== event.data.generation);
    case 'ConsumerClientAssignedToSubscription':
      return { ...state, subscriptions: new Map(state.subscriptions).set(event.data.subscriptionId, event.data) };
    case 'ConsumerClientUnassignedFromSubscription': {
      const subscriptions = new Map(state.subscriptions);
      subscriptions.delete(event.data.subscriptionId);
      return { ...state, subscriptions };
    }
    case 'ConsumerClientStaticTokenIssued':
      return { ...state, staticTokens: [...state.staticTokens.filter((p) => !sameScope(p, event.data)), event.data] };
    case 'ConsumerClientTokenRevoked':
      return tokenRevoked(state, event.data);
    case 'ConsumerClientTokensEnded':
      return tokensEnded(state, event.data);
    case 'ConsumerClientRevoked': {
      const { clientId, workspaceId, name, authenticationType, createdAt } = state;
      return {
        status: 'REVOKED',
        ...{ clientId, workspaceId, name, authenticationType, createdAt },
        reason: event.data.reason,
        revokedAt: event.data.revokedAt,
        newestGeneration: newestCredential(state).generation,
      };
    }
  }
};

const created = (data: ConsumerClientCreated['data']): ActiveClient => ({
  status: 'ACTIVE',
  clientId: data.clientId,
  workspaceId: data.workspaceId,
  name: data.name,
  authenticationType: data.authenticationType,
  createdAt: data.createdAt,
  credentials: [{ generation: 1, verifier: data.verifier, createdAt: data.createdAt }],
  subscriptions: new Map(),
  staticTokens: [],
  revokedTokens: [],
  recentTokenRevocations: [],
});

const rotated = (state: ActiveClient, data: ConsumerClientSecretRotated['data']): ActiveClient => {
  const { generation, verifier, rotatedAt, previousExpiresAt } = data;
  const overlapping =
    rotatedAt < previousExpiresAt ? [{ ...newestCredential(state), expiresAt: previousExpiresAt }] : [];
  const credentials = [...overlapping, { generation, verifier, createdAt: rotatedAt }];
  return keepGenerations({ ...state, credentials }, () => true);
};

/** Drops credentials, and with them the static tokens of the generations that are gone. */
const keepGenerations = (state: ActiveClient, keep: (credential: Credential) => boolean): ActiveClient => {
  const credentials = state.credentials.filter(keep);
  const generations = new Set(credentials.map(({ generation }) => generation));
  return { ...state, credentials, staticTokens: state.staticTokens.filter((p) => generations.has(p.generation)) };
};

const sameScope = (a: StaticTokenPeriod, b: StaticTokenPeriod) =>
  a.generation === b.generation && a.subscriptionId === b.subscriptionId;

const tokenRevoked = (state: ActiveClient, data: ConsumerClientTokenRevoked['data']): ActiveClient => {
  const { kind, tokenId, issuedAt, revokedAt, expiresAt } = data;
  const recentTokenRevocations = [...withinLastMinute(state.recentTokenRevocations, revokedAt), revokedAt];
  if (kind === 'STATIC_TOKEN') {
    return { ...state, recentTokenRevocations, staticTokens: state.staticTokens.filter(({ jti }) => jti !== tokenId) };
  }
  const live = state.revokedTokens.filter((token) => slowestClock(revokedAt) < token.expiresAt);
  const revokedTokens = [...live, { kind, tokenId, issuedAt, expiresAt }];
  if (revokedTokens.length <= MAX_REMEMBERED_REVOCATIONS) return { ...state, recentTokenRevocations, revokedTokens };
  const tokensRefusedUpTo = revokedTokens.reduce(
    (latest, token) => later(latest, token.issuedAt),
    later(state.tokensRefusedUpTo, issuedAt),
  );
  return { ...state, recentTokenRevocations, revokedTokens: [], tokensRefusedUpTo };
};

const tokensEnded = (state: ActiveClient, { issuedUpTo }: ConsumerClientTokensEnded['data']): ActiveClient => ({
  ...state,
  staticTokens: state.staticTokens.filter(({ issuedAt }) => issuedUpTo < issuedAt),
  tokensRefusedUpTo: later(state.tokensRefusedUpTo, issuedUpTo),
});

const later = (a: Instant | undefined, b: Instant): Instant => (a !== undefined && b < a ? a : b);

const withinLastMinute = (moments: readonly Instant[], at: Instant) => {
  const minuteAgo = secondsAfter(at, -60);
  return moments.filter((moment) => minuteAgo < moment);
};

// ---- commands

export interface CreateClient {
  type: 'CreateClient';
  clientId: ClientId;
  workspaceId: WorkspaceId;
  name: string;
  authenticationType: AuthenticationType;
  verifier: string;
  draftId?: string;
  at: Instant;
}
export interface RenameClient {
  type: 'RenameClient';
  workspaceId: WorkspaceId;
  name: string;
  at: Instant;
}
export interface RotateSecret {
  type: 'RotateSecret';
  workspaceId: WorkspaceId;
  verifier: string;
  /** The draft that the verifier came from, and the generation that it was minted to become. */
  draft?: { draftId: string; generation: number };
  /** How long the generation before stays good, in seconds: 0 (default) to 604800. */
  overlapSeconds?: number;
  at: Instant;
}
export interface RetireCredential {
  type: 'RetireCredential';
  workspaceId: WorkspaceId;
  generation: number;
  at: Instant;
}
export interface AssignToSubscription {
  type: 'AssignToSubscription';
  workspaceId: WorkspaceId;
  /** As the subscription's own stream says. */
  subscription: SubscriptionState;
  at: Instant;
}
export interface UnassignFromSubscription {
  type: 'UnassignFromSubscription';
  workspaceId: WorkspaceId;
  subscriptionId: SubscriptionId;
  reason: UnassignmentReason;
  at: Instant;
}
export interface IssueStaticToken {
  type: 'IssueStaticToken';
  token: StaticTokenPeriod;
  /** Keys whose static periods have ended with their compromise. */
  compromisedKids: readonly string[];
  at: Instant;
}
export interface RevokeToken {
  type: 'RevokeToken';
  kind: RevokedTokenKind;
  tokenId: string;
  issuedAt: Instant;
  expiresAt: Instant;
  at: Instant;
}
export interface EndTokens {
  type: 'EndTokens';
  /** The moment that the operator named, the same for all the clients that it is about; one to come counts as `at`. */
  issuedBefore: Instant;
  at: Instant;
}
export interface RevokeClient {
  type: 'RevokeClient';
  workspaceId: WorkspaceId;
  reason: string;
  at: Instant;
}
export type ConsumerClientCommand =
  | CreateClient
  | RenameClient
  | RotateSecret
  | RetireCredential
  | AssignToSubscription
  | UnassignFromSubscription
  | IssueStaticToken
  | RevokeToken
  | EndTokens
  | RevokeClient;

// ---- decisions

const decide = (state: ConsumerClientState, command: ConsumerClientCommand): ConsumerClientEvent[] => {
  if (command.type === 'CreateClient') return create(state, command);
  if (state.status === 'NONE') throw clientNotFound();
  if ('workspaceId' in command && command.workspaceId !== state.workspaceId) throw clientNotFound();
  switch (command.type) {
    case 'RenameClient':
      return rename(active(state), command);
    case 'RotateSecret':
      return rotate(active(state), command);
    case 'RetireCredential':
      return retire(active(state), command);
    case 'AssignToSubscription':
      return assign(active(state), command);
    case 'UnassignFromSubscription':
      return unassign(state, command);
    case 'IssueStaticToken':
      return issueStaticToken(active(state), command);
    case 'RevokeToken':
      return revokeToken(state, command);
    case 'EndTokens':
      return endTokens(state, command);
    case 'RevokeClient':
      return revoke(state, command);
  }
};

const create = (state: ConsumerClientState, command: CreateClient): ConsumerClientEvent[] => {
  const { clientId, workspaceId, authenticationType, verifier, draftId, at } = command;
  if (state.status !== 'NONE') {
    throw draftId === undefined
      ? new DomainError('client_exists', 'This client exists already')
      : new DomainError('draft_stale', 'This draft was used already', 'draft');
  }
  const name = trimmedText(command.name, MAX_NAME_LENGTH, 'invalid_name', 'name');
  const data = { clientId, workspaceId, name, authenticationType, verifier, createdAt: at };
  return [{ type: 'ConsumerClientCreated', data: draftId === undefined ? data : { ...data, draftId } }];
};

const rename = (state: ActiveClient, command: RenameClient): ConsumerClientEvent[] => {
  const name = trimmedText(command.name, MAX_NAME_LENGTH, 'invalid_name', 'name');
  return name === state.name ? [] : [{ type: 'ConsumerClientRenamed', data: { name } }];
};

const rotate = (state: ActiveClient, command: RotateSecret): ConsumerClientEvent[] => {
  const { verifier, draft, overlapSeconds = 0, at } = command;
  if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > MAX_OVERLAP_SECONDS) {
    throw new DomainError('invalid_overlap', `overlapSeconds must be 0 to ${MAX_OVERLAP_SECONDS}`, 'overlapSeconds');
  }
  const generation = newestCredential(state).generation + 1;
  if (draft && draft.generation !== generation) {
    throw new DomainError('draft_stale', 'This draft was used already, or made before another rotation', 'draft');
  }
  const data = { generation, verifier, rotatedAt: at, previousExpiresAt: secondsAfter(at, overlapSeconds) };
  return [
    { type: 'ConsumerClientSecretRotated', data: draft === undefined ? data : { ...data, draftId: draft.draftId } },
  ];
};

const retire = (state: ActiveClient, { generation, at }: RetireCredential): ConsumerClientEvent[] => {
  const newest = newestCredential(state).generation;
  if (!Number.isInteger(generation) || generation < 1 || generation > newest) {
    throw new DomainError('generation_not_found', 'This client never had such a generation', 'generation');
  }
  if (generation === newest) {
    throw new DomainError('generation_is_newest', 'The newest generation is rotated, not retired', 'generation');
  }
  return goodCredentials(state, slowestClock(at)).some((credential) => credential.generation === generation)
    ? [{ type: 'ConsumerClientCredentialRetired', data: { generation, retiredAt: at } }]
    : [];
};

const assign = (state: ActiveClient, { subscription, at }: AssignToSubscription): ConsumerClientEvent[] => {
  if (subscription.status === 'UNREGISTERED' || subscription.workspaceId !== state.workspaceId) {
    throw subscriptionNotFound();
  }
  if (subscription.status === 'ENDED') throw new DomainError('subscription_ended', 'This subscription has ended');
  const { subscriptionId, endpointUri, serviceName } = subscription;
  if (state.subscriptions.has(subscriptionId)) return [];
  if (state.subscriptions.size >= MAX_SUBSCRIPTIONS) {
    throw new DomainError('too_many_subscriptions', `A client has at most ${MAX_SUBSCRIPTIONS} subscriptions`);
  }
  return [
    {
      type: 'ConsumerClientAssignedToSubscription',
      data: { subscriptionId, endpointUri, serviceName, assignedAt: at },
    },
  ];
};

const unassign = (
  state: ActiveClient | RevokedClient,
  { subscriptionId, reason }: UnassignFromSubscription,
): ConsumerClientEvent[] =>
  state.status === 'ACTIVE' && state.subscriptions.has(subscriptionId)
    ? [{ type: 'ConsumerClientUnassignedFromSubscription', data: { subscriptionId, reason } }]
    : [];

const issueStaticToken = (state: ActiveClient, command: IssueStaticToken): ConsumerClientEvent[] => {
  const { token, compromisedKids, at } = command;
  if (state.authenticationType !== 'API_KEY') {
    throw new DomainError('wrong_authentication_type', 'Only API_KEY clients have static tokens');
  }
  if (!goodCredentials(state, at).some(({ generation }) => generation === token.generation)) {
    throw new DomainError('generation_not_found', 'This generation is not good any more', 'generation');
  }
  if (token.subscriptionId !== undefined && !state.subscriptions.has(token.subscriptionId)) {
    throw new DomainError('client_not_assigned', 'The client is not assigned to this subscription');
  }
  const current = currentStaticToken(state, token.generation, token.subscriptionId, at);
  if (current && !compromisedKids.includes(current.kid)) return [];
  return [{ type: 'ConsumerClientStaticTokenIssued', data: token }];
};

/** Whether the token has expired is for the caller to know: `at` may be ahead of the true time. */
const revokeToken = (state: ActiveClient | RevokedClient, command: RevokeToken): ConsumerClientEvent[] => {
  const { kind, tokenId, issuedAt, expiresAt, at } = command;
  if (state.status === 'REVOKED' || isTokenRevoked(state, command)) return [];
  if (withinLastMinute(state.recentTokenRevocations, at).length >= MAX_TOKEN_REVOCATIONS_PER_MINUTE) {
    throw new DomainError('too_many_token_revocations', 'Too many token revocations for this client; wait a minute');
  }
  return [{ type: 'ConsumerClientTokenRevoked', data: { kind, tokenId, issuedAt, revokedAt: at, expiresAt } }];
};

const endTokens = (state: ActiveClient | RevokedClient, { issuedBefore, at }: EndTokens): ConsumerClientEvent[] => {
  if (state.status === 'REVOKED') return [];
  const past = issuedBefore < at ? issuedBefore : at;
  const issuedUpTo = secondsAfter(past, END_OF_TOKENS_MARGIN_SECONDS);
  const { tokensRefusedUpTo, createdAt, staticTokens } = state;
  const mayBeThere =
    state.authenticationType === 'API_KEY'
      ? staticTokens.some(({ issuedAt }) => issuedAt <= issuedUpTo)
      : createdAt <= issuedUpTo && (tokensRefusedUpTo === undefined || tokensRefusedUpTo < issuedUpTo);
  return mayBeThere ? [{ type: 'ConsumerClientTokensEnded', data: { issuedUpTo, endedAt: at } }] : [];
};

const revoke = (state: ActiveClient | RevokedClient, command: RevokeClient): ConsumerClientEvent[] => {
  if (state.status === 'REVOKED') return [];
  const reason = trimmedText(command.reason, MAX_REASON_LENGTH, 'invalid_reason', 'reason');
  return [
    {
      type: 'ConsumerClientRevoked',
      data: { reason, subscriptions: [...state.subscriptions.keys()], revokedAt: command.at },
    },
  ];
};

const active = (state: ActiveClient | RevokedClient): ActiveClient => {
  if (state.status === 'REVOKED') throw new DomainError('client_revoked', 'This client is revoked');
  return state;
};

export const clientNotFound = () => new DomainError('client_not_found', 'No such client');

export const consumerClient: Decider<ConsumerClientState, ConsumerClientCommand, ConsumerClientEvent> = {
  initial: { status: 'NONE' },
  evolve,
  decide,
};
