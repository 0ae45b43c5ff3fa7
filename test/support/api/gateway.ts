import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Standalone } from '../processes/standalone.js';
import { type Answer, send } from './http.js';

export interface Call {
  readonly endpoint?: string;
  readonly token?: string;
  readonly method?: string;
  /**
   * These headers replace the gateway's own headers of the same name, or are added to them. A header with an empty
   * value is sent; a header that is `undefined` is not sent.
   */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;
  readonly path?: string;
  readonly body?: unknown;
}

/** Returns the secret that gateways send in the header `X-Gateway-Secret`. */
export const gatewaySecretOf = ({ dataDir }: Pick<Standalone, 'dataDir'>): string =>
  readFileSync(join(dataDir, 'gateway.secret'), 'utf8').trim();

/** Asks `/gateway/check` whether a call is allowed, as a gateway with forward-auth does. */
export class GatewayDouble {
  private readonly url: string;
  private readonly secret: string;

  constructor(standalone: Pick<Standalone, 'dataDir' | 'url'>) {
    this.url = standalone.url;
    this.secret = gatewaySecretOf(standalone);
  }

  check({ endpoint = 'weather', token, method = 'GET', headers, path, body }: Call): Promise<Answer<unknown>> {
    const given = {
      'x-gateway-secret': this.secret,
      'x-endpoint-uri': endpoint,
      authorization: token === undefined ? undefined : `Bearer ${token}`,
      ...headers,
    };
    const sent = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    return send(method, this.url, path ?? '/gateway/check', { headers: sent as Record<string, string>, body });
  }

  /** Asks about a call. Returns the response's status and its header `X-Auth-Code`, for example `200 GOOD`. */
  async ask(call: Call): Promise<string> {
    const answer = await this.check(call);
    return `${answer.status} ${answer.header('x-auth-code')}`;
  }
}
