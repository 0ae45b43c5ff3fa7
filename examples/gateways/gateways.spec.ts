import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { faultsOf, type Manifest, manifestsOf } from '../../test/support/kubernetes/manifests.js';

const text = (file: string): string => readFileSync(join(__dirname, file), 'utf8');

const TOKEN_HEADERS = ['authorization', 'x-apx-authorization'];
const GATEWAY_HEADERS = ['x-endpoint-uri', 'x-gateway-secret'];
const IDENTITY_HEADERS = ['x-consumer-client-id', 'x-consumer-workspace-id', 'x-consumer-subscription-id'];
/** The characters that RFC 9110 §5.6.2 allows in a header's name besides letters, digits and `-`. */
const OTHER_NAME_CHARACTERS = Array.from("!#$%&'*+.^_`|~");

/** Parts of paths that some servers understand as a different path. */
const AMBIGUOUS = [
  '/weather/..;/a',
  '/weather/..%3b/a',
  '/weather/..%253b/a',
  '/weather/.%3f/a',
  '/weather/..%3Fa/a',
  '/weather/..%2523/a',
  '/weather/..%23/a',
  '/weather/%252e%252e/a',
  '/weather/a%2500b',
  '/weather/%25252fa',
  '/weather/http:/mine.example/',
];

describe('Traefik', () => {
  interface Dynamic {
    http: {
      routers: Record<string, { rule: string; middlewares?: string[]; service: string; priority?: number }>;
      middlewares: Record<string, Record<string, Record<string, unknown>>>;
      services: Record<string, unknown>;
    };
  }
  interface Static {
    entryPoints: {
      web: {
        http: { sanitizePath: boolean; aliasHeadersStrategy: string; encodedCharacters: Record<string, boolean> };
      };
    };
  }
  const { http } = parse(text('traefik/consumer-clients.yml')) as Dynamic;
  const entryPoint = (parse(text('traefik/traefik.yml')) as Static).entryPoints.web.http;
  const chain = (http.routers.weather?.middlewares ?? []).map((name) => http.middlewares[name] ?? {});

  test('sets its headers, calls the check, removes the headers and the token, and only then strips the prefix', () => {
    expect(chain.map((middleware) => Object.keys(middleware)[0])).toEqual([
      'headers',
      'headers',
      'forwardAuth',
      'headers',
      'stripPrefix',
    ]);
    const [set, , , removed] = chain.map(({ headers }) => headers?.customRequestHeaders as Record<string, string>);
    expect(lowerCased(set)).toEqual({ 'x-endpoint-uri': 'weather', 'x-gateway-secret': '{{ env "GATEWAY_SECRET" }}' });
    expect(lowerCased(removed)).toEqual(
      Object.fromEntries([...TOKEN_HEADERS, ...GATEWAY_HEADERS].map((name) => [name, ''])),
    );
    expect(Object.keys(http.services)).toContain(http.routers.weather?.service);
  });

  test('replaces every identity header by the check’s, and removes other spellings', () => {
    const { forwardAuth } = chain[2] ?? {};
    const pattern = new RegExp(String(forwardAuth?.authResponseHeadersRegex).replace('(?i)', ''), 'i');
    for (const name of IDENTITY_HEADERS) expect(name).toMatch(pattern);
    expect((forwardAuth?.authRequestHeaders as string[]).map((name) => name.toLowerCase()).sort()).toEqual(
      [...TOKEN_HEADERS, ...GATEWAY_HEADERS].sort(),
    );
    expect(forwardAuth).toMatchObject({ trustForwardHeader: false });
    expect(entryPoint.aliasHeadersStrategy).toBe('delete');
  });

  test('cleans paths, and refuses encoded separators', () => {
    expect(entryPoint.sanitizePath).toBe(true);
    for (const character of ['Slash', 'BackSlash', 'NullCharacter', 'Semicolon', 'Percent', 'QuestionMark', 'Hash']) {
      expect(entryPoint.encodedCharacters[`allowEncoded${character}`]).toBe(false);
    }
    expect(http.routers.ambiguous).toMatchObject({ service: 'noop@internal', priority: 1000 });
  });
});

