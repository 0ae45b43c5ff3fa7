import { type ClientId, type ConsumerClientState, externalId, type ExternalIdEvent, secondsAfter } from '#domain';
import { fold, specification } from '../../test/support/events/given.js';

const given = specification(externalId);

const AT = '2026-03-01T08:00:00.000Z';
const ADA = 'cc_AdasClient0000001';
const BOB = 'cc_BobsClient0000001';

const NONE: ConsumerClientState = { status: 'NONE' };
const IDENTITY = { workspaceId: 'acme', name: 'Billing', authenticationType: 'API_KEY', createdAt: AT } as const;
const activeWith = (clientId: ClientId, id?: string): ConsumerClientState => ({
  ...{ status: 'ACTIVE', clientId, ...IDENTITY, ...(id !== undefined && { externalId: id }) },
  credentials: [],
  subscriptions: new Map(),
  tokens: {
    ...{ periods: [], epoch: 0, refusedBeforeEpoch: 0, partialEnds: [], revoked: [] },
    ...{ epochAfterOlderHalf: 0, recentRevocations: [] },
  },
});
const revokedWith = (clientId: ClientId, id: string): ConsumerClientState => ({
  ...{ status: 'REVOKED', clientId, ...IDENTITY, externalId: id },
  ...{ reason: 'leaked', revokedAt: AT, newestGeneration: 1 },
});

const claimed = (clientId: ClientId, after = 0): ExternalIdEvent => ({
  type: 'ExternalIdClaimed',
  data: { externalId: 'crm:1', workspaceId: 'acme', clientId, claimedAt: secondsAfter(AT, after) },
});
const claim = (
  clientId: ClientId,
  { holder = NONE, after = 0 }: { holder?: ConsumerClientState; after?: number } = {},
) =>
  ({
    type: 'ClaimExternalId',
    ...{ externalId: 'crm:1', workspaceId: 'acme', clientId, holder },
    at: secondsAfter(AT, after),
  }) as const;

it('has a stream of its own', () => {
  expect(externalId.stream('5a')).toBe('externalId-5a');
});

describe('claiming an external id', () => {
  it('takes a free one', () => {
    given().when(claim(ADA)).then(claimed(ADA));
  });

  it('changes nothing while the claim of the same client is fresh', () => {
    given(claimed(ADA))
      .when(claim(ADA, { after: 29.999 }))
      .thenNothing();
  });

  it('renews a claim that is too old for the client to rely on', () => {
    given(claimed(ADA))
      .when(claim(ADA, { after: 30 }))
      .then(claimed(ADA, 30));
  });

  it('is refused while another active client has it, however long', () => {
    given(claimed(BOB))
      .when(claim(ADA, { holder: activeWith(BOB, 'crm:1'), after: 86_400 }))
      .thenRefused('external_id_taken', 'externalId');
  });

  it.each([
    ['does not exist', NONE],
    ['has no external id', activeWith(BOB)],
    ['has another one', activeWith(BOB, 'crm:2')],
  ])('is refused for a minute while the client of the claim %s: it may be about to get it', (_, holder) => {
    given(claimed(BOB))
      .when(claim(ADA, { holder, after: 59.999 }))
      .thenRefused('external_id_taken', 'externalId');
    given(claimed(BOB))
      .when(claim(ADA, { holder, after: 60 }))
      .then(claimed(ADA, 60));
  });

  it('says after how many seconds the claim of another client is over, and nothing like it if that client has it', () => {
    const refusal = (holder: ConsumerClientState) => {
      try {
        externalId.decide(fold(externalId, [claimed(BOB)]), claim(ADA, { holder, after: 12.5 }));
      } catch (error) {
        return error;
      }
      throw new Error('The claim was accepted');
    };
    expect(refusal(activeWith(BOB))).toMatchObject({ code: 'external_id_taken', retryAfterSeconds: 48 });
    expect(refusal(activeWith(BOB, 'crm:1'))).toMatchObject({ retryAfterSeconds: undefined });
  });

  it('takes over the claim of a revoked client at once', () => {
    given(claimed(BOB))
      .when(claim(ADA, { holder: revokedWith(BOB, 'crm:1'), after: 1 }))
      .then(claimed(ADA, 1));
  });

  it('depends on the last claim only', () => {
    given(claimed(BOB), claimed(ADA, 60))
      .when(claim(BOB, { holder: activeWith(ADA, 'crm:1'), after: 3600 }))
      .thenRefused('external_id_taken', 'externalId');
    expect(fold(externalId, [claimed(BOB), claimed(ADA, 60)])).toMatchObject({ status: 'CLAIMED', clientId: ADA });
  });
});
