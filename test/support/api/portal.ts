import { randomUUID } from 'node:crypto';
import { MasterKeys } from '#credentials';
import type { ClientId } from '#domain';
import { type EventMetadata, type JsonObject, type RecordedEvent } from '#events';
import { standaloneMasterKey } from '#stores';
import { BootstrapIssuer, type ManagementScope } from '#tokens';
import type { Standalone } from '../processes/standalone.js';
import { type Answer, type HttpRequest, send } from './http.js';

export type AuthenticationType = 'API_KEY' | 'OAUTH2';

export interface Client {
  readonly clientId: ClientId;
  readonly workspaceId: string;
  readonly name: string;
  readonly authenticationType: AuthenticationType;
  readonly status: 'ACTIVE' | 'REVOKED';
  readonly createdAt: string;
  readonly lastUsedAt?: string;
  readonly revokedAt?: string;
  readonly revocationReason?: string;
  readonly description?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly externalId?: string;
  readonly credentials: readonly {
    readonly generation: number;
    readonly createdAt: string;
    readonly hint?: string;
    readonly expiresAt?: string;
    readonly lastUsedAt?: string;
  }[];
  readonly subscriptions: readonly Assignment[];
  readonly revision: number;
}
export interface Assignment {
  readonly subscriptionId: string;
  readonly endpointUri: string;
  readonly serviceName: string;
  readonly assignedAt: string;
}
export interface Credential {
  readonly clientId: ClientId;
  readonly generation: number;
  readonly apiKey?: string;
  readonly clientSecret?: string;
}
export interface ClientAnswer {
  readonly client: Client;
  readonly credential?: Credential;
  readonly credentialShown?: true;
}
export interface Draft extends Omit<Credential, 'generation'> {
  readonly draft: string;
  readonly authenticationType: AuthenticationType;
  readonly expiresAt: string;
}
export interface Subscription {
  readonly subscriptionId: string;
  readonly workspaceId: string;
  readonly endpointUri: string;
  readonly serviceName: string;
  readonly status: 'LIVE' | 'ENDED';
  readonly registeredAt: string;
  readonly endedAt?: string;
  readonly endReason?: string;
  readonly revision: number;
}
export interface HistoryEntry extends EventMetadata {
  readonly revision: number;
  readonly type: string;
  readonly eventId: string;
  readonly data: JsonObject;
}
export interface LoginAnswer {
  readonly yes: boolean | null;
  readonly reason: string;
}
/** A client as it was. */
export interface ClientState {
  readonly basis: {
    readonly by: string;
    readonly at: string;
    readonly revision: number;
    readonly position: string;
    readonly leafIndex: number | null;
  };
  readonly client: Omit<Client, 'credentials' | 'subscriptions'>;
  readonly credentials: readonly (Client['credentials'][number] & {
    readonly wouldLogIn: LoginAnswer;
    readonly staticTokens: readonly { readonly tokenId: string; readonly subscriptionId?: string }[];
  })[];
  readonly subscriptions: readonly (Assignment & { readonly status: string; readonly wouldLogIn: LoginAnswer })[];
  readonly wouldLogIn: LoginAnswer;
}
/** An event, with its place in the log. */
export interface PlacedEvent {
  readonly position: string;
  readonly stream: string;
  readonly event: HistoryEntry;
}
export interface Diff extends Page<{
  readonly stream: string;
  readonly position: string;
  readonly unreadable?: string;
  readonly revisionBefore?: number;
  readonly revisionAfter?: number;
  readonly changes: readonly { change: string; of?: string; before?: string; after?: string }[];
}> {
  readonly from: string;
  readonly to: string;
}
export interface TokenStatus {
  readonly at: string;
  readonly good: boolean | null;
  readonly reason: string;
  readonly kind?: string;
  readonly clientId?: string;
  readonly subscriptionId?: string;
}
export interface CouldCall extends Page<{ readonly clientId: string; readonly generations: readonly number[] }> {
  readonly at: string;
  readonly position?: string;
  readonly unreadable: readonly { readonly clientId: string; readonly reason: string }[];
  readonly subscriptionId: string;
  readonly status: string;
}
export interface AccessReviewManifest {
  readonly query: { readonly workspaceId: string; readonly at: string; readonly position?: string };
  readonly treeHead: string | null;
  readonly rows: number;
  readonly unreadableRows: number;
  readonly files: readonly { readonly name: string; readonly sha256: string; readonly bytes: number }[];
}
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}
export interface RevocationPreview {
  readonly wouldLeave: readonly Assignment[];
  readonly wouldInvalidate: readonly number[];
}
export interface EndPreview {
  readonly wouldUnassign: readonly string[];
  readonly nextCursor?: string;
}
export interface RotationPreview {
  readonly generation: number;
  readonly wouldInvalidate: readonly number[];
  readonly previousExpiresAt?: string;
}

