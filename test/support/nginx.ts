import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './http.js';

const EXAMPLE = join(__dirname, '../../examples/gateways/nginx/consumer-clients.conf');

/** Whether Debian's nginx, or another, is there. */
export const hasNginx = (): boolean => spawnSync('nginx', ['-v']).status === 0;

export interface NginxOptions {
  /** `host:port` of Consumer Clients, and of the provider. */
  readonly checkAt: string;
  readonly providerAt: string;
  readonly gatewaySecret: string;
}

/** A real nginx with the example's configuration: nothing in it but addresses and the secret's place is another. */
export class Nginx {
  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    readonly port: number,
  ) {}

  static async start({ checkAt, providerAt, gatewaySecret }: NginxOptions): Promise<Nginx> {
    const directory = mkdtempSync(join(tmpdir(), 'nginx-'));
    const port = await freePort();
    const secretFile = join(directory, 'secret.conf');
    writeFileSync(secretFile, `proxy_set_header X-Gateway-Secret "${gatewaySecret}";\n`, { mode: 0o600 });
    const example = Object.entries({
      'listen 127.0.0.1:8080': `listen 127.0.0.1:${port}`,
      'server 127.0.0.1:3000': `server ${checkAt}`,
      'server 127.0.0.1:9000': `server ${providerAt}`,
      '/etc/nginx/consumer-clients-secret.conf': secretFile,
    }).reduce(replacedOnce, readFileSync(EXAMPLE, 'utf8'));
    writeFileSync(join(directory, 'example.conf'), example);
    writeFileSync(join(directory, 'nginx.conf'), mainConfiguration(directory));
    const child = spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`nginx ended:\n${output}`);
        return accepts(port);
      },
      (isUp) => isUp,
    );
    return new Nginx(child, directory, port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
    rmSync(this.directory, { recursive: true });
  }
}

const replacedOnce = (text: string, [from, to]: readonly [string, string]): string => {
  if (text.split(from).length !== 2) throw new Error(`The example says ${from} not once`);
  return text.replace(from, to);
};

const mainConfiguration = (directory: string) => `
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
      .on('connect', () => {
        socket.destroy();
        resolve(true);
      })
      .on('error', () => {
        resolve(false);
      });
  });
