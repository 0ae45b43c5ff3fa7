import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { Environment } from '../processes/program.js';

const ISSUER = 'https://id.market.example';
const AUDIENCE = 'consumer-clients';
const KID = 'market';

/** A marketplace's own issuer of management tokens. The issuer serves its public keys over HTTP. */
export class Issuer {
  private constructor(
    private readonly server: Server,
    private readonly privateKey: CryptoKey,
  ) {}

  static async start(): Promise<Issuer> {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: KID, alg: 'EdDSA', use: 'sig' }] });
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' }).end(keys);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new Issuer(server, privateKey);
  }

  /** The environment for a process that accepts this issuer's tokens. */
  get env(): Environment {
    const { port } = this.server.address() as AddressInfo;
    return {
      MANAGEMENT_ISSUER: ISSUER,
      MANAGEMENT_JWKS_URL: `http://127.0.0.1:${port}/jwks`,
      MANAGEMENT_AUDIENCE: AUDIENCE,
    };
  }

  /** Issues a token for a portal backend. The token is valid for an hour. */
  token(workspaceId: string, scope = 'clients:write clients:read subscriptions:write audit:read'): Promise<string> {
    return new SignJWT({ scope, workspace_id: workspaceId })
      .setProtectedHeader({ alg: 'EdDSA', kid: KID })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject('portal-backend')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(this.privateKey);
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }
}