describe('Envoy', () => {
  interface Filter {
    name: string;
    typed_config: Record<string, unknown>;
  }
  interface Manager extends Record<string, unknown> {
    http_filters: Filter[];
    route_config: {
      request_headers_to_remove: string[];
      virtual_hosts: [{ routes: Record<string, unknown>[] }];
    };
  }
  const { static_resources: resources } = parse(text('envoy/envoy.yaml')) as {
    static_resources: {
      listeners: [{ filter_chains: [{ filters: [{ typed_config: Manager }] }] }];
      clusters: { name: string }[];
    };
  };
  const manager = resources.listeners[0].filter_chains[0].filters[0].typed_config;
  const [mutation, authorization, router] = manager.http_filters;
  const [ambiguous, weather] = manager.route_config.virtual_hosts[0].routes;

  test('drops the consumer’s headers, names the endpoint by route, calls the check, and then removes the token', () => {
    expect([mutation, authorization, router].map((filter) => filter?.name)).toEqual([
      'envoy.filters.http.header_mutation',
      'envoy.filters.http.ext_authz',
      'envoy.filters.http.router',
    ]);
    const { request_mutations: removals } = mutation?.typed_config.mutations as { request_mutations: object[] };
    expect(removals).toEqual([
      ...GATEWAY_HEADERS.map((remove) => ({ remove })),
      { remove_on_match: { key_matcher: { prefix: 'x-consumer-' } } },
      { remove_on_match: { key_matcher: { safe_regex: { regex: expect.any(String) as string } } } },
    ]);
    const { key_matcher: matcher } = (removals[3] as { remove_on_match: { key_matcher: { safe_regex: object } } })
      .remove_on_match;
    const removed = new RegExp(`^(?:${(matcher.safe_regex as { regex: string }).regex})$`);
    for (const other of OTHER_NAME_CHARACTERS) {
      for (const name of [`x${other}consumer`, `x-consumer-id${other}`, other, `${other}x`, `x${other}`]) {
        expect(name).toMatch(removed);
      }
    }
    for (const name of ['x', 'x-consumer-client-id', 'traceparent', ':path', ':authority']) {
      expect(name).not.toMatch(removed);
    }
    expect(weather).toMatchObject({
      match: { prefix: '/weather/' },
      typed_per_filter_config: {
        'envoy.filters.http.header_mutation': {
          mutations: {
            request_mutations: [
              {
                append: {
                  header: { key: 'x-endpoint-uri', value: 'weather' },
                  append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
                },
              },
            ],
          },
        },
      },
    });
    expect([...manager.route_config.request_headers_to_remove].sort()).toEqual(
      [...TOKEN_HEADERS, ...GATEWAY_HEADERS].sort(),
    );
  });

  test('fails closed, sends the secret, and takes the identity from the answer', () => {
    expect(authorization?.typed_config).toMatchObject({
      failure_mode_allow: false,
      status_on_error: { code: 'ServiceUnavailable' },
      http_service: {
        server_uri: { cluster: 'consumer_clients' },
        path_prefix: '/gateway/check',
        authorization_request: { headers_to_add: [{ key: 'x-gateway-secret' }] },
        authorization_response: { allowed_upstream_headers: { patterns: [{ prefix: 'x-consumer-' }] } },
      },
      allowed_headers: {
        patterns: ['x-endpoint-uri', 'x-apx-authorization', 'authorization'].map((exact) => ({ exact })),
      },
    });
    expect(resources.clusters.map(({ name }) => name)).toEqual(['consumer_clients', 'weather_provider']);
  });

  test('normalizes paths before it routes them, and refuses paths that stay ambiguous', () => {
    expect(manager).toMatchObject({
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: 'REJECT_REQUEST',
    });
    expect(ambiguous).toMatchObject({ direct_response: { status: 403 } });
    const { safe_regex: found } = ambiguous?.match as { safe_regex: { regex: string } };
    const pattern = new RegExp(`^${found.regex}$`);
    for (const path of AMBIGUOUS) expect(path).toMatch(pattern);
    for (const path of [
      '/weather/',
      '/weather/a.b/..c',
      '/weather/100%25',
      '/weather/a;b',
      '/weather/etc..%3f',
      '/c%23',
    ]) {
      expect(path).not.toMatch(pattern);
    }
  });
});

