import { type EndpointUri, isEndpointUri } from '#domain';
import { endpointOfPath } from './endpoint-path.js';
import { ENDPOINT_HEADER, type GatewayHeaders } from './gateway-headers.js';
import type { GatewaySettings } from './gateway-settings.js';

/** Where gateways ask. `GATEWAY_URI_FROM=path`: followed by the consumer's own request target. */
export const CHECK_PATH = '/gateway/check';

/** The endpoint that is called, from the one place that was configured; `target` is the check's own, as it was sent. */
export function calledEndpoint(
  uriFrom: GatewaySettings['uriFrom'],
  headers: GatewayHeaders,
  target: string,
): EndpointUri | undefined {
  switch (uriFrom) {
    case 'header': {
      const uri = headers.get(ENDPOINT_HEADER) ?? '';
      return isEndpointUri(uri) ? uri : undefined;
    }
    case 'path':
      return endpointOfPath(target.slice(CHECK_PATH.length));
    default:
      return endpointOfPath(headers.get(uriFrom) ?? '');
  }
}
