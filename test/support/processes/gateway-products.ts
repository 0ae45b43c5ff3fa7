import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { eventually } from '../api/http.js';
import { manifestsOf } from '../kubernetes/manifests.js';
import { freePort } from './free-ports.js';
import { istioAsEnvoy } from './istio.js';
import { isListening } from './listening.js';
import { apisixAsNginx, kongAsNginx, LUA_MODULE } from './lua-gateways.js';

const EXAMPLES = join(__dirname, '../../../examples/gateways');

export interface GatewayOptions {
  /** The `host:port` of Consumer Clients (`checkAt`) and of the provider (`providerAt`). */
  readonly checkAt: string;
  readonly providerAt: string;
  readonly gatewaySecret: string;
}

interface Place extends GatewayOptions {
  readonly directory: string;
  readonly port: number;
}

interface Launch {
  /**
   * The gateway's configuration files, by name. The texts are those of the example files, in which only addresses,
   * paths of files and the secret are replaced.
   */
  readonly files: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A gateway product whose example configuration is in `examples/gateways`. */
export interface GatewayProduct {
  readonly name: string;
  /** The name of the gateway's program, which must be on the `PATH`. */
  readonly command: string;
  /** The argument with which the program prints its version. */
  readonly versionArgument: string;
  /** A file that must be there, too. */
  readonly module?: string;
  /** Whether CI installs the gateway. If so, the gateway's test is never skipped in CI. */
  readonly isInCi: boolean;
  /**
   * If true, the gateway normalizes paths such as `/a/../b` and then asks the service about the normalized path. If
   * false, the gateway refuses such paths.
   */
  readonly normalizes: boolean;
  /** Whether the gateway accepts a path that contains an encoded `%`, `?` or `#`. */
  readonly takesEncoded: boolean;
  launch(place: Place): Launch;
}

export const NGINX: GatewayProduct = {
  name: 'nginx',
  command: 'nginx',
  versionArgument: '-v',
  isInCi: true,
  normalizes: false,
  takesEncoded: true,
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => ({
    files: {
      'secret.conf': `proxy_set_header X-Gateway-Secret "${gatewaySecret}";\n`,
      'example.conf': example('nginx/consumer-clients.conf', {
        'listen 127.0.0.1:8080': `listen 127.0.0.1:${port}`,
        'server 127.0.0.1:3000': `server ${checkAt}`,
        'server 127.0.0.1:9000': `server ${providerAt}`,
        '/etc/nginx/consumer-clients-secret.conf': join(directory, 'secret.conf'),
        '/var/log/nginx/consumer-clients.log': join(directory, 'calls.log'),
        '# https://app.example': 'https://app.example',
      }),
      'nginx.conf': nginxMain(directory),
    },
    args: ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'],
  }),
};

/** The nginx that asks the check for a Kubernetes gateway, which takes its answers for those of the check. */
export const KUBERNETES_CHECK: GatewayProduct = {
  ...NGINX,
  name: 'nginx in front of the check',
  launch: ({ directory, port, checkAt, gatewaySecret }) => ({
    files: {
      'header.conf': `proxy_set_header X-Gateway-Secret "${gatewaySecret}";\n`,
      'example.conf': replaced(
        manifestsOf(example('kubernetes/consumer-clients.yaml', {})).find(({ kind }) => kind === 'ConfigMap')?.data?.[
          'default.conf'
        ] ?? '',
        {
          'listen 8081': `listen 127.0.0.1:${port}`,
          'server consumer-clients-auth.consumer-clients.svc.cluster.local:3001': `server ${checkAt}`,
          '/etc/nginx/gateway-secret/header.conf': join(directory, 'header.conf'),
        },
      ),
      'nginx.conf': nginxMain(directory),
    },
    args: ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'],
  }),
};

export const CADDY: GatewayProduct = {
  name: 'Caddy',
  command: 'caddy',
  versionArgument: 'version',
  isInCi: true,
  normalizes: false,
  takesEncoded: true,
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => ({
    files: {
      Caddyfile: example('caddy/Caddyfile', {
        'http://:8080': `http://:${port}`,
        'forward_auth 127.0.0.1:3000': `forward_auth ${checkAt}`,
        'reverse_proxy 127.0.0.1:9000': `reverse_proxy ${providerAt}`,
      }),
    },
    args: ['run', '--adapter', 'caddyfile', '--config', join(directory, 'Caddyfile')],
    environment: { GATEWAY_SECRET: gatewaySecret, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory },
  }),
};

export const ENVOY: GatewayProduct = {
  name: 'Envoy',
  command: 'envoy',
  versionArgument: '--version',
  isInCi: false,
  normalizes: true,
  takesEncoded: true,
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => ({
    files: {
      'envoy.yaml': example('envoy/envoy.yaml', {
        'port_value: 8080': `port_value: ${port}`,
        'uri: http://127.0.0.1:3000': `uri: http://${checkAt}`,
        'port_value: 3000': `port_value: ${portOf(checkAt)}`,
        'port_value: 9000': `port_value: ${portOf(providerAt)}`,
        'value: GATEWAY_SECRET': `value: ${gatewaySecret}`,
      }),
    },
    args: ['-c', join(directory, 'envoy.yaml'), '--disable-hot-restart', '--concurrency', '1', '-l', 'warning'],
  }),
};

/** The filters and the check of Istio's ingress gateway, on an Envoy. */
export const ISTIO: GatewayProduct = {
  ...ENVOY,
  name: 'Envoy, set up as Istio would',
  launch: ({ directory, gatewaySecret, ...addresses }) => ({
    files: {
      'envoy.json': JSON.stringify(
        istioAsEnvoy(
          example('istio/mesh.yaml', { 'x-gateway-secret: GATEWAY_SECRET': `x-gateway-secret: ${gatewaySecret}` }),
          example('istio/consumer-clients.yaml', {}),
          addresses,
        ),
      ),
    },
    args: ['-c', join(directory, 'envoy.json'), '--disable-hot-restart', '--concurrency', '1', '-l', 'warning'],
  }),
};

/** The function of Kong's example, on an nginx with Lua. */
export const KONG: GatewayProduct = {
  ...NGINX,
  name: 'nginx with Lua, set up as Kong would',
  module: LUA_MODULE,
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => {
    const text = example('kong/kong.yml', {
      "'http://127.0.0.1:3000/": `'http://${checkAt}/`,
      'url: http://127.0.0.1:9000': `url: http://${providerAt}`,
    });
    return launchLua(kongAsNginx(text, directory), { directory, port, gatewaySecret });
  },
};

/** The function of APISIX's example and stand-ins for its plugins, on an nginx with Lua. */
export const APISIX: GatewayProduct = {
  ...KONG,
  name: 'nginx with Lua, set up as APISIX would',
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => {
    const text = example('apisix/apisix.yaml', {
      'uri: http://127.0.0.1:3000/': `uri: http://${checkAt}/`,
      "'127.0.0.1:9000'": `'${providerAt}'`,
      '${{GATEWAY_SECRET}}': gatewaySecret,
    });
    return launchLua(apisixAsNginx(text, directory), { directory, port, gatewaySecret });
  },
};

export const TRAEFIK: GatewayProduct = {
  name: 'Traefik',
  command: 'traefik',
  versionArgument: 'version',
  isInCi: false,
  normalizes: true,
  takesEncoded: false,
  launch: ({ directory, port, checkAt, providerAt, gatewaySecret }) => ({
    files: {
      'traefik.yml': example('traefik/traefik.yml', {
        'address: 127.0.0.1:8080': `address: 127.0.0.1:${port}`,
        '/etc/traefik/consumer-clients.yml': join(directory, 'consumer-clients.yml'),
      }),
      'consumer-clients.yml': example('traefik/consumer-clients.yml', {
        'address: http://127.0.0.1:3000': `address: http://${checkAt}`,
        'url: http://127.0.0.1:9000': `url: http://${providerAt}`,
      }),
    },
    args: [`--configfile=${join(directory, 'traefik.yml')}`],
    environment: { GATEWAY_SECRET: gatewaySecret },
  }),
};

export const isInstalled = ({ command, versionArgument, module }: GatewayProduct): boolean =>
  spawnSync(command, [versionArgument]).status === 0 && (module === undefined || existsSync(module));

/**
 * A running gateway. The gateway asks the service at `checkAt` about each call, and forwards accepted calls to
 * `providerAt`.
 */
export class RealGateway {
  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    readonly port: number,
  ) {}

