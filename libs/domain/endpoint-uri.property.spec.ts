import fc from 'fast-check';
import { endpointUri, type EndpointUriEvent, secondsAfter } from '#domain';
import { fold } from '../../test/support/events/given.js';
import { play } from '../../test/support/events/play.js';

/** Portals that claim the same slug. Some portals crash between their claim and their registration. */
const claimants = fc.array(
  fc.record({
    workspaceId: fc.constantFrom('acme', 'globex'),
    subscriptionId: fc.constantFrom('sub-1', 'sub-2', 'sub-3'),
    crashes: fc.boolean(),
    /** Seconds since the previous claim. */
    after: fc.constantFrom(0, 10, 30, 59, 60, 3_600),
  }),
  { maxLength: 20 },
);

interface Holder {
  readonly workspaceId: string;
  readonly subscriptionId: string;
}
const isSame = (a: Holder, b: Holder | undefined) =>
  a.workspaceId === b?.workspaceId && a.subscriptionId === b.subscriptionId;

it('belongs for ever to the first subscription that was registered with it, and before that to each claim for a minute', () => {
  fc.assert(
    fc.property(claimants, (all) => {
      const past: EndpointUriEvent[] = [];
      let owner: Holder | undefined;
      let last: (Holder & { readonly at: string }) | undefined;
      let at = '2026-03-01T08:00:00.000Z';
      for (const { crashes, after, ...claimant } of all) {
        at = secondsAfter(at, after);
        const state = fold(endpointUri, past);
        const holderIsRegistered = state.status === 'CLAIMED' && isSame(state, owner);
        const steps = play(endpointUri, past, [
          {
            type: 'ClaimEndpointUri',
            endpointUri: 'weather',
            ...claimant,
            commandId: 'cmd-1',
            holderIsRegistered,
            at,
          },
        ]);
        past.push(...steps.flatMap(({ events }) => events));
        const isRefused = steps.some(({ refusal }) => refusal?.code === 'endpoint_uri_taken');
        const isHeld = owner !== undefined || (last !== undefined && at < secondsAfter(last.at, 60));
        expect(isRefused).toBe(isHeld && !isSame(claimant, owner ?? last));
        if (isRefused) continue;
        if (!crashes) owner ??= claimant;
        if (steps.some(({ events }) => events.length > 0)) last = { ...claimant, at };
        expect(fold(endpointUri, past)).toMatchObject(owner ?? claimant);
      }
    }),
  );
});
