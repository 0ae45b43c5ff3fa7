import type { Configuration } from '#platform';

/** How gateways talk to the check; the secret is there by now. */
export type GatewaySettings = Required<Configuration['gateway']>;