export type Headers = Readonly<Record<string, string>>;
export type Query = Readonly<Record<string, string | number>>;

export interface PortalOptions {
  readonly workspaceId?: string;
  readonly scopes?: readonly ManagementScope[];
  readonly subject?: string;
  readonly ttlSeconds?: number;
}

const ALL_OF_A_PORTAL: readonly ManagementScope[] = [
  'clients:write',
  'clients:read',
  'subscriptions:write',
  'audit:read',
];

/** A marketplace's portal backend, which calls the management API over HTTP with its own token. */
export class Portal {
  constructor(
    readonly url: string,
    readonly token: string,
  ) {}

  /**
   * Makes a portal for a standalone process (all apps in one). The portal's token comes from the built-in issuer, as
   * the tokens of `consumer-clients token` do.
   */
  static of(
    { url, dataDir }: Standalone,
    {
      workspaceId = 'acme',
      scopes = ALL_OF_A_PORTAL,
      subject = 'portal-backend',
      ttlSeconds = 3600,
    }: PortalOptions = {},
  ): Portal {
    const issuer = new BootstrapIssuer(MasterKeys.from({ current: standaloneMasterKey(dataDir), previous: [] }));
    return new Portal(url, issuer.issueManagementToken({ subject, scopes, workspaceId, ttlSeconds }, new Date()));
  }

  send<Body>(method: string, path: string, { headers, body }: HttpRequest = {}): Promise<Answer<Body>> {
    return send<Body>(method, this.url, path, { headers: { authorization: `Bearer ${this.token}`, ...headers }, body });
  }

  draft(authenticationType: AuthenticationType, clientId?: string): Promise<Answer<Draft>> {
    return this.send('POST', '/v1/credential-drafts', { body: { authenticationType, clientId } });
  }

  create(
    body: Readonly<Record<string, unknown>> & { authenticationType?: AuthenticationType; draft?: string } = {},
    headers?: Headers,
  ): Promise<Answer<ClientAnswer>> {
    const completed = { name: 'Forecast importer', authenticationType: 'OAUTH2', ...body };
    return this.send('POST', '/v1/clients', { body: completed, headers });
  }

  rename(clientId: string, name: string, headers?: Headers): Promise<Answer<ClientAnswer>> {
    return this.describe(clientId, { name }, headers);
  }

  describe(
    clientId: string,
    change: Readonly<Record<string, unknown>>,
    headers?: Headers,
  ): Promise<Answer<ClientAnswer>> {
    return this.send('PATCH', `/v1/clients/${clientId}`, { body: change, headers });
  }

  rotate(
    clientId: string,
    body: { draft?: string; overlapSeconds?: number; expiresAt?: string } = {},
    headers?: Headers,
  ): Promise<Answer<ClientAnswer>> {
    return this.send('POST', `/v1/clients/${clientId}/rotate`, { body, headers });
  }

