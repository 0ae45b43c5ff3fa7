import { parse } from 'yaml';
import { manifestsOf } from '../kubernetes/manifests.js';

type Json = Record<string, unknown>;
/** Parts of Istio's resources, as far as the example uses them. */
interface EnvoyFilter {
  configPatches: { applyTo: string; patch: { operation: string; value: Json } }[];
}
interface VirtualService {
  http: [
    { match: [{ uri: { prefix: string } }]; rewrite: { uri: string }; headers: { request: { remove: string[] } } },
  ];
}
interface CheckProvider {
  pathPrefix: string;
  timeout: string;
  failOpen: boolean;
  statusOnError: string;
  includeRequestHeadersInCheck: string[];
  includeAdditionalHeadersInCheck: Record<string, string>;
  headersToUpstreamOnAllow: string[];
  headersToDownstreamOnDeny: string[];
}

const HTTP = 'type.googleapis.com/envoy.extensions.filters.http';

/** Istio's lists of headers: `abc*` is a prefix. */
const matchers = (names: readonly string[]) => ({
  patterns: names.map((name) =>
    name.endsWith('*') ? { prefix: name.slice(0, -1), ignore_case: true } : { exact: name, ignore_case: true },
  ),
});

const cluster = (name: string, address: string) => ({
  name,
  type: 'STATIC',
  load_assignment: {
    cluster_name: name,
    endpoints: [
      {
        lb_endpoints: [
          {
            endpoint: {
              address: { socket_address: { address: '127.0.0.1', port_value: Number(address.split(':')[1]) } },
            },
          },
        ],
      },
    ],
  },
});

/**
 * The configuration of an Envoy that does what Istio's ingress gateway does with the example's resources: the filters of
 * the EnvoyFilter first, then `ext_authz` as istiod makes it of the provider
 * (`pilot/pkg/security/authz/builder/extauthz.go`), then the route of the VirtualService. Its two AuthorizationPolicies
 * become the route's prefix: without a route, there is no answer but 404.
 */
export function istioAsEnvoy(
  mesh: string,
  resources: string,
  { port, checkAt, providerAt }: { port: number; checkAt: string; providerAt: string },
): Json {
  const manifests = manifestsOf(resources);
  const specOf = (kind: string) => manifests.find((manifest) => manifest.kind === kind)?.spec as unknown;
  const { spec } = parse(mesh) as {
    spec: { meshConfig: { extensionProviders: [{ envoyExtAuthzHttp: CheckProvider }] } };
  };
  const [{ envoyExtAuthzHttp: check }] = spec.meshConfig.extensionProviders;
  const { configPatches } = specOf('EnvoyFilter') as EnvoyFilter;
  const [{ match, rewrite, headers }] = (specOf('VirtualService') as VirtualService).http;
  const checkFilter = {
    name: 'envoy.filters.http.ext_authz',
    typed_config: {
      '@type': `${HTTP}.ext_authz.v3.ExtAuthz`,
      transport_api_version: 'V3',
      failure_mode_allow: check.failOpen,
      status_on_error: { code: Number(check.statusOnError) },
      allowed_headers: matchers(check.includeRequestHeadersInCheck),
      http_service: {
        path_prefix: check.pathPrefix,
        server_uri: { uri: `http://${checkAt}`, cluster: 'check', timeout: check.timeout },
        authorization_request: {
          headers_to_add: Object.entries(check.includeAdditionalHeadersInCheck).map(([key, value]) => ({ key, value })),
        },
        authorization_response: {
          allowed_upstream_headers: matchers(check.headersToUpstreamOnAllow),
          allowed_client_headers: matchers(check.headersToDownstreamOnDeny),
        },
      },
    },
  };
  const connectionManager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'ingress',
    // What Istio makes of `pathNormalization: MERGE_SLASHES`.
    normalize_path: true,
    merge_slashes: true,
    http_filters: [
      ...configPatches.map(({ patch }) => patch.value).reverse(),
      checkFilter,
      { name: 'envoy.filters.http.router', typed_config: { '@type': `${HTTP}.router.v3.Router` } },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'apis',
          domains: ['*'],
          routes: [
            {
              match: { prefix: match[0].uri.prefix },
              route: { cluster: 'provider', prefix_rewrite: rewrite.uri },
              request_headers_to_remove: headers.request.remove,
            },
          ],
        },
      ],
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: 'ingress',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager }] },
          ],
        },
      ],
      clusters: [cluster('check', checkAt), cluster('provider', providerAt)],
    },
  };
}
