import type { AuthenticationType, ClientId, Instant, WorkspaceId } from '#domain';
import { CompactEncrypt, compactDecrypt } from 'jose';
import type { MasterKeys } from './master-keys.js';

/** How long a draft may be used after it was minted. */
export const DRAFT_LIFETIME_SECONDS = 3600;

/** A credential that was minted and shown, and is not yet attached to its client. */
export interface CredentialDraft {
  readonly draftId: string;
  readonly workspaceId: WorkspaceId;
  /** `sub` of whoever asked for it; nobody else may use it. */
  readonly actor: string;
  readonly purpose: 'CREATE' | 'ROTATE';
  readonly authenticationType: AuthenticationType;
  readonly clientId: ClientId;
  /** The generation that it will become: 1 for `CREATE`. */
  readonly generation: number;
  readonly verifier: string;
  readonly expiresAt: Instant;
}

/** What the command that takes the draft asks for. */
export type DraftExpectation = Pick<CredentialDraft, 'workspaceId' | 'actor'> &
  (
    | { readonly purpose: 'CREATE'; readonly authenticationType: AuthenticationType }
    | { readonly purpose: 'ROTATE'; readonly clientId: ClientId }
  );

/** Not a draft of ours, or not one for this command. */
export class DraftInvalid extends Error {
  override readonly name = 'DraftInvalid';
}

export class DraftExpired extends Error {
  override readonly name = 'DraftExpired';
}

/** Tells a draft from any other JWE, and this shape from a later one. */
const TYPE = 'credential-draft+jwe';
const ALGORITHM = { alg: 'dir', enc: 'A256GCM' } as const;

/** The draft as a compact JWE (RFC 7516) under a key of its own; `kid` is the master key's id. */
export function sealDraft(draft: CredentialDraft, keys: MasterKeys): Promise<string> {
  return new CompactEncrypt(Buffer.from(JSON.stringify(draft)))
    .setProtectedHeader({ ...ALGORITHM, typ: TYPE, kid: keys.currentId })
    .encrypt(keys.derive('draft'));
}

/**
 * The draft in a JWE of `sealDraft`, of any known master key. Expiry and fitting are `requireFitting`'s: a repeated
 * command is answered from its events before either is asked. Throws `DraftInvalid`, whatever is wrong.
 */
export async function openDraft(jwe: string, keys: MasterKeys): Promise<CredentialDraft> {
  const { plaintext, protectedHeader } = await decrypted(jwe, keys);
  if (protectedHeader.typ !== TYPE) throw new DraftInvalid('This is not a credential draft');
  // Only sealDraft holds this key, so what it opens has the shape that TYPE says.
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

/** Throws `DraftInvalid` if the draft was made for something else, `DraftExpired` from its `expiresAt` on. */
export function requireFitting(draft: CredentialDraft, expected: DraftExpectation, now: Instant): void {
  const fits =
    draft.workspaceId === expected.workspaceId &&
    draft.actor === expected.actor &&
    draft.purpose === expected.purpose &&
    (expected.purpose === 'CREATE'
      ? draft.authenticationType === expected.authenticationType
      : draft.clientId === expected.clientId);
  if (!fits) throw new DraftInvalid('This draft was made for another command');
  if (now >= draft.expiresAt) throw new DraftExpired('This draft has expired');
}
