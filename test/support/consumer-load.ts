import type { AcceptanceHistory, Premise, Verdict } from './acceptance-history.js';
import { GatewayDouble } from './gateway.js';
import type { Answer } from './http.js';
import { type LoginAnswer, apiKeyLogin, oauthLogin } from './login.js';
import { introspect, refresh } from './oauth.js';
import type { AuthenticationType } from './portal.js';
import type { Random } from './random.js';

/** The right to call one endpoint. */
export interface AssignedEndpoint {
  readonly uri: string;
  readonly subscriptionId: string;
  readonly subscription: Premise;
  readonly assignment: Premise;
}

export interface HeldCredential {
  /** An API key, or the secret of an OAUTH2 client. */
  readonly secret: string;
  readonly premise: Premise;
}

/** Tokens of one answer to a login. */
export interface HeldTokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  /** Where it was issued, and may be refreshed; absent: at `/login`. */
  readonly endpoint: AssignedEndpoint | undefined;
  /** The static token, or the family. */
  readonly own: Premise;
  readonly premises: readonly Premise[];
}

/** What a consumer has of one client, also what is ended by now: it goes on trying all of it. */
export interface Holding {
  readonly clientId: string;
  readonly authenticationType: AuthenticationType;
  readonly premise: Premise;
  readonly endpoints: readonly AssignedEndpoint[];
  /** The newest last. */
  readonly credentials: HeldCredential[];
  readonly tokens: HeldTokens[];
}

/** An auth process as consumers and gateways reach it; the gateway's secret is in `dataDir`. */
export interface AuthNode {
  readonly url: string;
  readonly dataDir: string;
}

export type Action = 'login' | 'refresh' | 'introspect' | 'check';

export interface ConsumerLoadOptions {
  /** Each call goes to any of them. */
  readonly nodes: readonly AuthNode[];
  readonly history: AcceptanceHistory;
  /** May change while calls are made. */
  readonly holdings: readonly Holding[];
  /** A management token with scope `tokens:introspect`. */
  readonly introspectionToken: string;
  readonly random: Random;
  readonly actions?: readonly Action[];
}

const LOOPS = 8;
/** Not all tokens can be refreshed. */
const ALL_ACTIONS: readonly Action[] = ['login', 'refresh', 'refresh', 'introspect', 'check'];
const MOST_TOKENS = 4;

/**
 * Consumers and gateways that never tire: 8 loops of calls, one after another in each; and whenever something of theirs
 * has ended, they try it at once at every node. All is recorded.
 */
export class ConsumerLoad {
  private families = 0;

  constructor(private readonly options: ConsumerLoadOptions) {}

  /** Calls until `work` has ended. Rejects with it, and where an answer is none that there may be. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const { history } = this.options;
    let isOver = false;
    const calling: Promise<void>[] = [];
    const failed = new Promise<never>((_, reject) => {
      const keep = (calls: Promise<void>) => {
        calls.catch(reject);
        calling.push(calls);
      };
      const loop = async () => {
        while (!isOver) await this.callOnce();
      };
      for (let n = 0; n < LOOPS; n++) keep(loop());
      history.onEnded = (premise) => {
        for (const calls of this.callsWith(premise)) keep(calls);
      };
    });
    try {
      return await Promise.race([work(), failed]);
    } finally {
      isOver = true;
      history.onEnded = () => undefined;
      await Promise.all(calling);
    }
  }

  /** What rests on the premise, begun now: at every node a login with it, and a call with a token. */
  private *callsWith(premise: Premise): Generator<Promise<void>> {
    const { nodes, holdings, actions = ALL_ACTIONS, random } = this.options;
    for (const holding of holdings) {
      const credential = holding.credentials.find((each) => [holding.premise, each.premise].includes(premise));
      const endpoint = holding.endpoints.find((each) => premisesOf(each).includes(premise));
      const tokens = holding.tokens.filter(({ premises }) => premises.includes(premise));
      for (const node of nodes) {
        if (credential || endpoint) yield this.login(node, holding, credential, endpoint);
        if (tokens.length > 0) yield this.use(random.pick(actions), node, holding, random.pick(tokens));
      }
    }
  }

  private async callOnce(): Promise<void> {
    const { random, nodes, holdings, actions = ALL_ACTIONS } = this.options;
    const node = random.pick(nodes);
    const holding = random.pick(holdings);
    const action = random.pick(actions);
    const tokens = holding.tokens.length === 0 ? undefined : random.pick(holding.tokens);
    const endpoint = holding.endpoints[random.between(0, holding.endpoints.length)]; // Or none.
    if (!tokens || action === 'login') await this.login(node, holding, this.credentialOf(holding), endpoint);
    else await this.use(action, node, holding, tokens);
  }