describe('Caddy', () => {
  /**
   * The content of a `{ … }` block of a Caddyfile, in order: its lines, and its inner blocks. An inner block is a pair:
   * the line that opens the inner block, and the inner block's content.
   */
  type Block = (string | [string, Block])[];

  function blocksOf(lines: Iterator<string>): Block {
    const block: Block = [];
    for (let next = lines.next(); next.done !== true; next = lines.next()) {
      const line = next.value.trim();
      if (line === '}') return block;
      if (line === '{' || line.endsWith(' {')) block.push([line.slice(0, -1).trim(), blocksOf(lines)]);
      else if (line !== '' && !line.startsWith('#')) block.push(line);
    }
    return block;
  }
  const block = (within: Block, name: string): Block =>
    within.find((entry): entry is [string, Block] => typeof entry !== 'string' && entry[0] === name)?.[1] ?? [];
  const caddyfile = blocksOf(text('caddy/Caddyfile').split('\n')[Symbol.iterator]());
  const route = block(block(caddyfile, 'http://:8080'), 'route /weather/*');
  const steps = route.map((step) => (typeof step === 'string' ? step : step[0]));

  test('its blocks are closed', () => {
    const lines = text('caddy/Caddyfile').split('\n');
    const opened = lines.filter((line) => line.endsWith('{'));
    expect(lines.filter((line) => line.trim() === '}')).toHaveLength(opened.length);
    expect(steps.length).toBeGreaterThan(0);
  });

  test('refuses ambiguous paths, sets its headers, calls the check, removes the headers and the token, then strips the prefix', () => {
    const places = [
      'respond @ambiguous_as_sent 403',
      'respond @ambiguous_as_decoded 403',
      'respond @naming_headers 403',
      'request_header -X-Consumer-*',
      ...OTHER_NAME_CHARACTERS.map((other) => `request_header -*${other}*`),
      'request_header X-Endpoint-Uri weather',
      'request_header X-Gateway-Secret {env.GATEWAY_SECRET}',
      'header -X-Auth-Code',
      'forward_auth 127.0.0.1:3000',
      'request_header -X-Apx-Authorization',
      'request_header -Authorization',
      'request_header -X-Endpoint-Uri',
      'request_header -X-Gateway-Secret',
      'uri strip_prefix /weather',
      'reverse_proxy 127.0.0.1:9000',
    ].map((step) => steps.indexOf(step));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test('takes the identity from the answer', () => {
    const [uri, copied, transport] = block(route, 'forward_auth 127.0.0.1:3000') as [string, string, [string, Block]];
    expect(transport).toEqual(['transport http', ['dial_timeout 1s', 'response_header_timeout 2s']]);
    expect(uri).toBe('uri /gateway/check');
    expect(copied.toLowerCase().split(' ')).toEqual(['copy_headers', ...IDENTITY_HEADERS]);
  });
});

describe('Istio', () => {
  const manifests = manifestsOf(text('istio/consumer-clients.yaml'));
  const named = (name: string): Manifest['spec'] => manifests.find(({ metadata }) => metadata.name === name)?.spec;

  test('its resources fit Istio’s schemas', () => {
    expect(manifests.map((manifest) => [manifest.kind, faultsOf(manifest)])).toEqual([
      ['EnvoyFilter', []],
      ['AuthorizationPolicy', []],
      ['AuthorizationPolicy', []],
      ['VirtualService', []],
    ]);
  });

  test('a path is refused, or the check is asked about it', () => {
    const rules = [{ to: [{ operation: { paths: ['/weather/*'] } }] }];
    expect(named('weather-check')).toMatchObject({
      action: 'CUSTOM',
      provider: { name: 'consumer-clients-weather' },
      rules,
    });
    expect(named('checked-paths-only')).toMatchObject({ action: 'ALLOW', rules });
    expect(named('weather')).toMatchObject({
      http: [
        { match: [{ uri: { prefix: '/weather/' } }], headers: { request: { remove: expect.any(Array) as string[] } } },
      ],
    });
  });

  test('its provider names the endpoint, fails closed, and sends no body', () => {
    const { spec } = parse(text('istio/mesh.yaml')) as { spec: unknown };
    expect(spec).toEqual({
      meshConfig: {
        pathNormalization: { normalization: 'MERGE_SLASHES' },
        extensionProviders: [
          {
            name: 'consumer-clients-weather',
            envoyExtAuthzHttp: {
              service: 'consumer-clients-auth.consumer-clients.svc.cluster.local',
              port: 3001,
              pathPrefix: '/gateway/check',
              timeout: '2s',
              failOpen: false,
              statusOnError: '503',
              includeRequestHeadersInCheck: TOKEN_HEADERS,
              includeAdditionalHeadersInCheck: { 'x-endpoint-uri': 'weather', 'x-gateway-secret': 'GATEWAY_SECRET' },
              headersToUpstreamOnAllow: ['x-consumer-*'],
              headersToDownstreamOnDeny: ['www-authenticate'],
            },
          },
        ],
      },
    });
  });
});

describe('Kubernetes Gateway API', () => {
  const manifests = manifestsOf(text('kubernetes/consumer-clients.yaml'));
  const [route] = manifests;

  test('its route fits the experimental schema', () => {
    expect(manifests.map(({ kind }) => kind)).toEqual([
      'HTTPRoute',
      'ConfigMap',
      'Deployment',
      'Service',
      'NetworkPolicy',
    ]);
    expect(route && faultsOf(route)).toEqual([]);
    const misspelt = structuredClone(route) as Manifest & {
      spec: { rules: [{ filters: [{ externalAuth: object }] }] };
    };
    Object.assign(misspelt.spec.rules[0].filters[0].externalAuth, { protocol: 'HTTPS', forwardbody: {} });
    expect(faultsOf(misspelt)).toHaveLength(2);
  });

  test('asks the check before it removes the token, sends no body, and takes the identity from the answer', () => {
    const { rules } = route?.spec as { rules: [{ filters: Record<string, Record<string, unknown>>[] }] };
    expect(rules).toHaveLength(1);
    const [check, removal, rewrite] = rules[0].filters;
    expect(check?.externalAuth).toEqual({
      protocol: 'HTTP',
      backendRef: { name: 'weather-check', port: 8081 },
      http: {
        allowedHeaders: ['X-Apx-Authorization'],
        allowedResponseHeaders: ['X-Consumer-Client-Id', 'X-Consumer-Workspace-Id', 'X-Consumer-Subscription-Id'],
      },
    });
    expect((removal?.requestHeaderModifier?.remove as string[]).map((name) => name.toLowerCase()).sort()).toEqual(
      [...TOKEN_HEADERS, ...GATEWAY_HEADERS].sort(),
    );
    expect(rewrite?.type).toBe('URLRewrite');
  });
});

describe('APISIX', () => {
  const { routes } = parse(text('apisix/apisix.yaml')) as {
    routes: { uri: string; plugins: Record<string, object> }[];
  };

  test('its only route asks the check, fails closed, and sends no body', () => {
    expect(text('apisix/apisix.yaml')).toMatch(/\n#END\n$/);
    expect(routes.map(({ uri }) => uri)).toEqual(['/weather/*']);
    const plugins = routes[0]?.plugins ?? {};
    expect(Object.keys(plugins)).toEqual(['serverless-pre-function', 'forward-auth', 'proxy-rewrite']);
    expect(plugins['serverless-pre-function']).toMatchObject({ phase: 'rewrite' });
    expect(plugins['forward-auth']).toEqual({
      uri: 'http://127.0.0.1:3000/gateway/check',
      request_method: 'GET',
      request_headers: ['Authorization', 'X-Apx-Authorization'],
      extra_headers: { 'X-Endpoint-Uri': 'weather', 'X-Gateway-Secret': '${{GATEWAY_SECRET}}' },
      upstream_headers: ['X-Consumer-Client-Id', 'X-Consumer-Workspace-Id', 'X-Consumer-Subscription-Id'],
      client_headers: ['WWW-Authenticate'],
      timeout: 2000,
      allow_degradation: false,
      status_on_error: 503,
    });
    expect(plugins['proxy-rewrite']).toEqual({
      regex_uri: ['^/weather/(.*)', '/$1'],
      headers: { remove: ['Authorization', 'X-Apx-Authorization', 'X-Endpoint-Uri', 'X-Gateway-Secret'] },
    });
  });
});

describe('Kong', () => {
  test('its only route runs the function that asks the check, and no other plugin', () => {
    const { _format_version: format, services } = parse(text('kong/kong.yml')) as {
      _format_version: string;
      services: { name: string; url: string; routes: object[]; plugins: { name: string; config: object }[] }[];
    };
    expect(format).toBe('3.0');
    expect(services).toEqual([
      {
        name: 'weather',
        url: 'http://127.0.0.1:9000',
        routes: [{ name: 'weather', paths: ['/weather/'], strip_path: true }],
        plugins: [{ name: 'pre-function', config: { access: [expect.stringContaining('resty.http')] } }],
      },
    ]);
  });
});

const lowerCased = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