  previewRotation(
    clientId: string,
    body: { draft?: string; overlapSeconds?: number; expiresAt?: string } = {},
    headers?: Headers,
  ): Promise<Answer<RotationPreview>> {
    return this.send('POST', `/v1/clients/${clientId}/rotate?dryRun=true`, { body, headers });
  }

  retire(clientId: string, generation: number, headers?: Headers): Promise<Answer<ClientAnswer>> {
    return this.send('DELETE', `/v1/clients/${clientId}/credentials/${generation}`, { headers });
  }

  assign(clientId: string, subscriptionId: string, headers?: Headers): Promise<Answer<ClientAnswer>> {
    return this.send('PUT', `/v1/clients/${clientId}/subscriptions/${subscriptionId}`, { headers });
  }

  unassign(clientId: string, subscriptionId: string, headers?: Headers): Promise<Answer<ClientAnswer>> {
    const path = `/v1/clients/${clientId}/subscriptions/${subscriptionId}`;
    return this.send('DELETE', path, { headers });
  }

  revoke(clientId: string, reason = 'The importer was retired', headers?: Headers): Promise<Answer<ClientAnswer>> {
    return this.send('POST', `/v1/clients/${clientId}/revoke`, { body: { reason }, headers });
  }

  previewRevocation(
    clientId: string,
    body?: { reason?: string },
    headers?: Headers,
  ): Promise<Answer<RevocationPreview>> {
    return this.send('POST', `/v1/clients/${clientId}/revoke?dryRun=true`, { body, headers });
  }

  get(clientId: string, headers?: Headers): Promise<Answer<Client>> {
    return this.send('GET', `/v1/clients/${clientId}`, { headers });
  }

  list(query: Query = {}, headers?: Headers): Promise<Answer<Page<Client>>> {
    return this.send('GET', `/v1/clients${queryOf(query)}`, { headers });
  }

  history(clientId: string, query: Query = {}, headers?: Headers): Promise<Answer<Page<HistoryEntry>>> {
    return this.send('GET', `/v1/clients/${clientId}/history${queryOf(query)}`, { headers });
  }

  events(query: Query = {}, headers?: Headers): Promise<Answer<Page<PlacedEvent>>> {
    return this.send('GET', `/v1/history${queryOf(query)}`, { headers });
  }

  diff(query: Query): Promise<Answer<Diff>> {
    return this.send('GET', `/v1/diff${queryOf(query)}`);
  }

  couldCall(body: Readonly<Record<string, unknown>>): Promise<Answer<CouldCall>> {
    return this.send('POST', '/v1/questions/could-call', { body });
  }

  tokenStatus(token: string, at?: string): Promise<Answer<TokenStatus>> {
    return this.send('POST', '/v1/questions/token-status', { body: { token, ...(at !== undefined && { at }) } });
  }

  accessReview<Body = unknown>(query: Query = {}, headers?: Headers): Promise<Answer<Body>> {
    return this.send('GET', `/v1/access-review${queryOf(query)}`, { headers });
  }

  state(clientId: string, query: Query = {}): Promise<Answer<ClientState>> {
    return this.send('GET', `/v1/clients/${clientId}/state${queryOf(query)}`);
  }

  register(
    subscriptionId: string,
    body: { endpointUri?: string; serviceName?: string } = {},
    headers?: Headers,
  ): Promise<Answer<Subscription>> {
    const completed = { endpointUri: slugOf(subscriptionId), serviceName: 'Weather forecasts', ...body };
    return this.send('PUT', `/v1/subscriptions/${subscriptionId}`, { body: completed, headers });
  }

  end(subscriptionId: string, reason?: string, headers?: Headers): Promise<Answer<Subscription>> {
    const path = `/v1/subscriptions/${subscriptionId}${queryOf(reason === undefined ? {} : { reason })}`;
    return this.send('DELETE', path, { headers });
  }

