import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerCertificate } from '../doubles/tls-front.js';

/** A time as OpenSSL takes it: YYMMDDHHMMSSZ. */
const asnTime = (milliseconds: number): string =>
  new Date(milliseconds)
    .toISOString()
    .replaceAll(/[-:T]|\.\d+/g, '')
    .slice(2);

const DAY_MS = 86_400_000;

/** A certificate authority that makes certificates for servers on this machine, by the program `openssl`. */
export class CertificateAuthority {
  private readonly folder = mkdtempSync(join(tmpdir(), 'authority-'));
  /** The path of the authority's own certificate. */
  readonly file = join(this.folder, 'ca.crt');
  private made = 0;

  constructor(name = 'Test authority') {
    writeFileSync(join(this.folder, 'index.txt'), '');
    writeFileSync(
      join(this.folder, 'openssl.cnf'),
      `
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[ca]
default_ca = own
[own]
database = ${this.folder}/index.txt
new_certs_dir = ${this.folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
`,
    );
    this.openssl(
      'req',
      ...this.newKey('ca'),
      '-x509',
      '-extensions',
      'authority',
      '-out',
      this.file,
      '-subj',
      `/CN=${name}`,
    );
  }

  /** Makes a certificate for these names (default: localhost and 127.0.0.1), good for a day, or expired since a day. */
  issue({ names = ['DNS:localhost', 'IP:127.0.0.1'], isExpired = false } = {}): ServerCertificate {
    const name = `server${(this.made += 1)}`;
    const file = (kind: 'csr' | 'crt' | 'ext' | 'key') => join(this.folder, `${name}.${kind}`);
    writeFileSync(file('ext'), `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.openssl('req', ...this.newKey(name), '-new', '-out', file('csr'), '-subj', '/CN=eventstoredb-node');
    const end = Date.now() + (isExpired ? -DAY_MS : DAY_MS);
    this.openssl(
      ...(['ca', '-batch', '-notext', '-in', file('csr'), '-out', file('crt'), '-extfile', file('ext')] as const),
      ...['-cert', this.file, '-keyfile', join(this.folder, 'ca.key')],
      ...['-startdate', asnTime(end - 2 * DAY_MS), '-enddate', asnTime(end)],
    );
    return { cert: readFileSync(file('crt'), 'utf8'), key: readFileSync(file('key'), 'utf8') };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  private newKey(name: string): string[] {
    return [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      join(this.folder, `${name}.key`),
    ];
  }

  private openssl(command: string, ...args: string[]): void {
    execFileSync('openssl', [command, '-config', join(this.folder, 'openssl.cnf'), ...args], { stdio: 'pipe' });
  }
}
