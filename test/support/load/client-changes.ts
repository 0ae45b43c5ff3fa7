import { randomUUID } from 'node:crypto';
import type { Answer } from '../api/http.js';
import { basicOf, clientOfKey, revokeToken } from '../api/oauth.js';
import { type Headers, type Portal, secretOf } from '../api/portal.js';
import type { AcceptanceHistory } from './acceptance-history.js';
import type { AssignedEndpoint, AuthNode, HeldCredential, HeldTokens, Holding } from './consumer-load.js';
import type { Random } from './random.js';

export interface ClientChangesOptions {
  readonly portal: Portal;
  /** The nodes to which requests to revoke tokens (RFC 7009) are sent. */
  readonly nodes: readonly AuthNode[];
  readonly history: AcceptanceHistory;
  readonly random: Random;
}

/** The ways in which a worker ends something. After `revoke`, a new client replaces the revoked client. */
export type Change = 'rotate' | 'unassign' | 'end' | 'revoke' | 'revoke tokens';

export interface CarryOutOptions {
  /** Number of calls that a worker waits for between two changes. Pass 0 if nobody makes calls. */
  readonly callsBetween?: number;
  /**
   * Each change is chosen at random from these kinds. If absent, all kinds are used. `rotate` is then chosen twice as
   * often as any other kind, because a rotated client can still be changed in all other ways.
   */
  readonly kinds?: readonly Change[];
}

const WORKERS = 2;
const CLIENTS_PER_WORKER = 2;
const ENDPOINTS_PER_CLIENT = 3;
/** Number of revoked clients that consumers keep using. */
const REVOKED_CLIENTS = 2;
/** Number of credentials of each client that consumers keep using. */
const CREDENTIALS_PER_CLIENT = 2;
const ALL_KINDS: readonly Change[] = ['rotate', 'rotate', 'unassign', 'end', 'revoke', 'revoke tokens'];

/**
 * A provider's portal that changes clients without pause, and replaces each revoked client by a new client. The two
 * workers change different clients. A worker repeats each command until the command is acknowledged. The history
 * records everything that the workers end.
 */
export class ClientChanges {
  /**
   * What consumers hold: the credentials and tokens of the current clients, and of the most recently revoked clients.
   */
  readonly holdings: Holding[] = [];
  /** The clients of each worker. */
  private readonly workers: Holding[][] = Array.from({ length: WORKERS }, () => []);
  private readonly revoked: Holding[] = [];
  private readonly lost = new Set<AssignedEndpoint>();
  private created = 0;

  constructor(private readonly options: ClientChangesOptions) {}

  /** Creates the first clients. */
  async begin(): Promise<void> {
    await Promise.all(
      this.workers.map(async (own) => {
        while (own.length < CLIENTS_PER_WORKER) await this.create(own);
      }),
    );
  }

  async carryOut(changes: number, { callsBetween = 30, kinds = ALL_KINDS }: CarryOutOptions = {}): Promise<void> {
    let left = changes;
    await Promise.all(
      this.workers.map(async (own) => {
        while (left-- > 0) {
          await this.change(own, this.options.random.pick(kinds));
          await this.options.history.waitForCalls(callsBetween);
        }
      }),
    );
  }

  private change(own: Holding[], kind: Change): Promise<void> {
    const holding = this.options.random.pick(own);
    const endpoint = holding.endpoints.find((candidate) => !this.lost.has(candidate));
    const tokens = holding.tokens.at(-1);
    if (kind === 'revoke' || !endpoint) return this.revoke(own, holding);
    if (kind === 'unassign') return this.unassign(holding, endpoint);
    if (kind === 'end') return this.endSubscription(endpoint);
    if (kind === 'revoke tokens' && tokens) return this.revokeTokens(holding, tokens);
    return this.rotate(holding);
  }

