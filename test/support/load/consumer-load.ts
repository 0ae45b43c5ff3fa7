import { GatewayDouble } from '../api/gateway.js';
import type { Answer } from '../api/http.js';
import { apiKeyLogin, type LoginAnswer, oauthLogin } from '../api/login.js';
import { introspect, refresh } from '../api/oauth.js';
import type { AuthenticationType } from '../api/portal.js';
import type { AcceptanceHistory, Premise, Verdict } from './acceptance-history.js';
import type { Random } from './random.js';

/** A subscription's endpoint that a client may call. */
export interface AssignedEndpoint {
  readonly uri: string;
  readonly subscriptionId: string;
  readonly subscription: Premise;
  readonly assignment: Premise;
}

export interface HeldCredential {
  /** The API key of an API_KEY client, or the client secret of an OAUTH2 client. */
  readonly secret: string;
  readonly premise: Premise;
}

/** The tokens that a login or a refresh has returned. */
export interface HeldTokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  /** The endpoint that issued the tokens and can refresh them. If absent, `/login` issued the tokens. */
  readonly endpoint: AssignedEndpoint | undefined;
  /**
   * Something on which only calls with these tokens depend: the static token itself, or the family of refresh tokens
   * that descend from one login.
   */
  readonly own: Premise;
  readonly premises: readonly Premise[];
}

/**
 * What a consumer knows of one client: the client's secrets and tokens. The consumer also keeps using secrets and
 * tokens that have ended.
 */
export interface Holding {
  readonly clientId: string;
  readonly authenticationType: AuthenticationType;
  readonly premise: Premise;
  readonly endpoints: readonly AssignedEndpoint[];
  /** The credentials, with the newest credential last. */
  readonly credentials: HeldCredential[];
  readonly tokens: HeldTokens[];
}

/** An auth process that consumers and gateways call. The gateways' secret is in `dataDir`. */
export interface AuthNode {
  readonly url: string;
  readonly dataDir: string;
}

export type Action = 'login' | 'refresh' | 'introspect' | 'check';

export interface ConsumerLoadOptions {
  /** Each call goes to a random node of this list. */
  readonly nodes: readonly AuthNode[];
  readonly history: AcceptanceHistory;
  /** The secrets and tokens to call with. This list may change while calls are made. */
  readonly holdings: readonly Holding[];
  /** A management token with the scope `tokens:introspect`. */
  readonly introspectionToken: string;
  readonly random: Random;
  readonly actions?: readonly Action[];
}

const LOOPS = 8;
/** `refresh` is in the list twice, because only some of the tokens can be refreshed. */
const ALL_ACTIONS: readonly Action[] = ['login', 'refresh', 'refresh', 'introspect', 'check'];
const MOST_TOKENS = 4;

/**
 * Consumers and gateways that make calls without pause, in 8 parallel loops. As soon as a premise (something that calls
 * depend on, such as a credential) has ended, calls that depend on the premise are also made at every node. Every call
 * is recorded in the history.
 */
export class ConsumerLoad {
  private families = 0;

  constructor(private readonly options: ConsumerLoadOptions) {}

  /**
   * Makes calls until `work` has finished. Rejects if `work` rejects, or if a response has a status that a consumer
   * must never get.
   */
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

  /**
   * Makes calls that depend on a premise (something that calls need, such as a credential). At every node, each client
   * logs in if one of its credentials or endpoints depends on the premise, and uses a token if one of its tokens
   * depends on the premise.
   */
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
    // The largest random index is one past the end of the list. With this index, `endpoint` is undefined.
    const endpoint = holding.endpoints[random.between(0, holding.endpoints.length)];
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
      // Every login of an API_KEY client returns the same static token until that token is revoked. So the history
      // needs the same name for this token, whichever login returned it. The name is the token's text.
      const own = authenticationType === 'API_KEY' ? answer.body.access_token : family;
      this.keep(holding, answer.body, { endpoint, own, premises: [...premises, own] });
      return { verdict: 'accepted', premises: [own] };
    });
  }

  /**
   * Refreshes tokens with a random credential of the client. The service must accept every credential of the client,
   * not only the credential that was used for the login.
   */
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

  /**
   * Returns the newest credential most of the time. So most logins succeed, and consumers have valid tokens that a
   * worker can end.
   */
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

/**
 * Returns the verdict of a response that is not a success. Throws if the response has a status that a consumer must
 * never get.
 */
function refusalOf({ status, text }: Answer<unknown>): { readonly verdict: Verdict } {
  if (status === 503) return { verdict: 'unavailable' };
  if (status === 400 || status === 401 || status === 403) return { verdict: 'refused' };
  throw new Error(`Answered with ${status}: ${text}`);
}
