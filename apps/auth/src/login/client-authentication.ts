import { parseApiKey } from '#credentials';
import {
  type ActiveClient,
  type AuthenticationType,
  type ClientId,
  type ConsumerClientState,
  goodCredentials,
  isClientId,
  type SigningKeysState,
} from '#domain';
import type { UsageOutcome } from '#events';
import type { AuthDependencies } from '../dependencies.js';
import type { AuthenticationLimits } from '../http/authentication-limits.js';
import { invalidRequest, type OAuthError } from '../http/oauth-error.js';
import type { OAuthRequest } from '../http/oauth-route.js';
import type { Parameters } from '../http/parameters.js';
import type { UnrecordedUsage } from './unrecorded-usage.js';

/** A client that has proved its identity, and the generation (number) of the credential that proved the identity. */
export interface AuthenticatedClient {
  /** The client's state. The state was read strongly (and so is not outdated) after the request had arrived. */
  readonly client: ActiveClient;
  readonly generation: number;
  /**
   * The state of the signing keys. Its strong read began together with that of the client's state. Rejects with
   * `LogUnavailable`, which concerns only those who need the keys.
   */
  readonly keys: Promise<SigningKeysState>;
}

export interface AuthenticationOptions {
  /** The only type of client that may authenticate. If absent, both types may. */
  readonly authenticationType?: AuthenticationType;
  /**
   * Begins when the client's state begins to be read. Reads that begin here take no round trip of their own. Does not
   * begin for credentials that are refused without a read.
   */
  readonly alongside?: { begin(): void } | undefined;
}

/** Authenticates clients by id and secret, and counts the attempts that are refused. */
export class ClientAuthentication {
  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'ring' | 'verifier' | 'now'>,
    private readonly limits: AuthenticationLimits,
    private readonly attempts: Pick<UnrecordedUsage, 'count' | 'countClaimed' | 'countUnknown'>,
  ) {}

  /**
   * Authenticates a client. An unknown client, a revoked client, a client of the wrong type and a wrong secret all get
   * the same answer after the same work. The headers of a successful answer state how much of the client's limit is
   * left. Adds the client to the facts of the request: a client that is not yet authenticated as a mere claim.
   * Throws `OAuthError`, `VerificationBusy`, `LogUnavailable`.
   */
  async authenticate(
    { clientId, secret }: PresentedCredentials,
    { address, answerHeaders, facts }: Pick<OAuthRequest, 'address' | 'answerHeaders' | 'facts'>,
    { authenticationType, alongside }: AuthenticationOptions = {},
  ): Promise<AuthenticatedClient> {
    const { book, ring, verifier, now } = this.dependencies;
    const offered = isClientId(clientId) && verifier.offered(clientId, secret);
    // A claimed id that is no client id may be a secret in the wrong place.
    if (!offered) {
      if (isClientId(clientId)) facts.claimedClientId = clientId;
      throw this.madeUp(clientId, address());
    }
    facts.claimedClientId = clientId;
    const rateLimited = (generation: number | null) => {
      this.attempts.count(clientId, generation, null, 'RATE_LIMITED', now());
    };
    this.limits.requireLeft(clientId, () => {
      rateLimited(null);
    });
    const reading = book.clients.readUsable(clientId);
    const keys = ring.state();
    // Whoever needs the keys gets the error. If nobody does, it must not count as unhandled.
    keys.catch(() => undefined);
    alongside?.begin();
    const { state } = await reading;
    const at = now();
    const isCandidate =
      state.status === 'ACTIVE' && (authenticationType ?? state.authenticationType) === state.authenticationType;
    const credentials = isCandidate ? goodCredentials(state, at) : [];
    const generation = verifier.recall(offered, credentials) ?? (await verifier.verify(offered, credentials));
    if (!isCandidate || generation === undefined) throw this.refused(clientId, state.status);
    const left = this.limits.countGood(clientId, () => {
      rateLimited(generation);
    });
    Object.assign(answerHeaders, left);
    facts.claimedClientId = undefined;
    facts.clientId = clientId;
    facts.workspaceId = state.workspaceId;
    return { client: state, generation, keys };
  }

  private madeUp(claimed: string, address: string): OAuthError {
    const refusal = this.limits.madeUpRefusal(address);
    this.attempts.countClaimed(claimed, outcomeOf(refusal), this.dependencies.now());
    return refusal.reason === undefined ? refusal.because('MADE_UP_SECRET') : refusal;
  }

  private refused(clientId: ClientId, status: ConsumerClientState['status']): OAuthError {
    const refusal = this.limits.refusal(clientId);
    const outcome = outcomeOf(refusal, status === 'REVOKED' ? 'REVOKED' : 'BAD_SECRET');
    if (status === 'NONE') this.attempts.countUnknown();
    else this.attempts.count(clientId, null, null, outcome, this.dependencies.now());
    return refusal.because(status === 'NONE' && outcome === 'BAD_SECRET' ? 'UNKNOWN_CLIENT' : outcome);
  }
}

