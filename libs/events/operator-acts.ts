import type { Instant, WorkspaceId } from '#domain';

/** An operator has replaced the bootstrap administrator's token. */
export interface AdministratorTokenRotated {
  type: 'AdministratorTokenRotated';
  data: { rotatedAt: Instant; reason?: string };
}

/** An operator has made a management token of the built-in issuer. */
export interface ManagementTokenIssued {
  type: 'ManagementTokenIssued';
  /** `tokenId` is the token's `jti`, and `tokenSubject` its `sub`. The token itself is stored nowhere. */
  data: {
    tokenId: string;
    tokenSubject: string;
    scopes: readonly string[];
    workspaceId?: WorkspaceId;
    issuedAt: Instant;
    expiresAt: Instant;
    reason?: string;
  };
}

/** An operator has ended a management token before it expired. */
export interface ManagementTokenEnded {
  type: 'ManagementTokenEnded';
  data: { tokenId: string; endedAt: Instant; reason?: string };
}

export const SIGNING_KEY_OPERATIONS = ['ROTATE', 'COMPROMISE', 'REWRAP'] as const;
export type SigningKeyOperation = (typeof SIGNING_KEY_OPERATIONS)[number];

/** An operator has changed signing keys. What became of them is in stream `signingKeys`, with the same correlation id. */
export interface SigningKeysOperated {
  type: 'SigningKeysOperated';
  data: { operation: SigningKeyOperation; kids: readonly string[]; operatedAt: Instant; reason?: string };
}

/** The events of stream `operatorActs`: what operators did with tokens of the management API and with keys. */
export type OperatorAct =
  AdministratorTokenRotated | ManagementTokenIssued | ManagementTokenEnded | SigningKeysOperated;
