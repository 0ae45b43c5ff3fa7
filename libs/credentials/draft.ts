import { compactDecrypt, CompactEncrypt } from 'jose';
import { type AuthenticationType, type ClientId, Failure, type Instant, type WorkspaceId } from '#domain';
import type { MasterKeys } from './master-keys.js';

/** How long a draft may be used after its minting, in seconds. */
export const DRAFT_LIFETIME_SECONDS = 3600;

/** A credential that was minted and shown to its caller, but is not attached to a client yet. */
export interface CredentialDraft {
  readonly draftId: string;
  readonly workspaceId: WorkspaceId;
  /** The claim `sub` of the caller that minted the draft. No other caller may use the draft. */
  readonly actor: string;
  readonly purpose: 'CREATE' | 'ROTATE';
  readonly authenticationType: AuthenticationType;
  readonly clientId: ClientId;
  /**
   * The generation number that the credential gets when it is attached to the client. If `purpose` is `CREATE`, the
   * number is 1.
   */
  readonly generation: number;
  readonly verifier: string;
  /** See `hintOf`. Absent in a draft that an older version of this software minted. */
  readonly hint?: string;
  readonly expiresAt: Instant;
}

/** The values that a draft must have so that a command may use the draft. */
export type DraftExpectation = Pick<CredentialDraft, 'workspaceId' | 'actor'> &
  (
    | { readonly purpose: 'CREATE'; readonly authenticationType: AuthenticationType }
    | { readonly purpose: 'ROTATE'; readonly clientId: ClientId }
  );

/** The text is not one of our drafts, or the draft was made for another command. */
export class DraftInvalid extends Failure {
  override readonly name = 'DraftInvalid';
  readonly kind = 'invalid';
  readonly code = 'draft_invalid';
  override readonly field = 'draft';

  constructor(readonly detail: string) {
    super(detail);
  }
}

export class DraftExpired extends Failure {
  override readonly name = 'DraftExpired';
  readonly kind = 'invalid';
  readonly code = 'draft_expired';
  override readonly field = 'draft';

  constructor(readonly detail = 'This draft has expired') {
    super(detail);
  }
}

/** Distinguishes drafts from other JWEs, and drafts of this format from drafts of a later format. */
const TYPE = 'credential-draft+jwe';
const ALGORITHM = { alg: 'dir', enc: 'A256GCM' } as const;

/**
 * Encrypts the draft as a compact JWE (RFC 7516). The encryption key is used for drafts only. The header `kid` is the
 * id of the master key.
 */
export function sealDraft(draft: CredentialDraft, keys: MasterKeys): Promise<string> {
  return new CompactEncrypt(Buffer.from(JSON.stringify(draft)))
    .setProtectedHeader({ ...ALGORITHM, typ: TYPE, kid: keys.currentId })
    .encrypt(keys.derive('draft'));
}

/**
 * Decrypts a JWE that `sealDraft` made under any known master key. Does not check whether the draft has expired or was
 * used: a repeated command gets its first result even after the draft has expired. See `requireFitting`. Throws
 * `DraftInvalid`.
 */
export async function openDraft(jwe: string, keys: MasterKeys): Promise<CredentialDraft> {
  const { plaintext, protectedHeader } = await decrypted(jwe, keys);
  if (protectedHeader.typ !== TYPE) throw new DraftInvalid('This is not a credential draft');
  // Only `sealDraft` uses this key, so the content must have the format that TYPE names.
  return JSON.parse(Buffer.from(plaintext).toString()) as CredentialDraft;
}

const decrypted = async (jwe: string, keys: MasterKeys) => {
  try {
    return await compactDecrypt(jwe, ({ kid }) => keys.derive('draft', kid ?? ''), {
      keyManagementAlgorithms: [ALGORITHM.alg],
      contentEncryptionAlgorithms: [ALGORITHM.enc],
    });
  } catch {
    throw new DraftInvalid('This is not a credential draft');
  }
};

/**
 * Throws `DraftInvalid` if the draft was made for another command. Throws `DraftExpired` if `now` is at or after the
 * draft's `expiresAt`.
 */
export function requireFitting(draft: CredentialDraft, expected: DraftExpectation, now: Instant): void {
  const fits =
    draft.workspaceId === expected.workspaceId &&
    draft.actor === expected.actor &&
    draft.purpose === expected.purpose &&
    (expected.purpose === 'CREATE'
      ? draft.authenticationType === expected.authenticationType
      : draft.clientId === expected.clientId);
  if (!fits) throw new DraftInvalid('This draft was made for another command');
  if (now >= draft.expiresAt) throw new DraftExpired();
}
