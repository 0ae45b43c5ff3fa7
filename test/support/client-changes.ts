import { randomUUID } from 'node:crypto';
import type { AcceptanceHistory } from './acceptance-history.js';
import type { AssignedEndpoint, AuthNode, HeldCredential, HeldTokens, Holding } from './consumer-load.js';
import type { Answer } from './http.js';
import { basicOf, clientOfKey, revokeToken } from './oauth.js';
import { type Headers, type Portal, secretOf } from './portal.js';
import type { Random } from './random.js';

export interface ClientChangesOptions {
  readonly portal: Portal;
  /** Where tokens are revoked (RFC 7009). */
  readonly nodes: readonly AuthNode[];
  readonly history: AcceptanceHistory;
  readonly random: Random;
}

/** How something ends; a revoked client is followed by a new one. */
export type Change = 'rotate' | 'unassign' | 'end' | 'revoke' | 'revoke tokens';

export interface CarryOutOptions {
  /** So many calls must meet each change before the same hand makes another; 0 where nobody calls. */
  readonly callsBetween?: number;
  /** Absent: all, those most often that leave most to be ended. */
  readonly kinds?: readonly Change[];
}

const HANDS = 2;
const CLIENTS_A_HAND = 2;
const ENDPOINTS_A_CLIENT = 3;
/** What consumers still try of what has ended. */
const REVOKED_CLIENTS = 2;
const CREDENTIALS_A_CLIENT = 2;
const ALL_KINDS: readonly Change[] = ['rotate', 'rotate', 'unassign', 'end', 'revoke', 'revoke tokens'];

/**
 * A provider's portal that rotates, unassigns, ends and revokes without pause, two hands at once, and puts a new client
 * in each revoked one's place. Each command is repeated until it is acknowledged; every end is recorded.
 */
export class ClientChanges {
  /** What consumers have of the clients, and of the last that were revoked. */
  readonly holdings: Holding[] = [];
  private readonly hands: Holding[][] = Array.from({ length: HANDS }, () => []);
  private readonly revoked: Holding[] = [];
  private readonly lost = new Set<AssignedEndpoint>();
  private created = 0;

  constructor(private readonly options: ClientChangesOptions) {}

  /** Makes the first clients. */
  async begin(): Promise<void> {
    await Promise.all(
      this.hands.map(async (hand) => {
        while (hand.length < CLIENTS_A_HAND) await this.create(hand);
      }),
    );
  }

  async carryOut(changes: number, { callsBetween = 30, kinds = ALL_KINDS }: CarryOutOptions = {}): Promise<void> {
    let left = changes;
    await Promise.all(
      this.hands.map(async (hand) => {
        while (left-- > 0) {
          await this.change(hand, this.options.random.pick(kinds));
          await this.options.history.grown(callsBetween);
        }
      }),
    );
  }

  private change(hand: Holding[], kind: Change): Promise<void> {
    const holding = this.options.random.pick(hand);
    const endpoint = holding.endpoints.find((candidate) => !this.lost.has(candidate));
    const tokens = holding.tokens.at(-1);
    if (kind === 'revoke' || !endpoint) return this.revoke(hand, holding);
    if (kind === 'unassign') return this.unassign(holding, endpoint);
    if (kind === 'end') return this.endSubscription(endpoint);
    if (kind === 'revoke tokens' && tokens) return this.revokeTokens(holding, tokens);
    return this.rotate(holding);
  }

  private async create(hand: Holding[]): Promise<void> {
    const { portal } = this.options;
    const authenticationType = this.created++ % 3 === 0 ? 'API_KEY' : 'OAUTH2';
    // So that its secret is known, also where the answer gets lost.
    const { body: draft } = await acknowledged(() => portal.draft(authenticationType));
    const { clientId } = draft;
    await acknowledged((headers) => portal.create({ authenticationType, draft: draft.draft }, headers));
    const premise = `client ${clientId}`;
    const endpoints: AssignedEndpoint[] = [];
    while (endpoints.length < ENDPOINTS_A_CLIENT) {
      const subscriptionId = `sub_${randomUUID()}`;
      const { body } = await acknowledged((headers) => portal.register(subscriptionId, {}, headers));
      await acknowledged((headers) => portal.assign(clientId, subscriptionId, headers));
      const subscription = `subscription ${subscriptionId}`;
      const assignment = `assignment of ${clientId} to ${subscriptionId}`;
      endpoints.push({ uri: body.endpointUri, subscriptionId, subscription, assignment });
    }
    const credentials = [{ secret: secretOf(draft), premise: `credential 1 of ${clientId}` }];
    const holding: Holding = { clientId, authenticationType, premise, endpoints, credentials, tokens: [] };
    hand.push(holding);
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
    credentials.splice(0, credentials.length - CREDENTIALS_A_CLIENT);
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

  private async revoke(hand: Holding[], holding: Holding): Promise<void> {
    const { portal, history } = this.options;
    hand.splice(hand.indexOf(holding), 1);
    await history.end(holding.premise, () =>
      acknowledged((headers) => portal.revoke(holding.clientId, undefined, headers)),
    );
    this.revoked.push(holding);
    const forgotten = this.revoked.splice(0, this.revoked.length - REVOKED_CLIENTS);
    for (const each of forgotten) this.holdings.splice(this.holdings.indexOf(each), 1);
    await this.create(hand);
  }
}

const newest = ({ credentials }: Holding): HeldCredential => {
  const credential = credentials.at(-1);
  if (!credential) throw new Error('A client has a credential');
  return credential;
};

/** Sends the command until it is acknowledged. Throws where it is refused. */
async function acknowledged<Body>(send: (headers: Headers) => Promise<Answer<Body>>): Promise<Answer<Body>> {
  const headers = { 'idempotency-key': randomUUID() };
  for (;;) {
    const answer = await send(headers);
    if (answer.status < 300) return answer;
    if (answer.status !== 503) throw new Error(`${answer.status} ${answer.text}`);
  }
}
