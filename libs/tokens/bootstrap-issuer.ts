import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { MasterKeys } from '#credentials';
import { isWorkspaceId, type WorkspaceId } from '#domain';
import { signCompact } from './jwt-signing.js';
import type { ManagementScope } from './management-scope.js';

export const BOOTSTRAP_ISSUER = 'urn:consumer-clients:bootstrap-issuer';
export const BOOTSTRAP_AUDIENCE = 'urn:consumer-clients:management';
/** The `typ` of this issuer's tokens, which distinguishes them from all other tokens signed with Ed25519. */
export const BOOTSTRAP_TYPE = 'management+jwt';

const MAX_MANAGEMENT_TOKEN_SECONDS = 30 * 86_400;

export interface ManagementTokenRequest {
  /** The caller's name in events and in the audit record, 1 to 255 characters long. */
  readonly subject: string;
  readonly scopes: readonly ManagementScope[];
  /** The only workspace that the token may access. May be absent only if `scopes` contains `workspaces:any`. */
  readonly workspaceId?: WorkspaceId;
  /** Lifetime of the token in seconds, from 1 to `MAX_MANAGEMENT_TOKEN_SECONDS`. */
  readonly ttlSeconds: number;
  /** The token's `jti`, by which an operator can end it. Only a recorded token has one. */
  readonly tokenId?: string;
}

/** The claims `iat` and `exp` of a token that is issued now, in seconds since 1970. */
export function managementTokenTimes({ ttlSeconds }: Pick<ManagementTokenRequest, 'ttlSeconds'>, now: Date) {
  const iat = Math.floor(now.getTime() / 1000);
  return { iat, exp: iat + ttlSeconds };
}

/**
 * The built-in issuer of management tokens, for development, tests and first steps. The issuer's Ed25519 key is derived
 * from the master key, so the key need not be stored. The keys for consumers' tokens are independent of this key.
 */
export class BootstrapIssuer {
  readonly #kid: string;
  readonly #privateKey: KeyObject;
  readonly #publicKeys: ReadonlyMap<string, KeyObject>;

  constructor(masterKeys: MasterKeys) {
    this.#kid = masterKeys.currentId;
    this.#privateKey = privateKeyOf(masterKeys, masterKeys.currentId);
    this.#publicKeys = new Map(masterKeys.ids.map((id) => [id, createPublicKey(privateKeyOf(masterKeys, id))]));
  }

  /** Issues a signed JWT. Throws a `RangeError` that names the invalid value. */
  issueManagementToken(request: ManagementTokenRequest, now: Date): string {
    const { subject, scopes, workspaceId, ttlSeconds, tokenId } = request;
    if (subject.length === 0 || subject.length > 255) throw new RangeError('subject must have 1 to 255 characters');
    if (workspaceId !== undefined && !isWorkspaceId(workspaceId)) {
      throw new RangeError('workspace must match [A-Za-z0-9_-]{1,64}');
    }
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_MANAGEMENT_TOKEN_SECONDS) {
      throw new RangeError(`The lifetime must be 1 to ${MAX_MANAGEMENT_TOKEN_SECONDS} seconds`);
    }
    const claims = {
      iss: BOOTSTRAP_ISSUER,
      aud: BOOTSTRAP_AUDIENCE,
      sub: subject,
      scope: scopes.join(' '),
      ...(workspaceId !== undefined && { workspace_id: workspaceId }),
      ...managementTokenTimes(request, now),
      ...(tokenId !== undefined && { jti: tokenId }),
    };
    const signer = { kid: this.#kid, alg: 'EdDSA', privateKey: this.#privateKey } as const;
    return signCompact({ alg: signer.alg, kid: signer.kid, typ: BOOTSTRAP_TYPE }, claims, signer);
  }

  /**
   * Returns the public key with this `kid`. There is a public key for each previous master key, too, so that tokens
   * from before a change of the master key stay valid until they expire.
   */
  verificationKey(kid: string | undefined): KeyObject | undefined {
    return kid === undefined ? undefined : this.#publicKeys.get(kid);
  }
}

/** The beginning of every PKCS #8 encoding of an Ed25519 private key, up to the key's 32-byte seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

const privateKeyOf = (masterKeys: MasterKeys, masterKeyId: string): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, masterKeys.derive('bootstrap-issuer', masterKeyId)]),
    format: 'der',
    type: 'pkcs8',
  });