const outcomeOf = ({ status }: OAuthError, otherwise: UsageOutcome = 'BAD_SECRET'): UsageOutcome =>
  status === 429 ? 'RATE_LIMITED' : otherwise;

/** The client id and the secret in a request. Only the form of both has been checked. */
export interface PresentedCredentials {
  readonly clientId: string;
  readonly secret: string;
}

/** The parameters with which clients authenticate. */
export const CREDENTIAL_PARAMETERS = ['api-key', 'client_id', 'client_secret'];

/** Used instead of missing or malformed credentials, which are refused and counted like made-up credentials. */
const NO_CREDENTIALS: PresentedCredentials = { clientId: '', secret: '' };

/** Returns the credentials of an API_KEY or OAUTH2 client. Throws `OAuthError`. */
export const presentedCredentials = (
  parameters: Parameters,
  authorization: string | undefined,
): PresentedCredentials =>
  'api-key' in parameters ? apiKeyIn(parameters, authorization) : oauthCredentialsIn(parameters, authorization);

/** Returns the credentials in the parameter `api-key`, which must have been sent. Throws `OAuthError`. */
export function apiKeyIn(parameters: Parameters, authorization: string | undefined): PresentedCredentials {
  const { 'api-key': apiKey = '' } = parameters;
  if (authorization !== undefined || 'client_secret' in parameters) throw inOneWayOnly();
  return parseApiKey(apiKey) ?? NO_CREDENTIALS;
}

/**
 * Returns the client's id and secret from HTTP Basic or from the body. Sending the secret in both places is an error
 * (RFC 6749 §2.3.1). Throws `OAuthError`.
 */
export function oauthCredentialsIn(parameters: Parameters, authorization: string | undefined): PresentedCredentials {
  const { client_id: clientId, client_secret: secret } = parameters;
  if (authorization === undefined) {
    return clientId === undefined || secret === undefined ? NO_CREDENTIALS : { clientId, secret };
  }
  if (secret !== undefined) throw inOneWayOnly();
  const basic = basicCredentials(authorization);
  if (!basic) return NO_CREDENTIALS;
  if (clientId !== undefined && clientId !== basic.clientId) {
    throw invalidRequest('client_id is not the one that authenticates');
  }
  return basic;
}

export const inOneWayOnly = () => invalidRequest('The client must authenticate in one way only');

const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;

/**
 * Decodes an HTTP Basic header (RFC 6749 §2.3.1): base64, split at the first colon. Id and secret are then form-decoded
 * separately.
 */
function basicCredentials(authorization: string): PresentedCredentials | undefined {
  const [, encoded] = BASIC.exec(authorization) ?? [];
  const pair = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) return undefined;
  const clientId = formDecoded(pair.slice(0, colon));
  const secret = formDecoded(pair.slice(colon + 1));
  return clientId === undefined || secret === undefined ? undefined : { clientId, secret };
}

const formDecoded = (part: string): string | undefined => {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
};