  private async create(own: Holding[]): Promise<void> {
    const { portal } = this.options;
    const authenticationType = this.created++ % 3 === 0 ? 'API_KEY' : 'OAUTH2';
    // The secret comes from a draft (a credential minted before the client exists). So the secret is known even if the
    // response to the request that creates the client is lost.
    const { body: draft } = await acknowledged(() => portal.draft(authenticationType));
    const { clientId } = draft;
    await acknowledged((headers) => portal.create({ authenticationType, draft: draft.draft }, headers));
    const premise = `client ${clientId}`;
    const endpoints: AssignedEndpoint[] = [];
    while (endpoints.length < ENDPOINTS_PER_CLIENT) {
      const subscriptionId = `sub_${randomUUID()}`;
      const { body } = await acknowledged((headers) => portal.register(subscriptionId, {}, headers));
      await acknowledged((headers) => portal.assign(clientId, subscriptionId, headers));
      const subscription = `subscription ${subscriptionId}`;
      const assignment = `assignment of ${clientId} to ${subscriptionId}`;
      endpoints.push({ uri: body.endpointUri, subscriptionId, subscription, assignment });
    }
    const credentials = [{ secret: secretOf(draft), premise: `credential 1 of ${clientId}` }];
    const holding: Holding = { clientId, authenticationType, premise, endpoints, credentials, tokens: [] };
    own.push(holding);
    this.holdings.push(holding);
  }

  private async rotate(holding: Holding): Promise<void> {
    const { portal, history } = this.options;
    const { clientId, authenticationType, credentials } = holding;
    const { body: draft } = await acknowledged(() => portal.draft(authenticationType, clientId));
    const rotation = () =>
      acknowledged((headers) => portal.rotate(clientId, { draft: draft.draft, overlapSeconds: 0 }, headers));
    const { body } = await history.end(newest(holding).premise, rotation);
    const { generation = 0 } = body.client.credentials.at(-1) ?? {};
    credentials.push({ secret: secretOf(draft), premise: `credential ${generation} of ${clientId}` });
    credentials.splice(0, credentials.length - CREDENTIALS_PER_CLIENT);
  }

  private async unassign({ clientId }: Holding, endpoint: AssignedEndpoint): Promise<void> {
    const { portal, history } = this.options;
    this.lost.add(endpoint);
    await history.end(endpoint.assignment, () =>
      acknowledged((headers) => portal.unassign(clientId, endpoint.subscriptionId, headers)),
    );
  }

  private async endSubscription(endpoint: AssignedEndpoint): Promise<void> {
    const { portal, history } = this.options;
    this.lost.add(endpoint);
    await history.end(endpoint.subscription, () =>
      acknowledged((headers) => portal.end(endpoint.subscriptionId, 'contract over', headers)),
    );
  }

  private async revokeTokens(holding: Holding, { accessToken, refreshToken, own }: HeldTokens): Promise<void> {
    const { nodes, history, random } = this.options;
    const { clientId, authenticationType } = holding;
    const { secret } = newest(holding);
    const client = authenticationType === 'API_KEY' ? clientOfKey(secret) : { clientId, secret };
    const { url } = random.pick(nodes);
    await history.end(own, () => acknowledged(() => revokeToken(url, refreshToken ?? accessToken, basicOf(client))));
  }

  private async revoke(own: Holding[], holding: Holding): Promise<void> {
    const { portal, history } = this.options;
    own.splice(own.indexOf(holding), 1);
    await history.end(holding.premise, () =>
      acknowledged((headers) => portal.revoke(holding.clientId, undefined, headers)),
    );
    this.revoked.push(holding);
    const forgotten = this.revoked.splice(0, this.revoked.length - REVOKED_CLIENTS);
    for (const each of forgotten) this.holdings.splice(this.holdings.indexOf(each), 1);
    await this.create(own);
  }
}

const newest = ({ credentials }: Holding): HeldCredential => {
  const credential = credentials.at(-1);
  if (!credential) throw new Error('A client has a credential');
  return credential;
};

/** Repeats the command until it is acknowledged. Throws if the command is refused. */
async function acknowledged<Body>(send: (headers: Headers) => Promise<Answer<Body>>): Promise<Answer<Body>> {
  const headers = { 'idempotency-key': randomUUID() };
  for (;;) {
    const answer = await send(headers);
    if (answer.status < 300) return answer;
    if (answer.status !== 503) throw new Error(`${answer.status} ${answer.text}`);
  }
}
