import { hash } from 'node:crypto';
import { type ClientId, consumerClient, type CreateClient, type DescribeClient } from '#domain';
import { PreconditionFailed } from '#event-log';
import { canonicalJson } from '#events';
import type { ManagementDependencies } from '../dependencies.js';
import { claimContext } from '../requests/claim-context.js';
import type { HttpCommandRequest } from '../requests/command-request.js';
import type { KnownClient } from './issued-credential.js';

/**
 * Makes external ids unique among the active clients of a workspace, without a transaction over two streams:
 *
 * 1. The client's state is read, and the command is decided. A refused command claims nothing.
 * 2. The external id is claimed in a stream of its own. For a minute, no other client can then claim it.
 * 3. The event that gives the external id to the client is appended, on the state of step 1. From then on, the claim
 *    holds while the client is active and has this external id.
 * If step 3 did not follow, another client can claim the external id after the minute, and the same client at once.
 */
export class ExternalIdClaims {
  constructor(private readonly dependencies: Pick<ManagementDependencies, 'book' | 'clock'>) {}

  /**
   * Carries out steps 1 and 2 for a client at this state and revision, if the command gives a new external id to the
   * client. MUST be called immediately before the append of step 3, and again for each other state. Throws
   * `DomainError`, `PreconditionFailed`, `StreamIsQuarantined`, `LogUnavailable`.
   */
  async claimFor(
    clientId: ClientId,
    { state, revision }: KnownClient,
    command: CreateClient | DescribeClient,
    { context, ifMatch }: Pick<HttpCommandRequest, 'context' | 'ifMatch'>,
  ): Promise<void> {
    const { externalId, workspaceId } = command;
    const isChanged = state.status !== 'ACTIVE' || state.externalId !== externalId;
    if (typeof externalId !== 'string' || !isChanged) return;
    consumerClient.decide(state, command);
    const isMatch = ifMatch === 'exists' ? revision !== undefined : revision === ifMatch;
    if (ifMatch !== undefined && !isMatch) throw new PreconditionFailed(consumerClient.stream(clientId));
    const { book, clock } = this.dependencies;
    await book.externalIds.execute(
      hash('sha256', canonicalJson([workspaceId, externalId])),
      async (claim) => {
        const isOthers = claim.status === 'CLAIMED' && claim.clientId !== clientId;
        const holder = isOthers ? (await book.clients.read(claim.clientId)).state : state;
        const at = clock().toISOString();
        return { type: 'ClaimExternalId', externalId, workspaceId, clientId, holder, at };
      },
      { context: claimContext(context), isNew: true, stream: 'probably missing' },
    );
  }
}
