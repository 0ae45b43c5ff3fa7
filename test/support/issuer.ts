import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, SignJWT, exportJWK, generateKeyPair } from 'jose';
import type { Environment } from './service.js';

const ISSUER = 'https://id.market.example';
const AUDIENCE = 'consumer-clients';
const KID = 'market';

/** The marketplace's own issuer of management tokens, with its keys at a real URL. */
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

  /** What a process must be told to believe it. */
  get env(): Environment {
    const { port } = this.server.address() as AddressInfo;
    return {
      MANAGEMENT_ISSUER: ISSUER,
      MANAGEMENT_JWKS_URL: `http://127.0.0.1:${port}/jwks`,
      MANAGEMENT_AUDIENCE: AUDIENCE,
    };
  }

  /** A portal backend's token, good for an hour. */
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
