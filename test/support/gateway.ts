import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Answer, send } from './http.js';
import type { Standalone } from './standalone.js';

export interface Call {
  readonly endpoint?: string;
  readonly token?: string;
  readonly method?: string;
  /** Replace or add to those that a gateway sends; an empty one is sent as such, `undefined` not at all. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;
  readonly path?: string;
  readonly body?: unknown;
}

/** What gateways send as `X-Gateway-Secret`. */
export const gatewaySecretOf = ({ dataDir }: Pick<Standalone, 'dataDir'>): string =>
  readFileSync(join(dataDir, 'gateway.secret'), 'utf8').trim();

/** A gateway that asks about calls, as its forward-auth does. */
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

  /** `200 GOOD`: status and `X-Auth-Code`. */
  async ask(call: Call): Promise<string> {
    const answer = await this.check(call);
    return `${answer.status} ${answer.header('x-auth-code')}`;
  }
}
