import { type KeyObject, createPrivateKey, createPublicKey } from 'node:crypto';
import type { MasterKeys } from '#credentials';
import { type WorkspaceId, isWorkspaceId } from '#domain';
import { signCompact } from './jwt-signing.js';
import type { ManagementScope } from './management-scope.js';

export const BOOTSTRAP_ISSUER = 'urn:consumer-clients:bootstrap-issuer';
export const BOOTSTRAP_AUDIENCE = 'urn:consumer-clients:management';
/** Tells its tokens from all others that might be signed with Ed25519. */
export const BOOTSTRAP_TYPE = 'management+jwt';

export const MAX_MANAGEMENT_TOKEN_SECONDS = 30 * 86_400;

export interface ManagementTokenRequest {
  /** Who acts, as events and the audit record name it: 1 to 255 characters. */
  readonly subject: string;
  readonly scopes: readonly ManagementScope[];
  /** The workspace that the token is bound to; absent only makes sense with `workspaces:any`. */
  readonly workspaceId?: WorkspaceId;
  /** From 1 to `MAX_MANAGEMENT_TOKEN_SECONDS`. */
  readonly ttlSeconds: number;
}

/**
 * The built-in issuer of management tokens, for development, tests and the first steps. Its Ed25519
 * key is derived from the master key, so it needs no storage and is never one of the consumers' ring.
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

  /** A signed JWT. Throws `RangeError` naming what is out of range. */
  issueManagementToken({ subject, scopes, workspaceId, ttlSeconds }: ManagementTokenRequest, now: Date): string {
    if (subject.length === 0 || subject.length > 255) throw new RangeError('subject must have 1 to 255 characters');
    if (workspaceId !== undefined && !isWorkspaceId(workspaceId)) {
      throw new RangeError('workspace must match [A-Za-z0-9_-]{1,64}');
    }
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_MANAGEMENT_TOKEN_SECONDS) {
      throw new RangeError(`The lifetime must be 1 to ${MAX_MANAGEMENT_TOKEN_SECONDS} seconds`);
    }
    const iat = Math.floor(now.getTime() / 1000);
    const claims = {
      iss: BOOTSTRAP_ISSUER,
      aud: BOOTSTRAP_AUDIENCE,
      sub: subject,
      scope: scopes.join(' '),
      ...(workspaceId !== undefined && { workspace_id: workspaceId }),
      iat,
      exp: iat + ttlSeconds,
    };
    const signer = { kid: this.#kid, alg: 'EdDSA', privateKey: this.#privateKey } as const;
    return signCompact({ alg: signer.alg, kid: signer.kid, typ: BOOTSTRAP_TYPE }, claims, signer);
  }

  /** The key that `kid` names; tokens made under a previous master key verify until they expire. */
  verificationKey(kid: string | undefined): KeyObject | undefined {
    return kid === undefined ? undefined : this.#publicKeys.get(kid);
  }
}

/** PKCS #8 of an Ed25519 private key up to its 32-byte seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

const privateKeyOf = (masterKeys: MasterKeys, masterKeyId: string): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, masterKeys.derive('bootstrap-issuer', masterKeyId)]),
    format: 'der',
    type: 'pkcs8',
  });
