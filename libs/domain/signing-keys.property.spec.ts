import fc from 'fast-check';
import { secondsAfter, signingKey, signingKeys, type SigningKeysCommand, type SigningKeysEvent } from '#domain';
import { type CommandAt, history, play } from '../../test/support/events/play.js';

const START = '2026-03-01T08:00:00.000Z';

const kid = fc.constantFrom('k1', 'k2', 'k3', 'k4');
const masterKeyId = fc.constantFrom('mk-1', 'mk-2');

const anyCommand = fc.oneof(
  fc
    .record({ kid, alg: fc.constantFrom('EdDSA', 'RS256'), masterKeyId })
    .map<CommandAt<SigningKeysCommand>>((key) => (at) => ({
      type: 'PublishSigningKey',
      ...key,
      publicJwk: {},
      wrappedKey: 'wrapped',
      at,
    })),
  kid.map<CommandAt<SigningKeysCommand>>((kid) => (at) => ({ type: 'ActivateSigningKey', kid, at })),
  kid.map<CommandAt<SigningKeysCommand>>((kid) => (at) => ({ type: 'CompromiseSigningKey', kid, at })),
  fc.record({ kid, masterKeyId }).map<CommandAt<SigningKeysCommand>>((key) => (at, index) => ({
    type: 'RewrapSigningKey',
    ...key,
    wrappedKey: `wrapped ${index}`,
    at,
  })),
  masterKeyId.map<CommandAt<SigningKeysCommand>>((masterKeyId) => (at) => ({
    type: 'RecordMasterKeyCheck',
    masterKeyId,
    check: `of ${masterKeyId}`,
    at,
  })),
);
const commands = history(START, anyCommand, { maxLength: 40 });

it('plays histories that reach every event and every refusal', () => {
  const steps = fc.sample(commands, { numRuns: 200, seed: 1 }).flatMap((sample) => play(signingKeys, [], sample));
  expect(new Set(steps.flatMap(({ events }) => events.map(({ type }) => type)))).toEqual(
    new Set<SigningKeysEvent['type']>([
      'MasterKeyCheckRecorded',
      'SigningKeyPublished',
      'SigningKeyActivated',
      'SigningKeyRetired',
      'SigningKeyCompromised',
      'SigningKeyRewrapped',
    ]),
  );
  expect(new Set(steps.flatMap(({ refusal }) => (refusal ? [refusal.code] : [])))).toEqual(
    new Set<string>([
      'signing_key_exists',
      'signing_key_not_found',
      'signing_key_not_published',
      'signing_key_too_young',
    ]),
  );
});

it('never folds to an impossible ring', () => {
  fc.assert(
    fc.property(commands, (history) => {
      for (const { after } of play(signingKeys, [], history)) {
        expect(after.keys.filter(({ status }) => status === 'SIGNING').length).toBeLessThanOrEqual(1);
        expect(new Set(after.keys.map(({ kid }) => kid)).size).toBe(after.keys.length);
        expect(new Set(after.masterKeyChecks.map(({ masterKeyId }) => masterKeyId)).size).toBe(
          after.masterKeyChecks.length,
        );
      }
    }),
  );
});

it('never takes a key back to an earlier status', () => {
  const order = ['PUBLISHED', 'SIGNING', 'RETIRED', 'COMPROMISED'];
  fc.assert(
    fc.property(commands, (history) => {
      for (const { before, after } of play(signingKeys, [], history)) {
        before.keys.forEach((key, index) => {
          const next = after.keys[index];
          expect(next).toMatchObject({ kid: key.kid, alg: key.alg, publishedAt: key.publishedAt });
          expect(order.indexOf(next?.status ?? '')).toBeGreaterThanOrEqual(order.indexOf(key.status));
        });
      }
    }),
  );
});

it('is never without a signing key again, except after a compromise', () => {
  fc.assert(
    fc.property(commands, (history) => {
      for (const { command, before, after } of play(signingKeys, [], history)) {
        if (signingKey(before) && !signingKey(after)) {
          expect(command).toMatchObject({ type: 'CompromiseSigningKey', kid: signingKey(before)?.kid });
        }
      }
    }),
  );
});

it('never replaces a signing key by one that a cached JWKS may lack, unless it is compromised', () => {
  fc.assert(
    fc.property(commands, (history) => {
      for (const { command, before, after } of play(signingKeys, [], history)) {
        const [previous, current] = [signingKey(before), signingKey(after)];
        if (previous && current && previous.kid !== current.kid && command.type !== 'CompromiseSigningKey') {
          expect(secondsAfter(current.publishedAt, 600) <= command.at).toBe(true);
        }
      }
    }),
  );
});

it('decides nothing when a command that asks for a state is repeated', () => {
  fc.assert(
    fc.property(commands, (history) => {
      for (const { command, refusal, after } of play(signingKeys, [], history)) {
        if (refusal === undefined && command.type !== 'PublishSigningKey') {
          expect(signingKeys.decide(after, command)).toEqual([]);
        }
      }
    }),
  );
});