  static async start(product: GatewayProduct, options: GatewayOptions): Promise<RealGateway> {
    const directory = mkdtempSync(join(tmpdir(), 'gateway-'));
    const port = await freePort();
    const { files, args, environment } = product.launch({ ...options, directory, port });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text, { mode: 0o600 });
    const child = spawn(product.command, args, {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    }
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`${product.name} ended:\n${output}`);
        return isListening(port);
      },
      (isUp) => isUp,
    );
    return new RealGateway(child, directory, port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The lines of a log file that the gateway writes into its directory, each parsed as JSON. */
  logLines(file: string): unknown[] {
    const lines = readFileSync(join(this.directory, file), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as unknown);
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
    rmSync(this.directory, { recursive: true });
  }
}

/**
 * Returns the text of an example file, in which each key of `replacements` is replaced by its value. Throws unless the
 * file contains each key exactly once.
 */
const example = (file: string, replacements: Readonly<Record<string, string>>): string =>
  replaced(readFileSync(join(EXAMPLES, file), 'utf8'), replacements);

const replaced = (text: string, replacements: Readonly<Record<string, string>>): string =>
  Object.entries(replacements).reduce((before, [from, to]) => {
    if (before.split(from).length !== 2) throw new Error(`The example says ${from} not once`);
    return before.replace(from, to);
  }, text);

const launchLua = (
  { access, nginx }: { access: string; nginx: string },
  { directory, port, gatewaySecret }: Pick<Place, 'directory' | 'port' | 'gatewaySecret'>,
): Launch => ({
  files: {
    'access.lua': access,
    'example.conf': nginx.replace('PORT', String(port)),
    'nginx.conf': [
      `load_module ${join(dirname(LUA_MODULE), 'ndk_http_module.so')};`,
      `load_module ${LUA_MODULE};`,
      'env GATEWAY_SECRET;',
      nginxMain(directory),
    ].join('\n'),
  },
  args: ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'],
  environment: { GATEWAY_SECRET: gatewaySecret },
});

const portOf = (address: string): string => address.split(':')[1] ?? '';

const nginxMain = (directory: string) => `
  daemon off;
  master_process off;
  pid ${directory}/nginx.pid;
  events {}
  http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join('\n    ')}
    include ${directory}/example.conf;
  }
`;