  private use(action: Action, node: AuthNode, holding: Holding, tokens: HeldTokens): Promise<void> {
    if (action === 'check') return this.check(node, holding, tokens);
    if (action === 'refresh' && tokens.refreshToken !== undefined) {
      return this.refresh(node, holding, tokens, tokens.refreshToken);
    }
    return this.introspect(node, tokens);
  }

  private async login(
    { url }: AuthNode,
    holding: Holding,
    { secret, premise: credential } = this.credentialOf(holding),
    endpoint?: AssignedEndpoint,
  ): Promise<void> {
    const { history } = this.options;
    const { clientId, authenticationType } = holding;
    const premises = [holding.premise, credential, ...premisesOf(endpoint)];
    const family = `family ${this.families++} of ${clientId}`;
    await history.call('login', premises, async () => {
      const answer = await (authenticationType === 'API_KEY'
        ? apiKeyLogin(url, secret, endpoint?.uri)
        : oauthLogin(url, { clientId, secret }, endpoint?.uri));
      if (!isSuccess(answer)) return refusalOf(answer);
      // A static token is the same at every login, until it is ended by itself.
      const own = authenticationType === 'API_KEY' ? answer.body.access_token : family;
      this.keep(holding, answer.body, { endpoint, own, premises: [...premises, own] });
      return { verdict: 'accepted', premises: [own] };
    });
  }

  /** By any credential of the client, not only the one that the tokens were issued to. */
  private async refresh(node: AuthNode, holding: Holding, tokens: HeldTokens, refreshToken: string): Promise<void> {
    const { history } = this.options;
    const { clientId } = holding;
    const { secret, premise: credential } = this.credentialOf(holding);
    await history.call('refresh', [credential, ...tokens.premises], async () => {
      const answer = await refresh(node.url, { clientId, secret }, refreshToken, tokens.endpoint?.uri);
      if (!isSuccess(answer)) return refusalOf(answer);
      this.keep(holding, answer.body, tokens);
      return { verdict: 'accepted' };
    });
  }

  private async introspect({ url }: AuthNode, tokens: HeldTokens): Promise<void> {
    const { history, introspectionToken, random } = this.options;
    const { accessToken, refreshToken, premises } = tokens;
    const token = random.pick([accessToken, refreshToken ?? accessToken]);
    await history.call('introspect', premises, async () => {
      const answer = await introspect(url, token, { authorization: `Bearer ${introspectionToken}` });
      if (!isSuccess(answer)) return refusalOf(answer);
      return { verdict: answer.body.active ? 'accepted' : 'refused' };
    });
  }

  private async check(node: AuthNode, { endpoints }: Holding, { accessToken, ...tokens }: HeldTokens): Promise<void> {
    const { history, random } = this.options;
    const endpoint = tokens.endpoint ?? random.pick(endpoints);
    await history.call('check', [...tokens.premises, ...premisesOf(endpoint)], async () => {
      const answer = await new GatewayDouble(node).check({ endpoint: endpoint.uri, token: accessToken });
      return isSuccess(answer) ? { verdict: 'accepted' } : refusalOf(answer);
    });
  }

  /** Mostly the newest, so that there are tokens to lose. */
  private credentialOf({ credentials }: Holding): HeldCredential {
    const { random } = this.options;
    const newest = credentials.at(-1);
    return newest && random.between(0, 3) > 0 ? newest : random.pick(credentials);
  }

  private keep(
    { tokens }: Holding,
    { access_token: accessToken, refresh_token: refreshToken }: LoginAnswer,
    { endpoint, own, premises }: Omit<HeldTokens, 'accessToken' | 'refreshToken'>,
  ): void {
    if (tokens.length === MOST_TOKENS) tokens.splice(this.options.random.between(0, MOST_TOKENS - 1), 1);
    tokens.push({ accessToken, refreshToken, endpoint, own, premises });
  }
}

const premisesOf = (endpoint: AssignedEndpoint | undefined): Premise[] =>
  endpoint ? [endpoint.subscription, endpoint.assignment] : [];

const isSuccess = ({ status }: Answer<unknown>): boolean => status === 200;

/** Throws where it is no refusal that a consumer is to meet. */
function refusalOf({ status, text }: Answer<unknown>): { readonly verdict: Verdict } {
  if (status === 503) return { verdict: 'unavailable' };
  if (status === 400 || status === 401 || status === 403) return { verdict: 'refused' };
  throw new Error(`Answered with ${status}: ${text}`);
}