  previewEnd(subscriptionId: string, query: Query = {}, headers?: Headers): Promise<Answer<EndPreview>> {
    const path = `/v1/subscriptions/${subscriptionId}${queryOf({ dryRun: 'true', ...query })}`;
    return this.send('DELETE', path, { headers });
  }

  subscription(subscriptionId: string, headers?: Headers): Promise<Answer<Subscription>> {
    return this.send('GET', `/v1/subscriptions/${subscriptionId}`, { headers });
  }

  historyOfSubscription(
    subscriptionId: string,
    query: Query = {},
    headers?: Headers,
  ): Promise<Answer<Page<HistoryEntry>>> {
    return this.send('GET', `/v1/subscriptions/${subscriptionId}/history${queryOf(query)}`, { headers });
  }

  subscriptions(query: Query = {}, headers?: Headers): Promise<Answer<Page<Subscription>>> {
    return this.send('GET', `/v1/subscriptions${queryOf(query)}`, { headers });
  }

  clientsOf(subscriptionId: string, query: Query = {}, headers?: Headers): Promise<Answer<Page<Client>>> {
    return this.send('GET', `/v1/subscriptions/${subscriptionId}/clients${queryOf(query)}`, { headers });
  }

  /** Creates a client. Returns the client with its API key or client secret. */
  async newClient(authenticationType: AuthenticationType = 'OAUTH2', name?: string): Promise<NewClient> {
    const answer = await this.create({ authenticationType, ...(name !== undefined && { name }) });
    const { client, credential } = answer.body;
    return { ...client, secret: secretOf(credential), token: answer.header('x-consistency-token') };
  }

  /**
   * Returns headers with which a query's response includes the effect of every command acknowledged so far. The headers
   * contain the consistency token of a new command.
   */
  async readNow(): Promise<Headers> {
    return readAfter(await this.register(`mark-${randomUUID()}`));
  }

  /** Reads all pages of a list, and returns their items. */
  async walk<Item>(page: (cursor: Query) => Promise<Answer<Page<Item>>>): Promise<Item[]> {
    const items: Item[] = [];
    let cursor: string | undefined;
    do {
      const { body } = await page(cursor === undefined ? {} : { cursor });
      items.push(...body.items);
      cursor = body.nextCursor;
    } while (cursor !== undefined);
    return items;
  }

  /** Returns all history entries of a client, the oldest entry first. */
  async wholeHistory(clientId: string, headers?: Headers): Promise<HistoryEntry[]> {
    return this.walk((cursor) => this.history(clientId, { limit: 200, ...cursor }, headers));
  }
}

export interface NewClient extends Client {
  /** The API key of an API_KEY client, or the client secret of an OAUTH2 client. */
  readonly secret: string;
  /** The consistency token of the command that created the client. */
  readonly token: string;
}

/** Returns the API key or client secret of a credential. Throws if the response showed no credential. */
export function secretOf(shown: { readonly apiKey?: string; readonly clientSecret?: string } | undefined): string {
  const secret = shown?.apiKey ?? shown?.clientSecret;
  if (secret === undefined) throw new Error('No credential was shown');
  return secret;
}

/** Returns headers with which a query sees the command's effect. */
export const readAfter = (command: Pick<Answer<unknown>, 'header'>): Headers => ({
  'x-consistency-token': command.header('x-consistency-token'),
});

/** Returns the event that a history entry shows, so that `verifyChain` can check the event's hash. */
export function recordedEventOf(stream: string, entry: HistoryEntry): RecordedEvent {
  const { revision, type, eventId, data, ...metadata } = entry;
  return { stream, revision: BigInt(revision), position: '', eventId, type, data, metadata };
}

const slugOf = (subscriptionId: string): string => subscriptionId.toLowerCase().replaceAll('_', '-');

const queryOf = (query: Query): string => {
  const text = new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();
  return text === '' ? '' : `?${text}`;
};
